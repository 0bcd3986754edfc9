"""Where the quality of pictures comes from: the measured table, or real chains."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netdiffuse.problems.shared_denoising.library import shipped_quality
from netdiffuse.problems.shared_denoising.outcomes import STEPS
from netdiffuse.problems.shared_denoising.settings import OutcomeKind

if TYPE_CHECKING:
    from netdiffuse.problems.shared_denoising.simulator import SharedDenoisingSimulator

Array = NDArray[Any]
Quality = Callable[["SharedDenoisingSimulator", NDArray[np.int64], Array], Array]
"""`(simulator, shared, bit_error_rate) -> quality`, of arrays of shape (sessions, users)."""


def quality_by_table(simulator: "SharedDenoisingSimulator", shared: NDArray[np.int64], bit_error_rate: Array) -> Array:
    """Quality from the table that was measured with the small model."""
    return shipped_quality()(simulator.slot.similarity, shared / STEPS, bit_error_rate)


def quality_of(outcome: OutcomeKind) -> Quality:
    """By the table, or by real pictures.

    Raises:
        MissingExtraError: "pictures" without the extra [denoising].
    """
    if outcome == "table":
        return quality_by_table
    from netdiffuse.problems.shared_denoising.pictures import QualityByPictures

    return QualityByPictures()
