import numpy as np
import pytest
from gymnasium import spaces

from netdiffuse.algorithms import GDDPG
from netdiffuse.common import UnsupportedError
from netdiffuse.denoising.edge.messages import Ask, Grant, Report
from netdiffuse.denoising.planner import SharingRule, medoid
from netdiffuse.experiments.allocation import actor
from netdiffuse.problems.shared_denoising import SharedDenoisingVectorEnv
from netdiffuse.problems.shared_denoising.allocator import USUAL_GAIN, PolicyAllocator
from netdiffuse.problems.shared_denoising.experience import effort, opinion
from netdiffuse.problems.shared_denoising.library import library
from netdiffuse.problems.shared_denoising.outcomes import LATE_S, STEPS, deliver, server_joules, share_steps
from netdiffuse.users import preset

USERS = 4
RULE = SharingRule(low=-0.999, high=-0.998)  # all prompts are of one group


def embed(prompts):
    """Embeddings whose cosines are the library's."""
    numbers = [library().captions.index(prompt) for prompt in prompts]
    values, vectors = np.linalg.eigh(library().similarity[np.ix_(numbers, numbers)])
    return vectors * np.sqrt(np.maximum(values, 0))


@pytest.fixture(scope="module")
def env():
    made = SharedDenoisingVectorEnv(1, users=USERS, groups=1, slots=1)
    made.reset(seed=3)
    return made


@pytest.fixture(scope="module", params=["MlpPolicy", "EquivariantPolicy"])
def model(request, env):
    return GDDPG(request.param, SharedDenoisingVectorEnv(1, users=USERS, slots=1), seed=0, device="cpu", buffer_size=8)


def asks_of(env, users=USERS):
    """The requests that the users of an environment would send."""
    s = env.simulator
    reports = [
        Report(
            gain_db=10 * float(np.log10(s.slot.gain[0, user])),
            frequency_ghz=float(s.frequency_hz[0, user] / 1e9),
            battery=float(s.left_j[0, user] / s.settings.battery_j),
            persona=s.names[s.person[0, user]],
            wants=tuple(s.population[s.person[0, user]].tolist()),
        )
        for user in range(users)
    ]
    captions = [library().captions[caption] for caption in s.slot.caption[0]]
    return [
        Ask(id=f"r{user}", prompt=captions[user], revision="r", report=report) for user, report in enumerate(reports)
    ]


def test_the_decision_is_the_models(env, model):
    allocation = PolicyAllocator(actor(model), env.settings, embed, "p", RULE)(asks_of(env), STEPS)
    seen = env.observe()
    action, _ = model.predict(np.array([allocation.decisions[0].observation], np.float32), deterministic=True)
    np.testing.assert_allclose(allocation.decisions[0].observation, seen[0], atol=2e-4)  # rounded cosines
    np.testing.assert_allclose(action, model.predict(seen, deterministic=True)[0], atol=1e-2)
    shared, power_w, bandwidth_hz = (part[0] for part in env.decode(action))
    late = deliver(env.simulator.slot.gain[0], power_w, bandwidth_hz).delay_s > LATE_S
    grants = [decision.grant for decision in allocation.decisions]
    assert [grant.shared_steps for grant in grants] == np.where(late, 0, shared).tolist()
    k, *divided = done(env, allocation)
    assert k.tolist() == np.where(late, 0, shared).tolist()
    np.testing.assert_allclose(divided, [power_w, bandwidth_hz], rtol=1e-4)
    assert allocation.plan.shared_steps == tuple(grant.shared_steps for grant in grants)
    np.testing.assert_allclose([grant.power_w for grant in grants], power_w, rtol=1e-6)
    np.testing.assert_allclose([grant.bandwidth_hz for grant in grants], bandwidth_hz, rtol=1e-6)
    assert {grant.policy for grant in grants} == {"p"}
    assert len({decision.session for decision in allocation.decisions}) == 1


def done(env, allocation):
    """k, powers and bandwidths, (users,) each, of the action that is kept to learn from."""
    (action,) = {decision.action for decision in allocation.decisions}
    return [part[0] for part in env.decode(np.array([action], np.float32))]


