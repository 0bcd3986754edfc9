"""Water-filling: the optimal powers of parallel Gaussian channels under a total power."""

import torch
from torch import Tensor


def water_filling(gains: Tensor, total_power: float, noise_power: float) -> Tensor:
    """Maximise sum_i log2(1 + g_i p_i / noise) with p >= 0 and sum_i p_i = P, exactly, for a whole batch.

    The optimum is p_i = max(mu - noise / g_i, 0) (Cover and Thomas, "Elements of Information Theory", section
    9.4). With the channels sorted by floors noise / g_i, the water level over the k best is mu_k = (P + the
    sum of their floors) / k, and k is right when mu_k lies above all their floors and below the next: a
    cumulative sum, no search.

    Args:
        gains: linear power gains >= 0, shape (..., M); a zero gain gets no power, all zeros get an equal
            split.
        total_power: P, positive.
        noise_power: noise power of a channel, positive, in the unit of `total_power`.

    Returns:
        Powers that sum to P, shape (..., M), in the precision of `gains` (computed in float64).
    """
    floors = noise_power / gains.double()  # infinite where the gain is zero
    lowest = floors.amin(-1, keepdim=True)
    # heights above the lowest floor keep their digits where noise / g is far above P
    floors = torch.where(lowest.isinf(), torch.zeros_like(floors), floors - lowest)
    ascending = floors.sort(-1).values
    count = torch.arange(1, gains.shape[-1] + 1, dtype=torch.float64, device=gains.device)
    levels = (total_power + ascending.cumsum(-1)) / count  # mu_k for every k, (..., M)
    active = (levels > ascending).sum(-1, keepdim=True)  # at least 1: the lowest floor is 0
    powers = (levels.gather(-1, active - 1) - floors).clamp(min=0.0)
    return (powers * (total_power / powers.sum(-1, keepdim=True))).to(gains.dtype)
