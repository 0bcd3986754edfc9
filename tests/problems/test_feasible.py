"""Feasible sets: every action is feasible, round trips, projections equal a quadratic program."""

import numpy as np
import pytest
import quadprog
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from netdiffuse.common import InvalidValueError, UnreachableDecisionError
from netdiffuse.problems.feasible import (
    Box,
    Budget,
    FeasibleSet,
    Integer,
    OneHot,
    Product,
    Simplex,
    project_budget,
    project_simplex,
)

SETS: dict[str, FeasibleSet] = {
    "box": Box(0.0, 1.0, (3,)),
    "box-scalar": Box(-2.0, 5.0),
    "box-arrays": Box([[0.0, -1.0], [2.0, 3.0]], [[1.0, 1.0], [2.0, 30.0]]),
    "simplex-single": Simplex(1, total=3.0),
    "simplex": Simplex(5, total=10.0),
    "simplex-small-scale": Simplex(5, total=10.0, scale=0.7),
    "simplex-wide": Simplex(200, total=1e-3),
    "budget": Budget(4, total=2.0),
    "budget-small-scale": Budget(6, total=2.0, scale=1.0),
    "one-hot": OneHot(4),
    "integer": Integer(0, 3, (2, 2)),
    "integer-arrays": Integer([-5, 1], [5, 1]),
    "product": Product(power=Simplex(3, 10.0), server=OneHot(2), steps=Integer(1, 8), level=Box(0, 1, (2, 2))),
}
each_set = pytest.mark.parametrize("feasible", SETS.values(), ids=SETS)
both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
properties = settings(deadline=None, derandomize=True, max_examples=60)


def size_of(feasible: FeasibleSet) -> float:
    """The natural unit of a set's entries."""
    return float(feasible.decode(2 * torch.eye(feasible.action_size) - 1).abs().max())


def any_actions(feasible: FeasibleSet, limit: float) -> st.SearchStrategy[torch.Tensor]:
    elements = st.floats(-limit, limit, width=32)
    batches = array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=4)
    return batches.flatmap(lambda batch: arrays(np.float32, (*batch, feasible.action_size), elements=elements)).map(
        torch.tensor
    )


