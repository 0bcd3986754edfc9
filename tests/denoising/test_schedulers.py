"""Traps of diffusers' schedulers, each of which has spoilt somebody's hand-off."""

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from netdiffuse.common import InvalidValueError, UnknownNameError, UnsupportedError
from netdiffuse.denoising.families import wrap
from netdiffuse.denoising.schedulers import (
    KINDS,
    NAMES,
    configuration,
    make_scheduler,
    named_scheduler,
    recall,
    remind,
)

from .pipelines import STABLE, stable_diffusion


def walk(scheduler, latents, steps, start=0):
    """Steps with an output that depends on the latents alone."""
    for timestep in scheduler.timesteps[start : start + steps]:
        inputs = scheduler.scale_model_input(latents, timestep) if hasattr(scheduler, "scale_model_input") else latents
        latents = scheduler.step(0.3 * inputs.sin(), timestep, latents, return_dict=False)[0]
    return latents


def fresh(name, steps=7):
    flow = name.startswith("flow")
    like = FlowMatchEulerDiscreteScheduler(shift=3.0) if flow else DDIMScheduler(**STABLE)
    scheduler = named_scheduler(name, like)
    scheduler.set_timesteps(steps)
    return scheduler


DETERMINISTIC = [name for name in NAMES if name not in ("euler-ancestral", "lcm")]


@pytest.mark.parametrize("name", DETERMINISTIC)
@pytest.mark.parametrize("k", range(8))
def test_memory_is_all_there_is(name, k):
    start = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = walk(fresh(name), start, 7)
    here = fresh(name)
    half = walk(here, start, k)
    there = make_scheduler(type(here).__name__, configuration(here))
    remind(there, recall(here), torch.device("cpu"))
    assert torch.equal(walk(there, half, 7 - k, k), whole)


@pytest.mark.parametrize("name", ["dpm++", "unipc"])
def test_a_cut_list_of_timesteps_would_go_elsewhere(name):
    """What others do, and why a state holds the whole list: the last steps are of lower order."""
    start = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = walk(fresh(name), start, 7)
    here, there = fresh(name), fresh(name)
    half = walk(here, start, 3)
    there.timesteps = there.timesteps[3:]
    cut = walk(there, half, 4)
    assert (cut - whole).abs().max() > 1e-3 * whole.abs().max()


def test_a_patched_configuration_is_carried():
    """StableDiffusionPipeline sets steps_offset on the scheduler that it is given; `from_config` forgets that."""
    with pytest.warns(FutureWarning, match="steps_offset"):
        pipeline = stable_diffusion(DDIMScheduler(**STABLE))
    assert pipeline.scheduler.config.steps_offset == 1
    assert DDIMScheduler.from_config(pipeline.scheduler.config).config.steps_offset == 0
    model = wrap(pipeline)
    for name in (None, "ddim", "dpm++", "lcm"):
        scheduler = model.scheduler(name)
        assert scheduler.config.steps_offset == 1
    state = model.begin([0], 10)
    pipeline.scheduler.set_timesteps(10)
    assert torch.equal(state.memory.timesteps, pipeline.scheduler.timesteps)
    assert state.config["steps_offset"] == 1
    assert state.config["clip_sample"] is False


def test_what_was_set_is_taken_over_and_what_was_not_is_left():
    like = PNDMScheduler(**STABLE, skip_prk_steps=True, steps_offset=1)
    scheduler = named_scheduler("unipc", like)
    assert scheduler.config.beta_schedule == "scaled_linear"
    assert scheduler.config.steps_offset == 1
    assert scheduler.config.timestep_spacing == UniPCMultistepScheduler().config.timestep_spacing  # not PNDM's default
    assert named_scheduler("dpm++-karras", like).config.use_karras_sigmas
    assert not named_scheduler("dpm++", DPMSolverMultistepScheduler(use_karras_sigmas=True)).config.use_karras_sigmas


