"""Classical rules against values worked out by hand."""

import pytest
import torch

from netdiffuse.baselines import RULES, applicable_rules
from netdiffuse.common import UnsupportedError
from netdiffuse.common.seeding import generator
from netdiffuse.problems import InterferenceChannel, PowerAllocation, Problem
from netdiffuse.problems.feasible import Box, Budget, Integer, OneHot, Product, Simplex


class Own(Problem):
    """A user's problem: be close to the context; no reference is known."""

    differentiable = True

    def __init__(self, feasible):
        self.feasible = feasible
        self.context_shape = feasible.decision_shape

    def sample_contexts(self, n, generator):
        return torch.rand(n, *self.context_shape, generator=generator)

    def utility(self, contexts, decisions):
        return -((decisions - contexts) ** 2).flatten(1).sum(1)


POWER = PowerAllocation(channels=3, total_power=6.0)
LINKS = InterferenceChannel(links=2, noise_power=1.0, max_power=2.0)


def test_power_allocation():
    gains = torch.tensor([[1.0, 3.0, 2.0], [5.0, 0.0, 0.0]])
    decide = {name: rule.decide(POWER, gains, generator(0)) for name, rule in applicable_rules(POWER).items()}
    assert set(decide) == {"equal", "random", "blind", "best-single", "reference"}
    torch.testing.assert_close(decide["equal"], torch.full((2, 3), 2.0))
    torch.testing.assert_close(decide["best-single"], torch.tensor([[0.0, 6.0, 0.0], [6.0, 0.0, 0.0]]))
    # level v: 3 v - (1 + 1/3 + 1/2) = 6, so v = 47/18; then 1/g is taken off
    level = 47 / 18
    expected = torch.tensor([[level - 1, level - 1 / 3, level - 1 / 2], [6.0, 0.0, 0.0]])
    torch.testing.assert_close(decide["reference"], expected, atol=1e-5, rtol=0)
    assert torch.equal(decide["blind"][0], decide["blind"][1])
    torch.testing.assert_close(decide["blind"][0], POWER.blind_reference())


def test_interference_channel():
    # alone, link 0 earns log2(1 + 2 * 2) and link 1 log2(1 + 3 * 2); interference plays no part then
    gains = torch.tensor([[[2.0, 9.0], [9.0, 3.0]], [[4.0, 0.0], [0.0, 3.0]]])
    rules = applicable_rules(LINKS)
    assert set(rules) == {"full-power", "random", "blind", "best-single", "reference"}
    assert torch.equal(rules["full-power"].decide(LINKS, gains), torch.full((2, 2), 2.0))
    assert torch.equal(rules["best-single"].decide(LINKS, gains), torch.tensor([[0.0, 2.0], [2.0, 0.0]]))


def test_shares_of_the_optimum_that_the_literature_reports():
    # equal split in Rayleigh fading: 84.0% of water-filling; in the interference channel, full power 28%
    # and the best single link 85% of WMMSE
    for problem, shares in [
        (PowerAllocation(), {"equal": 84.0}),
        (InterferenceChannel(), {"full-power": 28.0, "best-single": 85.0}),
    ]:
        contexts = problem.sample_contexts(4000, generator(7))
        best = problem.utility(contexts, RULES["reference"].decide(problem, contexts)).mean()
        for name, share in shares.items():
            mean = problem.utility(contexts, RULES[name].decide(problem, contexts)).mean()
            assert float(100 * mean / best) == pytest.approx(share, abs=1.5)


@pytest.mark.parametrize(
    ("feasible", "names"),
    [
        (Simplex(3, 2.0), {"equal", "best-single"}),
        (Budget(3, 2.0), {"equal", "best-single"}),
        (Box(1.0, 2.0, (2, 2)), {"full-power", "best-single"}),
        (Integer(0, 4, (3,)), {"full-power"}),
        (OneHot(3), set()),
        (Product(a=Simplex(2, 4.0), b=Budget(3, 3.0)), {"equal"}),
        (Product(a=Box(0.0, 5.0, (1,)), b=Integer(0, 3, (2,))), {"full-power"}),
        (Product(a=Simplex(2, 4.0), b=OneHot(3)), set()),
    ],
    ids=lambda value: "-".join(sorted(value)) if isinstance(value, set) else str(value),  # sets have no order
)
def test_a_users_own_problem(feasible, names):
    problem = Own(feasible)
    contexts = problem.sample_contexts(5, generator(1))
    rules = applicable_rules(problem)
    assert set(rules) == names | {"random", "blind"}
    for name in rules.keys() - {"blind"}:  # tested above, and slow
        decisions = rules[name].decide(problem, contexts, generator(2))
        assert decisions.shape == (5, *feasible.decision_shape)
        assert feasible.contains(decisions).all()


def test_values_of_generic_rules():
    contexts = torch.zeros(1, 5)
    product = Own(Product(a=Simplex(2, 4.0), b=Budget(3, 3.0)))
    assert RULES["equal"].decide(product, contexts).tolist() == [[2.0, 2.0, 1.0, 1.0, 1.0]]
    box = Own(Box([1.0, 0.0], [2.0, 8.0]))
    # closest to (2, 3): only the first up (2, 0) loses 9, only the second up (1, 8) loses 26
    assert RULES["best-single"].decide(box, torch.tensor([[2.0, 3.0]])).tolist() == [[2.0, 0.0]]
    assert RULES["full-power"].decide(box, torch.zeros(1, 2)).tolist() == [[2.0, 8.0]]


@pytest.mark.parametrize("feasible", [Simplex, Budget, lambda n, total: Box(0.0, total, (n,))])
def test_best_single_is_not_sought_among_too_many(feasible):
    assert "best-single" in applicable_rules(Own(feasible(1000, 1.0)))
    assert "best-single" not in applicable_rules(Own(feasible(1001, 1.0)))


def test_best_single_does_not_depend_on_the_chunk(monkeypatch):
    contexts = POWER.sample_contexts(50, generator(3))
    whole = RULES["best-single"].decide(POWER, contexts)
    monkeypatch.setattr("netdiffuse.baselines.rules.CHUNK", 20)
    assert torch.equal(RULES["best-single"].decide(POWER, contexts), whole)
    assert torch.equal(whole.argmax(1), contexts.argmax(1))


def test_random_is_seeded_and_covers_the_box():
    box = Own(Box(0.0, 4.0, (2,)))
    contexts = torch.zeros(20_000, 2)
    decisions = RULES["random"].decide(box, contexts, generator(5))
    assert torch.equal(decisions, RULES["random"].decide(box, contexts, generator(5)))
    torch.testing.assert_close(decisions.mean(0), torch.full((2,), 2.0), atol=0.05, rtol=0)  # of U(0, 4)
    torch.testing.assert_close(decisions.var(0), torch.full((2,), 16 / 12), atol=0.05, rtol=0)


def test_a_rule_that_does_not_apply_names_those_that_do():
    with pytest.raises(UnsupportedError, match=r"'equal' does not apply to InterferenceChannel.*full-power"):
        RULES["equal"].decide(LINKS, torch.ones(1, 2, 2))
    with pytest.raises(UnsupportedError, match="'reference'"):
        RULES["reference"].decide(Own(OneHot(2)), torch.zeros(1, 2))
