import numpy as np
import pytest

from netdiffuse.common import InvalidValueError, UnknownNameError
from netdiffuse.problems.shared_denoising import SharedDenoisingSettings, SharedDenoisingSimulator
from netdiffuse.problems.shared_denoising.library import library, shipped_quality
from tests.problems.shared_denoising import oracle


def begun(n=6, seed=0, **arguments):
    simulator = SharedDenoisingSimulator(n, SharedDenoisingSettings(**arguments))
    simulator.seed(seed)
    simulator.begin()
    return simulator


def decisions(simulator, random):
    shape = (simulator.n, simulator.users)
    shared = random.integers(0, oracle.STEPS + 1, shape)
    power, bandwidth = (random.dirichlet(np.ones(simulator.users), simulator.n) for _ in range(2))
    power[random.random(shape) < 0.1] = 0.0
    return shared, power * simulator.settings.power_w, bandwidth * simulator.settings.bandwidth_hz


def test_outcomes_are_those_of_the_story_told_user_by_user():
    random = np.random.default_rng(5)
    seen = np.zeros(3)
    for seed in range(20):
        s = begun(seed=seed, groups=4)
        s.left_j *= random.choice([0.05, 1.0], s.left_j.shape)  # some batteries are nearly empty
        shared, power, bandwidth = decisions(s, random)
        found = s.outcome(shared, power, bandwidth)
        for i in range(s.n):
            told = oracle.slot(
                shared[i].tolist(), power[i], bandwidth[i], s.slot.group[i].tolist(), s.slot.gain[i],
                s.frequency_hz[i], s.left_j[i],
            )  # fmt: skip
            delay, energy, late, lost, rate, server = told
            np.testing.assert_allclose(found.delay_s[i], delay, rtol=1e-9)
            np.testing.assert_allclose(found.device_j[i], energy, rtol=1e-9)
            np.testing.assert_allclose(found.server_j[i], server, rtol=1e-9)
            np.testing.assert_allclose(found.bit_error_rate[i], rate, rtol=1e-9, atol=1e-300)
            assert found.late[i].tolist() == late
            assert found.lost[i].tolist() == lost
            assert (found.quality[i][found.lost[i]] == 0).all()
            assert (found.shared[i] == np.where(late, 0, shared[i])).all()
            seen += [sum(late), sum(lost), sum(k == 0 for k in shared[i])]
    assert (seen > 5).all()  # each kind of trouble has been met


def test_quality_is_the_tables():
    s = begun()
    shared = np.full((s.n, s.users), 7)
    found = s.outcome(shared, np.full(shared.shape, 0.0125), np.full(shared.shape, 25e3))
    on_time = ~found.late & ~found.lost
    expected = shipped_quality()(s.slot.similarity, 7 / 11, found.bit_error_rate)
    np.testing.assert_array_equal(found.quality[on_time], expected[on_time])


def test_the_leader_is_the_medoid_and_likeness_is_to_the_leader():
    s = begun(n=40, seed=3)
    known = library()
    for i in range(s.n):
        for g in set(s.slot.group[i].tolist()):
            members = np.flatnonzero(s.slot.group[i] == g)
            captions = s.slot.caption[i, members]
            means = known.similarity[np.ix_(captions, captions)].sum(1)
            assert (s.slot.leader[i, members] == members[means.argmax()]).all()
            leading = s.slot.caption[i, s.slot.leader[i, members]]
            np.testing.assert_array_equal(s.slot.similarity[i, members], known.similarity[captions, leading])
    assert (s.slot.similarity == 1).sum() >= 40  # leaders


def test_groups_have_themes():
    known = library()
    themes = [set(theme) for theme in known.themes.tolist()]
    s = begun(n=30)
    for i in range(s.n):
        for g in set(s.slot.group[i].tolist()):
            captions = set(s.slot.caption[i][s.slot.group[i] == g].tolist())
            assert any(captions <= theme for theme in themes)


def test_a_longer_wait_and_a_worse_picture_never_please():
    s = begun(noisy=False)
    shared = np.full((s.n, s.users), 4)
    outcome = s.outcome(shared, np.full(shared.shape, 0.0125), np.full(shared.shape, 25e3))
    good = s.opinions(outcome)
    assert (s.opinions(outcome._replace(delay_s=outcome.delay_s + 2)) <= good).all()
    assert (s.opinions(outcome._replace(quality=outcome.quality * 0.5)) <= good).all()
    assert ((good >= 1) & (good <= 5)).all()