def random_actions(feasible: FeasibleSet, n: int = 200, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Actions inside the bounds, at the bounds and outside them."""
    generator = torch.Generator().manual_seed(0)
    spread = torch.logspace(-2, 1, n, dtype=dtype)[:, None]
    return spread * torch.randn(n, feasible.action_size, generator=generator, dtype=dtype)


@each_set
@pytest.mark.parametrize("limit", [1.0, 10.0, 2.0**127], ids=["inside", "around", "huge"])
def test_any_finite_action_decodes_to_a_feasible_decision(feasible: FeasibleSet, limit: float) -> None:
    @properties
    @given(any_actions(feasible, limit))
    def check(action: torch.Tensor) -> None:
        decision = feasible.decode(action)
        assert decision.shape == (*action.shape[:-1], *feasible.decision_shape)
        assert feasible.contains(decision, tolerance=1e-5).all()

    check()


@each_set
@both_types
def test_encode_inverts_decode_on_what_is_reachable(feasible: FeasibleSet, dtype: torch.dtype) -> None:
    decision = feasible.decode(random_actions(feasible, dtype=dtype))
    action = feasible.encode(decision)
    assert decision.dtype == action.dtype == dtype
    assert action.shape == (200, feasible.action_size)
    assert action.abs().max() <= 1
    tolerance = (1e-5 if dtype == torch.float32 else 1e-12) * size_of(feasible)
    torch.testing.assert_close(feasible.decode(action), decision, rtol=0, atol=tolerance)


@each_set
def test_projection_leaves_feasible_decisions_and_makes_others_feasible(feasible: FeasibleSet) -> None:
    decision = feasible.decode(random_actions(feasible))
    torch.testing.assert_close(feasible.project(decision), decision, rtol=0, atol=1e-6 * size_of(feasible))
    generator = torch.Generator().manual_seed(1)
    anywhere = decision + 3 * size_of(feasible) * torch.randn(decision.shape, generator=generator)
    assert feasible.contains(feasible.project(anywhere), tolerance=1e-5).all()
    assert not feasible.contains(anywhere).all()


@each_set
def test_canonical_actions_stay_put(feasible: FeasibleSet) -> None:
    once = feasible.encode(feasible.decode(random_actions(feasible, dtype=torch.float64)))
    twice = feasible.encode(feasible.decode(once))
    torch.testing.assert_close(twice, once, rtol=0, atol=1e-9)


@each_set
def test_non_finite_actions_and_wrong_shapes_are_refused(feasible: FeasibleSet) -> None:
    action = torch.zeros(4, feasible.action_size)
    for bad in (float("nan"), float("inf")):
        action[2, -1] = bad
        with pytest.raises(InvalidValueError, match="row 2 of the actions must be finite"):
            feasible.decode(action)
    with pytest.raises(InvalidValueError, match="floating point of shape"):
        feasible.decode(torch.zeros(4, feasible.action_size + 1))
    with pytest.raises(InvalidValueError, match="floating point of shape"):
        feasible.decode(torch.zeros(4, feasible.action_size, dtype=torch.int64))
    if feasible.decision_shape:  # else any shape is a batch of numbers
        wrong = torch.zeros(4, *feasible.decision_shape[:-1], feasible.decision_shape[-1] + 1)
        for method in (feasible.encode, feasible.project, feasible.contains):
            with pytest.raises(InvalidValueError, match="decisions must have shape"):
                method(wrong)


@each_set
def test_infeasible_decisions_are_named_by_encode(feasible: FeasibleSet) -> None:
    decision = feasible.decode(torch.zeros(3, 2, feasible.action_size))
    for wrong in (100 * size_of(feasible), float("nan")):
        decision[1, 0] = wrong
        assert feasible.contains(decision).tolist() == [[True, True], [False, True], [True, True]]
        with pytest.raises(UnreachableDecisionError, match=r"row \(1, 0\) of the decisions is not in .*project"):
            feasible.encode(decision)
    with pytest.raises(InvalidValueError, match=r"row \(1, 0\) of the decisions must be finite"):
        feasible.project(decision)


@both_types
@pytest.mark.parametrize("n", [1, 2, 10, 100, 10_000])
def test_shares_add_up(n: int, dtype: torch.dtype) -> None:
    simplex = Simplex(n, total=12.0)
    decision = simplex.decode(random_actions(simplex, dtype=dtype))
    assert decision.min() >= 0
    torch.testing.assert_close(decision.sum(-1), torch.full((200,), 12.0, dtype=dtype), rtol=1e-5, atol=0)


def quadratic_program(v: np.ndarray, equal: bool) -> np.ndarray:
    """Nearest point of {x >= 0, sum x = 1} (or <= 1) by an independent solver."""
    n = len(v)
    constraints = np.vstack([-np.ones(n), np.eye(n)]).T
    bounds = np.concatenate([[-1.0], np.zeros(n)])
    return quadprog.solve_qp(np.eye(n), v, constraints, bounds, meq=1 if equal else 0)[0]


@pytest.mark.parametrize("n", [1, 2, 7, 30])
@pytest.mark.parametrize("spread", [0.05, 1.0, 20.0])
def test_projections_equal_a_quadratic_program(n: int, spread: float) -> None:
    v = spread * np.random.default_rng(n).standard_normal((20, n))
    for project, equal in ((project_simplex, True), (project_budget, False)):
        expected = np.stack([quadratic_program(row, equal) for row in v])
        np.testing.assert_allclose(project(torch.tensor(v)).numpy(), expected, atol=1e-10)


def test_projections_of_scaled_sets_equal_a_quadratic_program() -> None:
    d = 4 * np.random.default_rng(0).standard_normal((20, 6))
    for feasible, equal in ((Simplex(6, total=5.0), True), (Budget(6, total=5.0), False)):
        expected = np.stack([5 * quadratic_program(row / 5, equal) for row in d])
        np.testing.assert_allclose(feasible.project(torch.tensor(d)).numpy(), expected, atol=1e-10)


def test_projection_of_large_numbers_stays_exact() -> None:
    v = torch.tensor([[1e30, 1e30, -1e30], [3e38, -3e38, 0.0]])
    torch.testing.assert_close(project_simplex(v), torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]))


@pytest.mark.parametrize(
    "feasible", [Simplex(5, 10.0), Budget(5, 10.0), Box([0, -1], [1, 4]), Product(a=Simplex(3), b=Box(0, 2))]
)
@pytest.mark.parametrize("spread", [0.05, 0.6])
def test_gradients_equal_finite_differences(feasible: FeasibleSet, spread: float) -> None:
    generator = torch.Generator().manual_seed(3)
    action = spread * torch.randn(6, feasible.action_size, generator=generator, dtype=torch.float64)
    action = action.clamp(-0.99, 0.99).requires_grad_()
    assert torch.autograd.gradcheck(feasible.decode, (action,), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.0, 5.0])
def test_simplex_reaches_exactly_what_it_says(scale: float) -> None:
    n = 8
    simplex = Simplex(n, total=2.0, scale=scale)
    generator = torch.Generator().manual_seed(0)
    shares = torch.distributions.Dirichlet(torch.full((n,), 0.3)).sample((500,)).double()
    shares = 1 / n + (shares - 1 / n) * torch.rand(500, 1, generator=generator)
    spread = n * (shares.amax(-1) - shares.amin(-1)) / 2
    reachable = spread <= scale
    assert reachable.any()
    action = simplex.encode(2 * shares[reachable])
    torch.testing.assert_close(simplex.decode(action), 2 * shares[reachable], rtol=0, atol=1e-7)
    for row in torch.nonzero(spread > 1.001 * scale).flatten()[:5]:
        with pytest.raises(UnreachableDecisionError):
            simplex.encode(2 * shares[row])
        wider = Simplex(n, total=2.0, scale=float(spread[row]))  # the scale that the message names
        torch.testing.assert_close(wider.decode(wider.encode(2 * shares[row])), 2 * shares[row], rtol=0, atol=1e-4)


def test_unreachable_shares_are_named_with_the_remedy() -> None:
    vertex = torch.tensor([[0.5, 0.5, 0.5, 0.5], [2.0, 0.0, 0.0, 0.0]])
    with pytest.raises(UnreachableDecisionError, match=r"row 1 .* 100% of the total.*scale=1.*at least 2$"):
        Simplex(4, total=2.0, scale=1.0).encode(vertex)
    with pytest.raises(UnreachableDecisionError, match=r"row 1 .*at least 3$"):
        Budget(4, total=2.0, scale=1.0).encode(vertex)
    with pytest.raises(UnreachableDecisionError, match=r"^part 'power': row 1"):
        Product(power=Simplex(4, total=2.0, scale=1.0)).encode(vertex)
    for feasible in (Simplex(4, total=2.0), Budget(4, total=2.0)):  # default scales reach every decision
        torch.testing.assert_close(feasible.decode(feasible.encode(vertex)), vertex)


def assert_values(values: torch.Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(values, torch.tensor(expected))


def test_simplex_coordinates() -> None:
    simplex = Simplex(4, total=8.0, scale=2.0)
    assert simplex.decode(torch.zeros(4)).tolist() == [2.0, 2.0, 2.0, 2.0]
    assert_values(simplex.decode(torch.tensor([0.1, -0.1, 0.2, -0.2])), [2.4, 1.6, 2.8, 1.2])
    assert simplex.decode(torch.tensor([1.0, -1.0, -1.0, -1.0])).tolist() == [
        8.0,
        0.0,
        0.0,
        0.0,
    ]  # exact zeros


def test_simplex_encodes_with_the_smallest_shift_that_fits() -> None:
    simplex = Simplex(4, total=8.0, scale=2.0)
    assert_values(simplex.encode(torch.tensor([4.0, 4.0, 0.0, 0.0])), [0.5, 0.5, -0.5, -0.5])  # none
    assert_values(simplex.encode(torch.tensor([8.0, 0.0, 0.0, 0.0])), [1.0, -1.0, -1.0, -1.0])  # down
    assert_values(Simplex(2, scale=0.9).encode(torch.tensor([0.9, 0.1])), [0.8 / 0.9, -0.8 / 0.9])  # none
    assert_values(Simplex(3, scale=0.9).encode(torch.tensor([0.5, 0.5, 0.0])), [2 / 3, 2 / 3, -1.0])  # up


def test_budget_can_leave_some_or_all() -> None:
    budget = Budget(4, total=8.0, scale=1.0)
    assert budget.decode(-torch.ones(4)).tolist() == [0.0, 0.0, 0.0, 0.0]
    assert budget.decode(torch.zeros(4)).tolist() == [2.0, 2.0, 2.0, 2.0]
    assert_values(budget.decode(torch.tensor([-0.5, -1.0, 0.5, -0.5])), [1.0, 0.0, 3.0, 1.0])
    assert_values(budget.decode(budget.encode(torch.tensor([0.0, 1.0, 0.0, 3.0]))), [0.0, 1.0, 0.0, 3.0])


def test_one_hot_is_exact_and_passes_the_gradient_of_softmax() -> None:
    servers = OneHot(3)
    action = torch.tensor([[0.2, 0.7, -0.4], [0.5, 0.5, 0.1]], requires_grad=True)
    decision = servers.decode(action)
    assert decision.tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]  # the first of equals
    weights = torch.tensor([1.0, -2.0, 3.0])
    (gradient,) = torch.autograd.grad((decision * weights).sum(), action)
    (expected,) = torch.autograd.grad((action.softmax(-1) * weights).sum(), action)
    torch.testing.assert_close(gradient, expected)
    assert servers.encode(decision.detach()).tolist() == [[-1.0, 1.0, -1.0], [1.0, -1.0, -1.0]]
    assert not servers.contains(torch.tensor([1.0, 1.0, 0.0]))


def test_integers_have_equal_shares_and_the_gradient_of_the_line() -> None:
    steps = Integer(2, 6, (1,))
    action = torch.linspace(-1, 1, 10_001)[:, None].requires_grad_()
    decision = steps.decode(action)
    values, counts = decision.detach().unique(return_counts=True)
    assert values.tolist() == [2.0, 3.0, 4.0, 5.0, 6.0]
    assert counts.min() >= 1999
    (gradient,) = torch.autograd.grad(decision.sum(), action)
    assert (gradient == 2.5).all()
    assert_values(steps.encode(torch.tensor([[2.0], [4.0], [6.0]])).flatten(), [-0.8, 0.0, 0.8])
    assert steps.project(torch.tensor([[2.6], [-9.0], [99.0]])).tolist() == [[3.0], [2.0], [6.0]]
    assert steps.contains(torch.tensor([[2.5], [3.0], [7.0]])).tolist() == [False, True, False]


def test_box_reaches_its_bounds_exactly() -> None:
    box = Box([0.1, -3.0], [0.7, 1e-3])
    assert torch.equal(box.decode(torch.ones(2)), torch.tensor([0.7, 1e-3]))
    assert torch.equal(box.decode(-torch.ones(2)), torch.tensor([0.1, -3.0]))
    torch.testing.assert_close(box.decode(torch.zeros(2)), torch.tensor([0.4, -1.4995]))


def test_product_splits_and_joins() -> None:
    product = SETS["product"]
    assert isinstance(product, Product)
    assert product.action_size == 3 + 2 + 1 + 4
    assert product.decision_shape == (10,)
    decision = product.decode(random_actions(product, 7))
    parts = product.split(decision)
    assert {name: tuple(part.shape) for name, part in parts.items()} == {
        "power": (7, 3),
        "server": (7, 2),
        "steps": (7,),
        "level": (7, 2, 2),
    }
    assert all(product.parts[name].contains(part).all() for name, part in parts.items())
    assert torch.equal(product.join(parts), decision)
    with pytest.raises(InvalidValueError, match="needs the parts"):
        product.join({"power": parts["power"]})


def test_at_bound_marks_saturated_coordinates() -> None:
    action = torch.tensor([[0.0, 0.995, -1.0], [-0.98, 1.5, 0.9]])
    assert Box(0, 1, (3,)).at_bound(action).tolist() == [[False, True, True], [False, True, False]]
    assert Box(0, 1, (3,)).at_bound(action, margin=0.2).tolist() == [[False, True, True], [True, True, True]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Box(float("nan"), 1.0), "low must be finite"),
        (lambda: Box(0.0, float("inf")), "high must be finite"),
        (lambda: Box("a", 1.0), "low must be a number"),
        (lambda: Box(2.0, 1.0), "low must not exceed high"),
        (lambda: Box([0.0, 0.0], [1.0, 1.0, 1.0]), "must broadcast"),
        (lambda: Box([0.0, 0.0], 1.0, (3,)), "must broadcast"),
        (lambda: Box(0.0, 1.0, (0,)), "each dimension of shape"),
        (lambda: Integer(0.5, 3), "whole numbers"),
        (lambda: Simplex(0), "n must be an integer of at least 1"),
        (lambda: Simplex(2.5), "n must be an integer"),
        (lambda: Simplex(3, total=-1.0), "total must be positive"),
        (lambda: Simplex(3, total=float("nan")), "total must be finite"),
        (lambda: Simplex(3, scale=0.0), "scale must be positive"),
        (lambda: Budget(3, scale=0.5), "at least 1"),
        (lambda: OneHot(0), "n must be an integer of at least 1"),
        (lambda: Product(), "at least one"),
        (lambda: Product(power=3), "part 'power'"),
    ],
)
def test_bad_arguments_are_refused(make, message) -> None:
    with pytest.raises(InvalidValueError, match=message):
        make()


def test_representations_say_what_the_set_is() -> None:
    assert repr(Simplex(10, 3.0)) == "Simplex(10, total=3, scale=5)"
    assert repr(Box([0, 1], 2)) == "Box([0.0, 1.0], 2, shape=(2,))"
    assert repr(Product(power=Budget(2), server=OneHot(3))) == (
        "Product(power=Budget(2, total=1, scale=1), server=OneHot(3))"
    )
