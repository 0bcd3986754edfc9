import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netdiffuse.common import InvalidValueError, UnknownNameError
from netdiffuse.denoising.planner import SharingRule, cosines, fixed_plan, make_plan, medoid

RULE = SharingRule(low=0.2, high=1.0, most=0.8)


def clusters(*sizes, spread=0.05, seed=0):
    """Unit vectors around as many orthogonal directions as there are sizes."""
    random = np.random.default_rng(seed)
    rows = [np.eye(16)[i] + spread * random.normal(size=16) for i, size in enumerate(sizes) for _ in range(size)]
    return np.array(rows)


@pytest.mark.parametrize("shape", ["tree", "flat"])
def test_groups_are_those_of_meaning(shape):
    plan = make_plan(clusters(3, 4, 1), 10, rule=RULE, shape=shape)
    assert sorted(root.members for root in plan.roots) == [(0, 1, 2), (3, 4, 5, 6)]
    assert plan.shared_steps[7] == 0
    assert all(k >= 5 for k in plan.shared_steps[:7])


def test_who_is_more_alike_shares_more():
    """Three steps among eight, then four more among three of them: a tree in which each merge has its own k."""
    base = np.zeros((8, 16))
    base[:, 0] = 1
    for row in range(8):
        base[row, 1 + row] = 0.6
    base[5:8, 9:] = 0
    base[5:8, 1:] = 0
    base[5:8, 10] = 1.0
    base[5, 11] = base[6, 12] = base[7, 13] = 0.25
    plan = make_plan(base, 10, rule=RULE)
    (root,) = plan.roots
    assert root.members == tuple(range(8))
    inner = [child for child in root.children if child.members == (5, 6, 7)]
    assert len(inner) == 1
    assert inner[0].start == root.stop
    k = plan.shared_steps
    assert min(k[5:]) > max(k[:5])


def test_k_falls_with_the_distance_from_the_leader():
    angles = np.array([0.0, 0.1, 0.3, 0.6])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], 1)
    plan = make_plan(embeddings, 40, rule=RULE, shape="flat", leader=0)
    k = plan.shared_steps
    assert k[0] == k[1] > k[2] > k[3] > 0
    assert list(k[1:]) == [RULE.steps(np.cos(angle), 40) for angle in angles[1:]]
    assert all(segment.leaders == (0,) for segment in plan.segments)


def test_leaders():
    embeddings = clusters(3, 3)
    assert all(s.leaders == s.members for s in make_plan(embeddings, 10, rule=RULE, leader="mean").segments)
    named = make_plan(embeddings, 10, rule=RULE, leader=4)
    assert {s.leaders for s in named.segments if 4 in s.members} == {(4,)}
    alike = cosines(embeddings)
    for segment in make_plan(embeddings, 10, rule=RULE).segments:
        best = max(segment.members, key=lambda m: alike[m, list(segment.members)].sum())
        assert segment.leaders == (best,)


def test_medoid_of_a_line():
    alike = cosines(np.stack([np.cos([0, 0.2, 0.9]), np.sin([0, 0.2, 0.9])], 1))
    assert medoid((0, 1, 2), alike) == 1


def test_fixed():
    plan = fixed_plan(4, 11, 5)
    assert plan.shared_steps == (5,) * 4
    assert plan.server_steps == 5
    assert plan.device_steps == 24
    assert plan.saved == pytest.approx(1 - 29 / 44)
    assert fixed_plan(4, 11, 0).roots == ()
    assert fixed_plan(3, 11, 2, leader=1).roots[0].leaders == (1,)


@settings(max_examples=200, deadline=None)
@given(
    users=st.integers(1, 12),
    steps=st.integers(1, 30),
    seed=st.integers(0, 2**16),
    shape=st.sampled_from(["tree", "flat"]),
    leader=st.sampled_from(["medoid", "mean", 0]),
    most=st.floats(0, 0.99),
)
def test_every_plan_is_a_plan(users, steps, seed, shape, leader, most):
    random = np.random.default_rng(seed)
    embeddings = random.normal(size=(users, 3))
    plan = make_plan(embeddings, steps, rule=SharingRule(0.0, 0.9, most), shape=shape, leader=leader)
    assert len(plan.shared_steps) == users
    assert all(0 <= k <= most * steps + 1e-9 for k in plan.shared_steps)
    starts = [member for root in plan.roots for member in root.members]
    assert len(starts) == len(set(starts))  # nobody begins twice
    assert all(set(root.leaders) <= set(root.members) for root in plan.roots)  # nobody leads what they do not share
    for segment in plan.segments:
        assert segment.start < segment.stop
        assert len(segment.members) > 1
        assert shape == "flat" or set(segment.leaders) <= set(segment.members)
        below = [member for child in segment.children for member in child.members]
        assert len(below) == len(set(below))
        assert set(below) <= set(segment.members)
        assert all(child.start == segment.stop for child in segment.children)
    assert plan.server_steps + plan.device_steps <= users * steps
    assert 0 <= plan.saved < 1


def test_sharing_alone_saves_nothing_and_costs_nothing():
    plan = make_plan(clusters(1), 10)
    assert plan.roots == ()
    assert plan.saved == 0
    different = make_plan(clusters(1, 1, 1, 1), 10, rule=RULE)
    assert different.shared_steps == (0,) * 4


def test_order_does_not_matter():
    embeddings = clusters(3, 2, 1)
    plan = make_plan(embeddings, 12, rule=RULE)
    for order in itertools.islice(itertools.permutations(range(6)), 0, 720, 97):
        shuffled = make_plan(embeddings[list(order)], 12, rule=RULE)
        assert [shuffled.shared_steps[i] for i in range(6)] == [plan.shared_steps[j] for j in order]


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: cosines(np.zeros((2, 3))), InvalidValueError, "embedding 0 must be finite and not zero"),
        (lambda: cosines(np.array([[1.0, np.nan]])), InvalidValueError, "embedding 0"),
        (lambda: cosines(np.zeros(3)), InvalidValueError, "shape"),
        (lambda: make_plan(np.eye(2), 0), InvalidValueError, "steps"),
        (lambda: make_plan(np.eye(2), 4, shape="star"), UnknownNameError, "shape of a plan 'star'"),
        (lambda: make_plan(np.eye(2), 4, leader="boss"), UnknownNameError, "leader 'boss'"),
        (lambda: make_plan(np.eye(2), 4, leader=2), InvalidValueError, "leader"),
        (lambda: SharingRule(low=0.5, high=0.5), InvalidValueError, "low below high"),
        (lambda: SharingRule(most=1.0), InvalidValueError, "most must be below 1"),
        (lambda: fixed_plan(2, 5, 6), InvalidValueError, "shared"),
        (lambda: fixed_plan(0, 5, 1), InvalidValueError, "users"),
    ],
)
def test_bad_input(make, error, said):
    with pytest.raises(error, match=said):
        make()
