"""WMMSE: a local optimum of the sum rate of interfering links."""

import torch
from torch import Tensor


def wmmse(
    gains: Tensor, noise_power: float, max_power: float, iterations: int = 100, start: Tensor | None = None
) -> Tensor:
    """Ascend the sum rate of single-antenna interfering links by weighted minimum mean squared error.

    Shi, Razaviyayn, Luo and He, "An Iteratively Weighted MMSE Approach to Distributed Sum-Utility
    Maximization for a MIMO Interfering Broadcast Channel", IEEE Trans. Signal Processing 2011, Table I, with
    scalar channels and unit weights. Each iteration updates receivers, weights and transmitters in turn and
    never lowers the sum rate.

    Args:
        gains: linear power gains |h|^2, shape (n, K, K); entry [i, j] from transmitter j to receiver i.
        noise_power: noise power at each receiver, positive.
        max_power: largest transmit power of each link, in the unit of `noise_power`.
        iterations: number of iterations.
        start: powers to start from, shape (n, K); full power by default. A link that starts at zero stays
            off.

    Returns:
        Powers in [0, max_power], shape (n, K), in the precision of `gains` (computed in float64).
    """
    h = gains.double().sqrt()
    g = gains.double()
    others = g - torch.diag_embed(g.diagonal(dim1=-2, dim2=-1))
    direct = h.diagonal(dim1=-2, dim2=-1)  # (n, K)
    limit = max_power**0.5
    v = torch.full_like(direct, limit) if start is None else start.double().clamp(0.0, max_power).sqrt()
    for _ in range(iterations):
        # Summed without the link's own, for at a high SNR it would drown them.
        interference = (others @ v.square().unsqueeze(-1)).squeeze(-1) + noise_power
        received = interference + direct.square() * v.square()  # total power at each receiver
        u = direct * v / received  # MMSE receivers
        w = received / interference  # inverse mean squared errors
        numerator = w * u * direct
        denominator = (g.mT @ (w * u.square()).unsqueeze(-1)).squeeze(-1)
        # both vanish together for a link that is off or has no gain: it stays off
        v = torch.where(numerator > 0, numerator / denominator, 0.0).clamp(max=limit)
    return v.square().clamp(max=max_power).to(gains.dtype)
