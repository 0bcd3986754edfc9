"""Channels by name."""

import inspect
from typing import Any

from netdiffuse.common import InvalidValueError, UnknownNameError
from netdiffuse.denoising.link.channels import BinarySymmetric, Channel, Ideal, Outage, Uncoded
from netdiffuse.denoising.link.coded import Ldpc, LdpcTable

CHANNELS: dict[str, type[Channel]] = {
    "ideal": Ideal,
    "bsc": BinarySymmetric,
    "uncoded": Uncoded,
    "outage": Outage,
    "ldpc": Ldpc,
    "ldpc-table": LdpcTable,
}


def make_channel(name: str, **arguments: Any) -> Channel:
    """Make a channel: "ideal", "bsc", "uncoded", "outage", "ldpc" or "ldpc-table".

    Args:
        name: as above.
        arguments: the channel's attributes, such as `make_channel("uncoded", snr_db=10.0, fading="nakagami:2")`.

    Raises:
        UnknownNameError: no such channel.
        InvalidValueError: an argument that the channel does not take, lacks or does not accept.
        MissingExtraError: "ldpc" where Sionna is not installed.
    """
    if name not in CHANNELS:
        raise UnknownNameError("channel", str(name), CHANNELS)
    takes = inspect.signature(CHANNELS[name]).parameters
    for argument in arguments:
        if argument not in takes:
            raise InvalidValueError(
                f"channel '{name}' has no argument '{argument}'; it takes {', '.join(takes) or 'none'}"
            )
    for argument, parameter in takes.items():
        if parameter.default is parameter.empty and argument not in arguments:
            raise InvalidValueError(f"channel '{name}' needs {argument}")
    return CHANNELS[name](**arguments)
