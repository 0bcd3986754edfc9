"""The link: blocks with checksums over a channel, retransmission, and what a delivery costs."""

from netdiffuse.denoising.link.blocks import BLOCK_BYTES, Size, size
from netdiffuse.denoising.link.channels import BinarySymmetric, Channel, Ideal, Outage, Received, Uncoded
from netdiffuse.denoising.link.coded import Ldpc, LdpcTable
from netdiffuse.denoising.link.fading import Fading, make_fading
from netdiffuse.denoising.link.link import Delivery, Link
from netdiffuse.denoising.link.modulation import Modulation, make_modulation
from netdiffuse.denoising.link.registry import CHANNELS, make_channel

__all__ = [
    "BLOCK_BYTES",
    "CHANNELS",
    "BinarySymmetric",
    "Channel",
    "Delivery",
    "Fading",
    "Ideal",
    "Ldpc",
    "LdpcTable",
    "Link",
    "Modulation",
    "Outage",
    "Received",
    "Size",
    "Uncoded",
    "make_channel",
    "make_fading",
    "make_modulation",
    "size",
]
