import numpy as np
import pytest

from netdiffuse.baselines.service_rules import SERVICE_RULES
from netdiffuse.common import InvalidValueError
from netdiffuse.problems.aigc_services import Providers, ServiceSimulator

from .oracle import Episode

COLUMNS = ("total_t", "ax", "ay", "bx", "by")


def begun(n, seed=0, providers=None, **kwargs):
    simulator = ServiceSimulator(providers or Providers.reference(), n, **kwargs)
    simulator.random = np.random.default_rng(seed)
    simulator.begin()
    return simulator


@pytest.mark.parametrize("providers", [Providers.reference(), Providers.draw(3, seed=4)], ids=["reference", "three"])
def test_every_step_is_as_told_again_task_by_task(providers):
    rate = 0.001 * len(providers) / 20
    simulator = begun(4, providers=providers, rate=rate)
    rows = list(zip(*(getattr(providers, name) for name in COLUMNS), strict=True))
    episodes = [Episode(rows, simulator._arrivals[i].tolist(), simulator._needs[i].tolist()) for i in range(4)]
    random = np.random.default_rng(1)
    crashes = 0
    while not simulator.over.any():
        # a mixture of all rules, so that both full and idle providers occur
        choice = random.integers(0, len(providers), 4)
        best = SERVICE_RULES["prophet"].choose(simulator, random)
        choice = np.where(random.random(4) < 0.6, best, choice)
        rewards = simulator.assign(choice)
        np.testing.assert_allclose(rewards, [e.step(c) for e, c in zip(episodes, choice, strict=True)], rtol=1e-12)
        np.testing.assert_allclose(simulator.observe(), [e.observe() for e in episodes], rtol=1e-6, atol=1e-7)
        crashes += (rewards < 0).sum()
    assert crashes > 5
    for i, episode in enumerate(episodes):
        assert {name: values[i] for name, values in simulator.counts.items()} == episode.counts


def test_tasks_arrive_as_a_poisson_process_and_need_100_to_250_steps():
    simulator = begun(2000)
    tasks = simulator._tasks - 1
    assert tasks.mean() == pytest.approx(1000, abs=4 * np.sqrt(1000 / 2000))
    assert tasks.var() == pytest.approx(1000, rel=0.15)
    gaps = np.concatenate([np.diff(a[:n]) for a, n in zip(simulator._arrivals, simulator._tasks, strict=True)])
    assert (gaps >= 0).all()
    assert gaps.mean() == pytest.approx(1000, rel=0.01)
    assert gaps.std() == pytest.approx(1000, rel=0.02)  # as an exponential
    assert (simulator._arrivals[:, 0] == 0).all()
    needs, counts = np.unique(simulator._needs[:, :900], return_counts=True)
    assert needs.tolist() == list(range(100, 251, 10))
    assert counts.max() / counts.min() < 1.05


def run(rule, n, seed):
    """Mean return, its standard error, and percent of accepted tasks lost, over whole episodes."""
    simulator, random = begun(n, seed), np.random.default_rng(seed + 1)
    returns, open_ = np.zeros(n), np.ones(n, bool)
    crashed = served = 0
    while open_.any():
        returns += simulator.assign(SERVICE_RULES[rule].choose(simulator, random)) * open_
        ended = simulator.over & open_
        crashed += simulator.counts["crashed"][ended].sum()
        served += simulator.counts["served"][ended].sum()
        open_ &= ~ended
        if simulator.over.any():
            simulator.begin(simulator.over)
    return returns.mean(), returns.std() / np.sqrt(n), 100 * crashed / served


@pytest.mark.parametrize(
    ("rule", "expected", "error", "crash_percent"),
    [("random", -134, 7, 25), ("round-robin", 221, 4, 7), ("crash-avoid", 353, 2, 0), ("prophet", 555, 2, 0)],
)
def test_heuristics_return_what_they_do_in_the_original_code(rule, expected, error, crash_percent):
    mean, own_error, percent = run(rule, 200, seed=2)
    assert abs(mean - expected) < 3 * np.hypot(error, own_error)
    assert percent == pytest.approx(crash_percent, abs=1.5)


def test_ties_go_to_the_lowest_number():
    providers = Providers(*(np.full(4, value) for value in (500.0, 0.0, 0.0, 150.0, 0.5)))
    simulator, random = begun(1, providers=providers), np.random.default_rng(0)
    assert SERVICE_RULES["crash-avoid"].choose(simulator, random) == [0]
    assert SERVICE_RULES["prophet"].choose(simulator, random) == [0]
    simulator.assign(np.array([0]))
    assert SERVICE_RULES["crash-avoid"].choose(simulator, random) == [1]
    assert SERVICE_RULES["round-robin"].choose(simulator, random) == [1]


def test_a_saved_simulator_goes_on_bit_for_bit():
    one, other = begun(3, seed=5, rate=1e-4), begun(3, seed=6, rate=1e-4)
    random = np.random.default_rng(0)
    for _ in range(40):
        one.assign(random.integers(0, 20, 3))
    other.load_state_dict(one.state_dict())
    for _ in range(400):
        choice = random.integers(0, 20, 3)
        assert one.assign(choice).tolist() == other.assign(choice).tolist()
        np.testing.assert_array_equal(one.observe(), other.observe())
        for simulator in (one, other):
            simulator.begin(simulator.over)
    with pytest.raises(InvalidValueError, match="saved episodes must have shape"):
        begun(4).load_state_dict(one.state_dict())


def test_saved_episodes_of_other_providers_are_refused():
    one, other = (ServiceSimulator(Providers.draw(20, seed), 1) for seed in (1, 2))
    with pytest.raises(InvalidValueError, match="providers with another total_t"):
        other.load_state_dict(one.state_dict())


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (np.array([0, 20]), "0 to 19, a provider's number, got 20"),
        (np.array([-1, 0]), "got -1"),
        (np.array([0]), "2 integers"),
        (np.array([0.0, 1.0]), "float64"),
    ],
)
def test_bad_choices_are_named(choice, message):
    with pytest.raises(InvalidValueError, match=message):
        begun(2).assign(choice)


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [({"rate": -1.0}, "rate"), ({"horizon": 0.0}, "horizon"), ({"n": 0}, "num_envs"), ({"rate": 1e9}, "1000000 tasks")],
)
def test_bad_arguments_are_named(kwargs, name):
    with pytest.raises(InvalidValueError, match=name):
        ServiceSimulator(Providers.reference(), **{"n": 1} | kwargs)


def test_an_episode_has_a_task_to_assign_however_few_arrive():
    simulator = begun(500, rate=1e-7)
    assert not simulator.over.any()
    simulator.assign(np.zeros(500, int))
    assert simulator.over.sum() > 400
