"""A small model with an edge server around it."""

import numpy as np
import torch

from netdiffuse.denoising.edge.allocator import ByMeaning
from netdiffuse.denoising.edge.engine import LocalEngine
from netdiffuse.denoising.families import wrap
from netdiffuse.denoising.planner import SharingRule

from .pipelines import WORDS, stable_diffusion

RULE = SharingRule(low=0.0, high=1.0, most=0.8)
STEPS = 6


def bag_of_words(prompts):
    """An embedding that any reader can check: which words a prompt has."""
    return np.array([[1e-3 + (word in prompt.split()) for word in WORDS[4:]] for prompt in prompts])


def tiny_model():
    torch.set_num_threads(1)
    return wrap(stable_diffusion())


def tiny_engine(model=None, scheduler="dpm++"):
    return LocalEngine.of(model or tiny_model(), ByMeaning(bag_of_words, RULE), STEPS, scheduler)
