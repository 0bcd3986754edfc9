"""What users ask for: captions in themes, how alike each two are, and how well shared steps turn out.

`captions.json` and `quality.json` are made by `python -m netdiffuse.problems.shared_denoising.make_tables` with the
small model and its classifier, so that the environment needs neither.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netdiffuse.common import DataFileError
from netdiffuse.common.files import read_json
from netdiffuse.denoising.quality_table import QualityTable

Array = NDArray[Any]
HERE = Path(__file__).parent
CAPTIONS, QUALITY = HERE / "captions.json", HERE / "quality.json"


@dataclass(frozen=True)
class Library:
    """Captions that users draw from.

    Attributes:
        captions: M of them.
        themes: for each of some themes (an object, or a place) the numbers of its captions, shape (themes, captions).
        similarity: cosine of each two captions' embeddings, shape (M, M), 1 on the diagonal.
    """

    captions: tuple[str, ...]
    themes: NDArray[np.int64]
    similarity: NDArray[np.float64]


@cache
def library() -> Library:
    """The captions that come with netdiffuse."""
    said = read_json(CAPTIONS)
    if not isinstance(said, dict) or said.get("format") != "netdiffuse.captions" or said.get("version") != 1:
        raise DataFileError(f"{CAPTIONS} is no table of captions of this version: install netdiffuse anew")
    return Library(tuple(said["captions"]), np.array(said["themes"], np.int64), np.array(said["similarity"]))


@cache
def shipped_quality() -> QualityTable:
    """The quality of shared steps with the small model, over similarity, shared fraction and bit error rate."""
    return QualityTable.load(QUALITY)