def test_other_numbers_of_users(env, model):
    decide = PolicyAllocator(actor(model), env.settings, embed, "p", RULE)
    for users in (1, 3):
        if type(model.policy).__name__ == "DiffusionPolicy":
            with pytest.raises(
                UnsupportedError, match=f"for {USERS} users at once, and {users} ask.*EquivariantPolicy"
            ):
                decide(asks_of(env, users), 20)
            continue
        allocation = decide(asks_of(env, users), 20)
        assert len(allocation.decisions) == users
        check_budgets(allocation, env)


def test_budgets_under_exploration(env, model):
    decide = PolicyAllocator(actor(model, explore=0.1), env.settings, embed, "p", RULE)
    found = [decide(asks_of(env), 20) for _ in range(10)]
    for allocation in found:
        check_budgets(allocation, env)
    assert len({allocation.decisions[0].action for allocation in found}) == 10
    assert all(max(map(abs, allocation.decisions[0].action)) <= 1 for allocation in found)


def check_budgets(allocation, env):
    grants = [decision.grant for decision in allocation.decisions]
    assert sum(grant.power_w for grant in grants) <= env.settings.power_w * (1 + 1e-5)
    assert sum(grant.bandwidth_hz for grant in grants) <= env.settings.bandwidth_hz * (1 + 1e-5)
    assert all(0 <= grant.shared_steps <= 20 for grant in grants)


def encoded(env, shared):
    """A policy that always takes these shared steps, at equal power and bandwidth."""
    n, s = len(shared), env.settings
    share = np.full((1, n), 1 / n)
    action = env.encode(np.array([shared]), share * s.power_w, share * s.bandwidth_hz)[0]
    return lambda _: action


def test_plans_follow_k(env):
    s = env.simulator
    asks = [Ask(id=f"r{n}", prompt=library().captions[n], revision="r") for n in range(USERS)]
    plan = PolicyAllocator(encoded(env, [0, 3, 6, 6]), s.settings, embed, "p", RULE)(asks, STEPS).plan
    assert plan.shared_steps == (0, 3, 6, 6)
    assert plan.server_steps == 6
    assert all(0 not in segment.members + segment.leaders for segment in plan.segments)
    weak = [asks[0].model_copy(update={"most_local_steps": 9}), *asks[1:]]
    decided = PolicyAllocator(encoded(env, [0, 0, 0, 0]), s.settings, embed, "p", RULE)(weak, STEPS)
    assert decided.plan.shared_steps == (2, 0, 0, 0)  # what the device cannot do, the server does
    assert [decision.grant.shared_steps for decision in decided.decisions] == [2, 0, 0, 0]
    assert [decision.server_j > 0 for decision in decided.decisions] == [True, False, False, False]
    relieved, *others = (decision.session for decision in decided.decisions)
    assert relieved is None  # its rating does not judge the policy
    assert len(set(others)) == 1
    assert others[0] is not None
    longer = PolicyAllocator(encoded(env, [11, 11, 11, 11]), s.settings, embed, "p", RULE)(asks, 22)
    assert longer.plan.shared_steps == (22,) * USERS


def test_joules_of_a_window_with_a_device_that_cannot(env):
    """The others' are those without its further steps, which are its own."""
    asks = [Ask(id=f"r{n}", prompt=library().captions[n], revision="r") for n in range(USERS)]
    policy = PolicyAllocator(encoded(env, [2, 8, 8, 0]), env.settings, embed, "p", RULE)
    plain = [decision.server_j for decision in policy(asks, STEPS).decisions]
    weak = [asks[0].model_copy(update={"most_local_steps": 3}), *asks[1:]]
    helped = [decision.server_j for decision in policy(weak, STEPS).decisions]
    assert helped[1:] == pytest.approx(plain[1:])
    assert helped[0] - plain[0] == pytest.approx(float(server_joules(np.array(6.0))))


