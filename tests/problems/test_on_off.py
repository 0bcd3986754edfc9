import itertools

import pytest
import torch

from netdiffuse.common import InvalidValueError
from netdiffuse.common.seeding import generator
from netdiffuse.problems.on_off import best_single_link, exhaustive_on_off, sum_rate


def test_exhaustive_search_equals_a_loop_over_all_combinations() -> None:
    gains = torch.empty(30, 5, 5).exponential_(generator=generator(0))
    rates = torch.stack(
        [
            sum_rate(gains, 2.0 * torch.tensor(on, dtype=torch.float32).expand(30, 5), 0.1)
            for on in itertools.product((0, 1), repeat=5)
        ]
    )
    found = exhaustive_on_off(gains, 0.1, 2.0)
    assert set(found.unique().tolist()) <= {0.0, 2.0}
    torch.testing.assert_close(sum_rate(gains, found, 0.1), rates.amax(0))


def test_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    gains = torch.empty(7, 4, 4).exponential_(generator=generator(0))
    whole = exhaustive_on_off(gains, 0.1, 1.0)
    monkeypatch.setattr("netdiffuse.problems.on_off.CHUNK", 1)
    assert torch.equal(exhaustive_on_off(gains, 0.1, 1.0), whole)


def test_best_single_link_has_the_highest_rate_of_one_link_alone() -> None:
    gains = torch.empty(40, 6, 6).exponential_(generator=generator(0))
    alone = torch.stack([sum_rate(gains, e.expand(40, 6), 0.1) for e in torch.eye(6)])
    found = best_single_link(gains, 1.0)
    assert (found.sum(1) == 1).all()
    torch.testing.assert_close(sum_rate(gains, found, 0.1), alone.amax(0))


def test_no_contexts_and_too_many_links() -> None:
    assert exhaustive_on_off(torch.empty(0, 3, 3), 0.1, 1.0).shape == (0, 3)
    with pytest.raises(InvalidValueError, match="at most 16 links, got 17"):
        exhaustive_on_off(torch.empty(1, 17, 17), 0.1, 1.0)
