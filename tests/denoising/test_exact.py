"""Split at every k equals unsplit, bit for bit; and unsplit equals what the pipeline of diffusers itself makes."""

import pytest
import torch

from netdiffuse.denoising.families import wrap
from netdiffuse.denoising.state import ChainState, stack

from .pipelines import PIPELINES

PROMPTS = ["apple on a table", "lemon on a table"]
NOISE = ["ddim", "euler", "euler-ancestral", "dpm++", "dpm++-karras", "unipc", "lcm"]
FLOW = ["flow-euler", "flow-dpm++", "flow-unipc"]
PAIRS = [(family, name) for family in ("stable-diffusion", "sdxl") for name in NOISE]
PAIRS += [(family, name) for family in ("sd3", "flux") for name in FLOW]
STEPS = 6
SIZES = {"flux": {"height": 32, "width": 32}}  # its default is large


@pytest.fixture(scope="module")
def families():
    torch.set_num_threads(1)
    return {name: wrap(make()) for name, make in PIPELINES.items()}


def assert_close(found, expected):
    """Within 1e-5 of the largest number."""
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def begin(model, scheduler, seeds=(7,), steps=STEPS, **more):
    return model.begin(list(seeds), steps, scheduler=scheduler, **SIZES.get(model.name, {}) | more)


@pytest.mark.parametrize(("family", "scheduler"), PAIRS)
def test_split_at_every_step_equals_unsplit(families, family, scheduler):
    model = families[family]
    shared, own = (model.encode([prompt]) for prompt in PROMPTS)
    start = begin(model, scheduler)
    chain = [start, *model.run(start, shared)]
    assert [state.step for state in chain] == list(range(STEPS + 1))
    for state in chain:
        there = ChainState.from_bytes(state.to_bytes())
        assert torch.equal(model.advance(there, shared).latents, chain[-1].latents), state.step
    other = model.advance(ChainState.from_bytes(chain[3].to_bytes()), own)
    assert not torch.equal(other.latents, chain[-1].latents)


@pytest.mark.parametrize(("family", "scheduler"), PAIRS)
def test_unsplit_equals_the_pipeline_itself(families, family, scheduler):
    model = families[family]
    pipeline, kept = model.pipeline, model.pipeline.scheduler
    scale = model.default_guidance
    state = model.advance(begin(model, scheduler), model.encode(PROMPTS[:1], scale))
    try:
        pipeline.scheduler = model.scheduler(scheduler)
        generator = [torch.Generator().manual_seed(7)]
        expected = pipeline(
            PROMPTS[:1], num_inference_steps=STEPS, guidance_scale=scale, generator=generator, output_type="latent",
            **SIZES.get(family, {}),
        ).images  # fmt: skip
    finally:
        pipeline.scheduler = kept
    assert torch.equal(state.latents, expected)


@pytest.mark.parametrize(("family", "scheduler"), PAIRS)
def test_a_batch_is_as_good_as_one_at_a_time(families, family, scheduler):
    model = families[family]
    prompts = model.encode(PROMPTS)
    together = model.advance(begin(model, scheduler, (1, 2)), prompts)
    for row, seed in enumerate((1, 2)):
        alone = model.advance(begin(model, scheduler, (seed,)), prompts.select([row]))
        assert_close(together.latents[row], alone.latents[0])


@pytest.mark.parametrize("scheduler", ["euler-ancestral", "unipc", "dpm++"])
def test_chains_meet_and_part(families, scheduler):
    """Two chains stacked for some steps and taken apart again are what they were, up to the batch's rounding."""
    model = families["stable-diffusion"]
    prompts = model.encode(PROMPTS)
    halves = [model.advance(begin(model, scheduler, (s,)), prompts.select([s]), 2) for s in (0, 1)]
    met = model.advance(stack(halves), prompts, 4)
    for row in (0, 1):
        parted = model.advance(ChainState.from_bytes(met.select([row]).to_bytes()), prompts.select([row]))
        alone = model.advance(halves[row], prompts.select([row]))
        assert_close(parted.latents, alone.latents)


def test_ddim_with_noise_carries_its_random_state(families):
    model = families["stable-diffusion"]
    prompt = model.encode(PROMPTS[:1])
    start = begin(model, "ddim", eta=1.0)
    whole = model.advance(start, prompt)
    half = ChainState.from_bytes(model.advance(start, prompt, 3).to_bytes())
    assert half.random
    assert torch.equal(model.advance(half, prompt).latents, whole.latents)
    assert not torch.equal(whole.latents, model.advance(begin(model, "ddim"), prompt).latents)


@pytest.mark.parametrize("family", list(PIPELINES))
def test_pictures(families, family):
    model = families[family]
    state = begin(model, None if model.flow else "ddim", steps=2)
    (picture,) = model.decode(model.advance(state, model.encode(PROMPTS[:1])))
    assert picture.size == (state.width, state.height)
