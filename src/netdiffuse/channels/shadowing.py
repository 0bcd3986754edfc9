"""Log-normal shadowing."""

from collections.abc import Sequence

import torch
from torch import Tensor

from netdiffuse.common import checks


def shadowing_db(standard_deviation_db: float, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw independent shadow fading in dB, normal with mean zero, float32 of this shape.

    3GPP TR 38.901, clause 7.4.1: log-normal, with the standard deviations of Table 7.4.1-1 (4 dB for UMi
    street canyon in line of sight, 7.8 dB for the optional UMa model without). The correlation over distance
    of clause 7.4.4 is left out: the users of different contexts are independent.

    Raises:
        InvalidValueError: a negative standard deviation.
    """
    deviation = checks.non_negative("standard_deviation_db", standard_deviation_db)
    return deviation * torch.randn(tuple(shape), generator=generator)