def test_a_flows_shift_has_two_names():
    """SD3's shift of 3, under the name that each class gives it: noise levels are shifted alike."""
    like = FlowMatchEulerDiscreteScheduler(shift=3.0)
    for name in ("flow-dpm++", "flow-unipc"):
        scheduler = named_scheduler(name, like)
        scheduler.set_timesteps(4)
        plain = torch.linspace(1, 1 / 1000, 5, dtype=torch.float64)[:-1]
        shifted = 3 * plain / (1 + 2 * plain)
        assert torch.allclose(scheduler.sigmas[:-1].double(), shifted, atol=2e-3), name
    back = named_scheduler("flow-euler", named_scheduler("flow-unipc", like))
    assert back.config.shift == 3.0


def test_set_to_the_default_is_set():
    """Somebody who writes down what is the default means it, also for a class whose default is another."""
    said = PNDMScheduler.from_config({"timestep_spacing": "leading", "steps_offset": 1})
    assert named_scheduler("dpm++", said).config.timestep_spacing == "leading"
    assert named_scheduler("dpm++", PNDMScheduler()).config.timestep_spacing == "linspace"


def test_latents_are_never_clipped():
    assert named_scheduler("ddim", PNDMScheduler()).config.clip_sample is False


def test_what_an_earlier_class_left_is_taken_over():
    like = PNDMScheduler.from_config({"rescale_betas_zero_snr": True})
    assert named_scheduler("ddim", like).config.rescale_betas_zero_snr is True


def test_noise_is_scaled_once():
    """Latents that are handed on were scaled by init_noise_sigma at the beginning; a pipeline would do it again."""
    model = wrap(stable_diffusion())
    prompt = model.encode(["apple"])
    start = model.begin([3], 5, scheduler="euler")
    scheduler = model.scheduler("euler")
    scheduler.set_timesteps(5)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    assert float(scheduler.init_noise_sigma) > 10
    assert torch.equal(start.latents, noise * scheduler.init_noise_sigma)
    assert torch.equal(next(model.run(start, prompt)).latents, model.advance(start, prompt, 1).latents)


@pytest.mark.parametrize("make", [PNDMScheduler, HeunDiscreteScheduler])
def test_several_timesteps_a_step_are_refused(make):
    model = wrap(stable_diffusion(make(**STABLE, **({"skip_prk_steps": True} if make is PNDMScheduler else {}))))
    with pytest.raises(UnsupportedError, match="cannot be split"):
        model.begin([0], 4)
    assert model.begin([0], 4, scheduler="ddim").steps == 4  # its name may be given all the same


def test_noise_that_no_state_can_carry_is_refused():
    with pytest.raises(UnsupportedError, match="global generator"):
        make_scheduler("FlowMatchEulerDiscreteScheduler", {"stochastic_sampling": True})


def test_unknown_names_and_settings():
    with pytest.raises(UnknownNameError, match=r"unknown scheduler 'dpm'. Did you mean 'dpm\+\+'"):
        named_scheduler("dpm", DDIMScheduler())
    with pytest.raises(InvalidValueError, match="has no setting 'colour'"):
        make_scheduler("DDIMScheduler", {"colour": 1})
    with pytest.raises(InvalidValueError, match="refuses its configuration"):
        make_scheduler("DDIMScheduler", {"beta_schedule": "steep"})
    with pytest.raises(UnsupportedError, match="needs a scheduler of noise"):
        wrap(stable_diffusion()).begin([0], 4, scheduler="flow-euler")


def test_memory_of_another_class_is_refused():
    here = fresh("dpm++")
    walk(here, torch.zeros(1, 4, 8, 8), 2)
    with pytest.raises(InvalidValueError, match="remembers no 'model_outputs"):
        remind(EulerDiscreteScheduler(), recall(here), torch.device("cpu"))


def test_every_kind_is_covered():
    assert {class_name for class_name, _ in NAMES.values()} == set(KINDS)
