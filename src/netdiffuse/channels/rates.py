"""Achievable rates and signal-to-interference-plus-noise ratios."""

import math

import torch
from torch import Tensor

from netdiffuse.channels.decibels import Real


def spectral_efficiency(snr: Real) -> Real:
    """Shannon's rate log2(1 + SNR) in bit/s/Hz of a non-negative linear SNR."""
    if isinstance(snr, Tensor):
        return torch.log1p(snr) / math.log(2)  # log1p keeps the digits of a small SNR
    return math.log1p(snr) / math.log(2)


def rate_bps(bandwidth_hz: float, snr: Real) -> Real:
    """Shannon's rate B log2(1 + SNR) in bit/s of a non-negative linear SNR."""
    return bandwidth_hz * spectral_efficiency(snr)


def sinr(gains: Tensor, powers: Tensor, noise_power: float) -> Tensor:
    """Linear SINR of each link, g_ii p_i / (sum over j != i of g_ij p_j + noise).

    Args:
        gains: linear power gains, shape (..., K, K); entry [i, j] from transmitter j to receiver i.
        powers: transmit powers, shape (..., K), in the unit of `noise_power`.
        noise_power: noise power at each receiver, positive.

    Returns:
        Shape (..., K).
    """
    received = gains * powers.unsqueeze(-2)  # (..., K, K)
    signal = received.diagonal(dim1=-2, dim2=-1)
    # leave the diagonal out rather than subtract it: the difference of large numbers loses a weak interferer
    own = torch.eye(gains.shape[-1], dtype=torch.bool, device=gains.device)
    interference = received.masked_fill(own, 0.0).sum(-1)
    return signal / (interference + noise_power)
