"""Chains over a link: the latent, and what the solver remembers, as they arrive."""

import torch
from torch import Tensor

from netdiffuse.common import InvalidValueError, checks
from netdiffuse.denoising.link import BinarySymmetric, Delivery, Link
from netdiffuse.denoising.state import ChainState


def send_state(state: ChainState, link: Link, generator: torch.Generator) -> tuple[ChainState, list[Delivery]]:
    """Send chains over a link, history of the solver included.

    Args:
        state: of one chain or more.
        link: whose deliveries do not fail (`on_failure` is not "fail").
        generator: what the channel draws with.

    Returns:
        The chains as they arrive, and a delivery a tensor.
    """
    deliveries: list[Delivery] = []

    def send(tensor: Tensor) -> Tensor:
        deliveries.append(link.send(tensor, generator))
        latent = deliveries[-1].latent
        assert latent is not None  # kept or concealed, whatever happened to it
        return latent

    return state.map(send), deliveries


def link_with_errors(codec: str, bit_error_rate: float) -> Link:
    """A link that delivers wrong bits as they are, as in studies of quality against bit error rate.

    Args:
        codec: "fp16", "uint8" or "int4".
        bit_error_rate: in [0, 0.5].

    Raises:
        UnknownNameError: no such codec.
        InvalidValueError: a rate outside its range.
    """
    if not 0 <= checks.finite("bit_error_rate", bit_error_rate) <= 0.5:
        raise InvalidValueError(f"bit_error_rate must be in [0, 0.5], got {bit_error_rate}")
    return Link(codec, BinarySymmetric(bit_error_rate), on_failure="keep")
