"""Searches over links that are either silent or at full power."""

import torch
from torch import Tensor

from netdiffuse.channels import sinr, spectral_efficiency
from netdiffuse.common import InvalidValueError

MAX_LINKS = 16  # 65,536 combinations a context
CHUNK = 2**22  # floats of received power held at a time


def exhaustive_on_off(gains: Tensor, noise_power: float, max_power: float) -> Tensor:
    """Try all 2^K combinations of links at full power and return the one of the highest sum rate.

    Args:
        gains: linear power gains, shape (n, K, K); entry [i, j] from transmitter j to receiver i.
        noise_power: noise power at each receiver.
        max_power: transmit power of an active link.

    Returns:
        Powers, 0 or `max_power`, shape (n, K).

    Raises:
        InvalidValueError: more than 16 links.
    """
    links = gains.shape[-1]
    if links > MAX_LINKS:
        raise InvalidValueError(f"exhaustive search takes at most {MAX_LINKS} links, got {links}")
    bits = torch.arange(2**links, device=gains.device).unsqueeze(-1) >> torch.arange(links, device=gains.device)
    combinations = (bits & 1).to(gains.dtype) * max_power  # (2^K, K)
    best = []
    for chunk in torch.split(gains, max(1, CHUNK // combinations.numel())):
        received = combinations @ chunk.mT  # (n, 2^K, K)
        signal = combinations * chunk.diagonal(dim1=-2, dim2=-1).unsqueeze(-2)
        # rounding may leave a tiny negative interference where nobody else is on
        interference = (received - signal).clamp(min=0.0)
        rates = spectral_efficiency(signal / (interference + noise_power)).sum(-1)  # (n, 2^K)
        best.append(combinations[rates.argmax(-1)])
    return torch.cat(best) if best else gains.new_zeros(0, links)


def best_single_link(gains: Tensor, max_power: float) -> Tensor:
    """Put the link of the largest direct gain alone at full power; shapes (n, K, K) to (n, K)."""
    direct = gains.diagonal(dim1=-2, dim2=-1)
    return torch.zeros_like(direct).scatter_(-1, direct.argmax(-1, keepdim=True), max_power)


def sum_rate(gains: Tensor, powers: Tensor, noise_power: float) -> Tensor:
    """Sum of the links' rates in bit/s/Hz; shapes (n, K, K) and (n, K) to (n,)."""
    return spectral_efficiency(sinr(gains, powers, noise_power)).sum(-1)