def test_batteries_are_drawn_down_and_carried_over():
    s = begun()
    before = s.left_j.copy()
    shared = np.zeros((s.n, s.users), np.int64)
    outcome = s.outcome(shared, np.zeros(shared.shape), np.zeros(shared.shape))
    s.advance(outcome)
    np.testing.assert_allclose(s.left_j, before - outcome.device_j)
    assert (s.left_j >= 0).all()


def test_users_walk_inside_the_cell_and_channels_have_the_models_mean():
    s = begun(n=400, seed=1)
    for _ in range(30):
        s.advance(s.outcome(np.zeros((400, 8), np.int64), np.zeros((400, 8)), np.zeros((400, 8))))
    assert s.distance_m.min() >= 20
    assert s.distance_m.max() <= 500
    loss_db = 43.3 + 30 * np.log10(s.distance_m) + s.shadowing_db
    fading = s.slot.gain * 10 ** (loss_db / 10)
    assert fading.mean() == pytest.approx(1, abs=0.06)  # exponential, 3,200 draws: three standard errors
    assert s.shadowing_db.std() == pytest.approx(7.8, rel=0.05)


def test_it_goes_on_bit_for_bit():
    def play(s, slots):
        random = np.random.default_rng(1)
        out = []
        for _ in range(slots):
            outcome = s.outcome(*decisions(s, random))
            out.append(s.opinions(outcome))
            s.advance(outcome)
        return np.array(out)

    first = begun()
    play(first, 3)
    second = begun(seed=9)
    second.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(play(first, 4), play(second, 4))


def test_new_sessions_leave_the_others_alone():
    s = begun(n=4)
    before = [values.copy() for values in (s.person, s.left_j, s.slot.caption)]
    s.begin(np.array([False, True, False, False]))
    for was, now in zip(before, (s.person, s.left_j, s.slot.caption), strict=True):
        np.testing.assert_array_equal(was[[0, 2, 3]], now[[0, 2, 3]])
    assert (before[1][1] != s.left_j[1]).any()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"users": 0}, InvalidValueError, "users"),
        ({"groups": 1.5}, InvalidValueError, "groups"),
        ({"slots": -1}, InvalidValueError, "slots"),
        ({"personas": "robots"}, UnknownNameError, "robots"),
        ({"bandwidth_hz": float("nan")}, InvalidValueError, "bandwidth_hz"),
        ({"power_w": -1.0}, InvalidValueError, "power_w"),
        ({"battery_j": 0.0}, InvalidValueError, "battery_j"),
    ],
)
def test_bad_arguments_are_named(arguments, error, words):
    with pytest.raises(error, match=words):
        SharedDenoisingSettings(**arguments)


def test_a_state_of_another_size_is_refused():
    with pytest.raises(InvalidValueError, match="shape"):
        begun(n=2).load_state_dict(begun(n=3).state_dict())


def test_an_empty_battery_that_nothing_was_asked_of_is_no_complaint():
    s = begun(noisy=False)
    shared = np.full((s.n, s.users), 11)
    share = np.full(shared.shape, 1 / s.users)
    full = s.opinions(s.outcome(shared, share * 0.1, share * 2e5))
    s.left_j[:] = 0.0
    outcome = s.outcome(shared, share * 0.1, share * 2e5)
    empty = s.opinions(outcome)
    on_time = ~outcome.late
    assert on_time.any()
    np.testing.assert_array_equal(empty[on_time], full[on_time])
    assert outcome.lost[outcome.late].all()


def test_who_rates_changes_nothing_that_goes_on():
    worlds = []
    for noisy in (True, False):
        s = begun(seed=2, noisy=noisy)
        random = np.random.default_rng(1)
        for _ in range(3):
            outcome = s.outcome(*decisions(s, random))
            s.opinions(outcome)
            s.advance(outcome)
        worlds.append(s.slot)
    for one, other in zip(*worlds, strict=True):
        np.testing.assert_array_equal(one, other)
