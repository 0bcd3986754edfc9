"""Seeds and random states."""

import random
from typing import Any

import numpy as np
import torch


def generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Make a torch generator seeded with `seed`."""
    return torch.Generator(device=device).manual_seed(seed)


def random_state() -> dict[str, Any]:
    """Capture the global random states of Python, NumPy and torch (and CUDA's where there is one)."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Restore what `random_state` captured."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
