"""Standardised contexts have zero mean and unit variance, for each structure."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from gymnasium import spaces

from netdiffuse.common import InvalidValueError
from netdiffuse.common.seeding import generator
from netdiffuse.problems.features import StandardisedContext, context_statistics


class Sampler:
    """The part of a problem that the statistics read: a mean of 5 off the diagonal and 9 on it for pairs."""

    offsets: ClassVar = {
        "vector": torch.tensor([1.0, 100.0, -3.0]),
        "entities": 5.0,
        "pairs": 5 + 4 * torch.eye(3),
    }

    log_contexts = False

    def __init__(self, structure, shape):
        self.structure, self.context_shape = structure, shape

    def sample_contexts(self, n, generator):
        offset = self.offsets[self.structure]
        if self.structure == "pairs" and len(self.context_shape) == 3:
            offset = offset.unsqueeze(-1)
        return offset + 2 * torch.randn(n, *self.context_shape, generator=generator)


def box(shape):
    return spaces.Box(-np.inf, np.inf, shape, np.float32)


@pytest.mark.parametrize(
    ("structure", "shape", "compact"),
    [
        ("vector", (3,), (3,)),
        ("entities", (3,), ()),
        ("entities", (3, 2), (2,)),
        ("pairs", (3, 3), (2,)),
        ("pairs", (3, 3, 2), (2, 2)),
    ],
)
def test_features_have_zero_mean_and_unit_variance(structure, shape, compact):
    problem = Sampler(structure, shape)
    statistics = context_statistics(problem)
    assert np.shape(statistics["mean"]) == np.shape(statistics["std"]) == compact
    extractor = StandardisedContext(box(shape), **statistics)
    features = extractor(problem.sample_contexts(20_000, generator(1)))
    assert features.shape == (20_000, np.prod(shape))
    assert extractor.features_dim == np.prod(shape)
    torch.testing.assert_close(features.mean(0), torch.zeros(int(np.prod(shape))), atol=0.06, rtol=0)
    torch.testing.assert_close(features.std(0), torch.ones(int(np.prod(shape))), atol=0.06, rtol=0)


def test_pairs_keep_the_diagonal_apart():
    mean = context_statistics(Sampler("pairs", (3, 3)))["mean"]
    assert mean == pytest.approx([5, 9], abs=0.1)


def test_weights_load_with_another_number_of_entities():
    small = StandardisedContext(box((2, 2)), mean=[1.0, 2.0], std=[2.0, 4.0], structure="pairs")
    large = StandardisedContext(box((3, 3)), structure="pairs", mean=[0.0, 0.0], std=[1.0, 1.0])
    large.load_state_dict(small.state_dict())
    expected = torch.full((3, 3), -0.5).fill_diagonal_(-0.5)
    torch.testing.assert_close(large(torch.zeros(1, 3, 3)).reshape(3, 3), expected)
    own = large(torch.eye(3)[None] * 6).reshape(3, 3)
    torch.testing.assert_close(own, torch.full((3, 3), -0.5).fill_diagonal_(1.0))


def test_an_entry_that_never_varies_is_only_centred():
    problem = Sampler("vector", (3,))
    problem.sample_contexts = lambda n, generator: torch.full((n, 3), 7.0)
    statistics = context_statistics(problem)
    assert statistics["std"] == [1, 1, 1]
    assert statistics["mean"] == [7, 7, 7]


@pytest.mark.parametrize("arguments", [{"std": 0.0}, {"std": [1.0, -1.0, 1.0]}, {"mean": [1.0, 2.0]}])
def test_statistics_that_do_not_fit_are_refused(arguments):
    with pytest.raises(InvalidValueError):
        StandardisedContext(box((3,)), **arguments)


def test_gains_over_orders_of_magnitude_are_seen_by_their_logarithms():
    class Gains(Sampler):
        log_contexts = True

        def sample_contexts(self, n, generator):
            return 1e-11 * torch.exp(3 * torch.randn(n, *self.context_shape, generator=generator))

    problem = Gains("entities", (4,))
    extractor = StandardisedContext(box((4,)), **context_statistics(problem))
    features = extractor(problem.sample_contexts(20_000, generator(1)))
    torch.testing.assert_close(features.mean(), torch.tensor(0.0), atol=0.05, rtol=0)
    torch.testing.assert_close(features.std(), torch.tensor(1.0), atol=0.05, rtol=0)
    assert torch.isfinite(extractor(torch.zeros(1, 4))).all()