def test_whoever_another_than_the_medoid_leads_judges_no_policy(env):
    asks = [Ask(id=f"r{n}", prompt=library().captions[n], revision="r") for n in range(USERS)]
    alike = library().similarity[:USERS, :USERS]
    leads = medoid(range(USERS), alike)
    shared = [5] * USERS
    policy = PolicyAllocator(encoded(env, shared), env.settings, embed, "p", RULE)
    assert None not in {decision.session for decision in policy(asks, STEPS).decisions}
    shared[leads] = 0
    policy = PolicyAllocator(encoded(env, shared), env.settings, embed, "p", RULE)
    assert {decision.session for decision in policy(asks, STEPS).decisions} == {None}


@pytest.mark.parametrize("steps", [4, 5, 11, 20, 50])
def test_what_is_kept_is_what_was_done(env, steps):
    """k is rounded to steps of the server's chain; learning, and joules, are of the nearest of the environment's."""
    asks = [Ask(id=f"r{n}", prompt=library().captions[n], revision="r") for n in range(USERS)]
    decided = PolicyAllocator(encoded(env, [1, 4, 7, 11]), env.settings, embed, "p", RULE)(asks, steps)
    given = np.array([decision.grant.shared_steps for decision in decided.decisions])
    assert given.tolist() == np.rint(np.array([1, 4, 7, 11]) * steps / STEPS).tolist()
    k = done(env, decided)[0]
    assert k.tolist() == np.rint(given * STEPS / steps).tolist()
    work = share_steps(k[None], np.zeros((1, USERS), np.int64), 1)
    sent = deliver(np.full(USERS, USUAL_GAIN), *done(env, decided)[1:])
    expected = server_joules(work.steps)[0] + np.where(k > 0, sent.energy_j, 0)
    np.testing.assert_allclose([decision.server_j for decision in decided.decisions], expected, rtol=1e-4)


def test_a_hand_off_that_never_comes_is_none(env):
    def powerless(_):
        action = encoded(env, [5] * USERS)(_).copy()
        action[USERS : 2 * USERS] = [-1, 1 / 3, 1 / 3, 1 / 3]
        return action

    decided = PolicyAllocator(powerless, env.settings, embed, "p", RULE)(asks_of(env), STEPS)
    first = decided.decisions[0]
    assert first.grant.power_w == first.grant.shared_steps == first.server_j == 0
    assert done(env, decided)[0][0] == 0  # what is learned from is what was done


def test_what_a_device_goes_through_is_the_environments(env):
    """Delay and energy as `SharedDenoisingSimulator.outcome` has them, of a group alone on the server."""
    s = env.simulator
    share = np.full((1, USERS), 1 / USERS)
    power_w, bandwidth_hz = share * s.settings.power_w, share * s.settings.bandwidth_hz
    outcome = s.outcome(np.array([[0, 3, 6, 11]]), power_w, bandwidth_hz)
    for user, ask in enumerate(asks_of(env)):
        if outcome.late[0, user]:
            continue
        k = int(outcome.shared[0, user])
        grant = Grant(shared_steps=k, power_w=power_w[0, user], bandwidth_hz=bandwidth_hz[0, user], policy="p")
        took = effort(grant, k, STEPS, ask.report)
        assert took.delay_s == pytest.approx(outcome.delay_s[0, user])
        assert took.lost == bool(outcome.lost[0, user])
        if not took.lost:
            assert took.energy_share == pytest.approx(outcome.device_j[0, user] / s.left_j[0, user], abs=1e-9)


def test_opinions_are_drawn_by_the_request():
    one, again, other = (opinion(preset("impatient"), "x", 0.8, 9.0, 0.1, name) for name in ("a", "a", "b"))
    assert one == again
    assert one.rating != other.rating
    calm = opinion(preset("easygoing"), "x", 0.8, 9.0, 0.1, "a", noisy=False)
    assert calm.rating > opinion(preset("impatient"), "x", 0.8, 9.0, 0.1, "a", noisy=False).rating


def test_the_actor_refuses_other_columns(env, model):
    assert isinstance(model.observation_space, spaces.Box)
    with pytest.raises(UnsupportedError):
        actor(model)(np.zeros((USERS + 1, 5), np.float32))
