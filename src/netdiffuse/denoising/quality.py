"""How far a picture is from the one it should be."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from netdiffuse.common import InvalidValueError


def to_tensor(pictures: Sequence[Image]) -> Tensor:
    """Pictures as numbers in [0, 1], shape (n, 3, height, width).

    Raises:
        InvalidValueError: none, or pictures of several sizes.
    """
    sizes = {picture.size for picture in pictures}
    if len(sizes) != 1:
        raise InvalidValueError(f"pictures must be of one size, got {sorted(sizes)}")
    return torch.from_numpy(np.stack([np.asarray(p.convert("RGB"), np.float32) / 255 for p in pictures])).movedim(3, 1)


def distance(found: Sequence[Image], wanted: Sequence[Image]) -> dict[str, list[float]]:
    """Distances of each picture from the one it should be.

    Args:
        found: n pictures.
        wanted: n pictures, of the same size.

    Returns:
        `mse` (of values in [0, 1]); `psnr_db`, infinite for equal pictures; `ssim` in [-1, 1], 1 for equal ones (Wang
        et al., IEEE TIP 2004, with its Gaussian window of 11 pixels).
    """
    a, b = to_tensor(found), to_tensor(wanted)
    if a.shape != b.shape:
        raise InvalidValueError(f"pictures must pair up, got {tuple(a.shape)} and {tuple(b.shape)}")
    mse = (a - b).square().mean((1, 2, 3))
    psnr = [float(peak_signal_noise_ratio(x, y, data_range=1.0)) for x, y in zip(a, b, strict=True)]
    ssim = structural_similarity_index_measure(a, b, data_range=1.0, reduction="none")
    assert isinstance(ssim, Tensor)
    return {"mse": mse.tolist(), "psnr_db": psnr, "ssim": ssim.reshape(-1).tolist()}
