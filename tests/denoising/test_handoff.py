import pytest
import torch

from netdiffuse.common import InvalidValueError, UnknownNameError
from netdiffuse.denoising import grid
from netdiffuse.denoising.codec import make_codec
from netdiffuse.denoising.handoff import link_with_errors, send_state
from netdiffuse.denoising.planner import fixed_plan

from .serving import tiny_model

PROMPTS = ["apple on a table", "lemon on a table"]


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def test_a_state_arrives_as_its_codec_writes_it(model):
    state = model.advance(model.begin([0], 4, scheduler="dpm++"), model.encode(PROMPTS[:1]), 2)
    arrived, deliveries = send_state(state, link_with_errors("uint8", 0.0), torch.Generator().manual_seed(0))
    codec = make_codec("uint8")
    assert torch.equal(arrived.latents, codec.decode(codec.encode(state.latents)))
    assert len(deliveries) == 1 + len(state.memory.history)  # the solver's memory goes along
    assert sum(delivery.bit_errors for delivery in deliveries) == 0


def test_a_grid_over_a_link(model):
    plan = fixed_plan(2, 4, 2)
    exact = grid.split(model, PROMPTS, plan)
    sent = grid.split(model, PROMPTS, plan, link=link_with_errors("fp16", 0.05))
    assert exact.deliveries == ()
    assert sum(delivery.bit_errors for delivery in sent.deliveries) > 0
    for user in range(2):
        for step in range(3):  # what was shared is what it was
            assert torch.equal(sent.trails[user][step].latents, exact.trails[user][step].latents)
        assert not torch.equal(sent.trails[user][4].latents, exact.trails[user][4].latents)
    nothing = grid.split(model, PROMPTS, fixed_plan(2, 4, 0), link=link_with_errors("fp16", 0.05))
    assert nothing.deliveries == ()  # nothing is handed over
    assert torch.equal(
        nothing.trails[1][4].latents, grid.split(model, PROMPTS, fixed_plan(2, 4, 0)).trails[1][4].latents
    )


def test_links_that_do_not_exist():
    with pytest.raises(UnknownNameError, match="codec"):
        link_with_errors("int5", 0.0)
    with pytest.raises(InvalidValueError, match="bit_error_rate must be in"):
        link_with_errors("uint8", 0.7)
