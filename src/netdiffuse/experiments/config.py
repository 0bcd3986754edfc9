"""What a run was asked to do: config.json, and the words and places that go into it."""

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from netdiffuse.common import InvalidValueError, UnsupportedError, checks
from netdiffuse.common.files import check_entries, unused
from netdiffuse.users.llm import LLMRewardOptions


@dataclass(frozen=True)
class Config:
    """All that is needed to repeat a run; config.json holds it word for word, and ratings.json what people have rated.

    Attributes:
        problem: a problem's name, "file.py:Class" or a Gymnasium id; the class's name for an object of one's
            own.
        problem_args: keyword arguments of the problem.
        algorithm: name of the method.
        settings: keyword arguments of the algorithm that differ from its defaults.
        policy: "MlpPolicy" or "EquivariantPolicy".
        seed: seeds the algorithm and the training contexts.
        budget: `seconds` and `timesteps`, one of them None.
        n_envs: contexts a vector step.
        device: torch device, or "auto".
        threads: torch's threads; equal runs need an equal number.
        versions: of Python and the packages that decide about numbers.
        contexts: contexts (or episodes) of the final evaluation; None for as many as the problem's kind has.
        rater: options of the language model that rates the training, as `LLMRewardOptions.to_dict`; None for the
            problem's own reward. It holds no key.

    Raises:
        InvalidValueError: a value of the wrong type, as in a damaged file.
    """

    problem: str
    problem_args: dict[str, Any]
    algorithm: str
    settings: dict[str, Any]
    policy: str
    seed: int
    budget: dict[str, Any]
    n_envs: int
    device: str
    threads: int
    versions: dict[str, str] = field(default_factory=dict)
    contexts: int | None = None
    rater: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        words = dict.fromkeys(("problem", "algorithm", "policy", "device"), str)
        objects = dict.fromkeys(("problem_args", "settings", "budget", "versions"), dict)
        check_entries(vars(self), {**words, **objects})
        checks.seed("seed", self.seed)
        checks.integer("n_envs", self.n_envs)
        checks.integer("threads", self.threads, maximum=checks.MOST_THREADS)
        if self.contexts is not None:
            checks.integer("contexts", self.contexts)
        if self.rater is not None:
            LLMRewardOptions.from_dict(self.rater)

    def as_dict(self) -> dict[str, Any]:
        """As it is written in config.json, which leaves out `contexts` and `rater` where none were asked for."""
        values = asdict(self)
        for name in ("contexts", "rater"):
            if values[name] is None:
                del values[name]
        return values


def versions() -> dict[str, str]:
    """Versions of Python and the packages that decide about numbers."""
    import gymnasium
    import stable_baselines3

    import netdiffuse

    return {
        "netdiffuse": netdiffuse.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "stable_baselines3": stable_baselines3.__version__,
        "gymnasium": gymnasium.__version__,
        "numpy": np.__version__,
    }


def default_out(config: Config) -> Path:
    """runs/PROBLEM-ALGORITHM-sSEED, with a number at the end where that exists."""
    return unused(Path("runs") / run_name(config.problem, config.algorithm, config.seed))


def run_name(problem: str, algorithm: str, seed: int) -> str:
    """PROBLEM-ALGORITHM-sSEED, the name of a run's folder."""
    word = re.sub(r"[^\w.]+", "-", problem.rpartition(":")[2]).strip("-")
    return f"{word}-{algorithm}-s{seed}"


def portable_name(name: str) -> str:
    """A problem's name that means the same in another folder: a file's path becomes absolute."""
    place, colon, class_name = name.rpartition(":")
    return f"{os.path.abspath(place)}:{class_name}" if colon and place.endswith(".py") else name


def short_name(name: str) -> str:
    """A problem's name for titles: of a file's path only the file."""
    place, colon, class_name = name.rpartition(":")
    return f"{Path(place).name}:{class_name}" if colon and place.endswith(".py") else name


def check_device(device: str) -> str:
    """Return the device's name, refusing one that cannot be used here.

    Raises:
        UnsupportedError: torch cannot put a tensor there.
    """
    if device != "auto":
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise UnsupportedError(f"device '{device}' cannot be used here: {reason}") from error
    return device


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as JSON can hold them; the path of a file that exists becomes absolute, as in `portable_name`.

    Raises:
        InvalidValueError: a value that JSON cannot hold.
    """
    for key, value in values.items():
        if not isinstance(value, (str, int, float, bool, list, tuple, dict, type(None))):
            raise InvalidValueError(f"{key}={value!r} cannot be written in config.json: use numbers, text or lists")
    return {key: os.path.abspath(value) if _is_file(value) else value for key, value in values.items()}


def _is_file(value: Any) -> bool:
    # A word such as "cosine" is no path, whatever files there are here: files of data have an ending.
    return isinstance(value, str) and Path(value).suffix != "" and os.path.isfile(value)
