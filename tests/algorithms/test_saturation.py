import warnings

import pytest
import torch

from netdiffuse import GDDPG, DiffusionAPG
from netdiffuse.algorithms.common.canonical import canonical
from netdiffuse.algorithms.common.saturation import SaturationMonitor
from netdiffuse.experiments import LearnedPolicy, evaluate

from .toys import Mixed, Pick, Target


class AtTheEdge(Target):
    """The best decision of half the entries is their upper bound."""

    def reference(self, contexts):
        return torch.stack([contexts[:, 0], torch.ones(len(contexts))], 1)


def test_saturation_counts_coordinates_beyond_the_references_share():
    actions = torch.tensor([[1.0, -1.0], [0.995, 0.2], [0.0, 0.5], [0.5, 0.98]])  # 3 of 8 within 1% of a bound
    assert SaturationMonitor(Target()).measure(actions) == pytest.approx(37.5)
    assert SaturationMonitor(AtTheEdge()).measure(actions) == 0
    assert SaturationMonitor(AtTheEdge()).measure(torch.ones(3, 2)) == pytest.approx(50)


def test_bounds_that_the_context_asks_for_are_no_reason_to_warn():
    monitor = SaturationMonitor(Target(known=False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert monitor.check(torch.randn(100, 2).sign()) == 100  # at a bound each, but not at the same


def test_one_warning_names_the_remedy():
    monitor = SaturationMonitor(Target())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert monitor.check(torch.zeros(3, 2)) == 0
    with pytest.warns(RuntimeWarning, match="100% of the action coordinates.*raise pull_weight"):
        monitor.check(torch.ones(3, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert monitor.check(torch.ones(3, 2)) == 100


@pytest.mark.parametrize("problem", [Pick(), Mixed(), Pick(known=False)])
def test_choosing_one_of_several_is_not_saturation(problem):
    actions = canonical(problem.feasible, 2 * torch.rand(500, problem.feasible.action_size) - 1)
    assert SaturationMonitor(problem).measure(actions) < 5


@pytest.mark.parametrize("problem", [Target(), Pick(), Mixed()])
def test_canonical_actions_decode_alike_and_stay_as_they_are(problem):
    action = 3 * torch.randn(100, problem.feasible.action_size)
    one = canonical(problem.feasible, action)
    torch.testing.assert_close(problem.feasible.decode(one), problem.feasible.decode(action))
    torch.testing.assert_close(canonical(problem.feasible, one), one)
    assert torch.equal(canonical(None, action), action.clamp(-1, 1))


@pytest.mark.parametrize("cls", [GDDPG, DiffusionAPG])
def test_an_actor_stuck_at_the_saturated_equal_split_is_seen(cls):
    model = cls("EquivariantPolicy", "power-allocation-permuted", batch_size=8, seed=0)

    def stick(module, inputs, output):
        return 1 + 0 * output

    for actor in {model.actor, getattr(model, "actor_target", model.actor)}:
        actor.register_forward_hook(stick)
    obs = model.problem.sample_contexts(50, torch.Generator().manual_seed(0))
    decisions = model.feasible.decode(torch.as_tensor(model.predict(obs.numpy(), deterministic=True)[0]))
    torch.testing.assert_close(decisions, torch.full_like(decisions, 0.12))  # the equal split, from +1 everywhere
    with pytest.warns(RuntimeWarning, match="of the action coordinates are at their bound"):
        model.learn(100 * (64 if cls is GDDPG else 8))
    assert evaluate(LearnedPolicy(model, model.problem), model.problem, contexts=100)["saturation_percent"] > 50
