"""`netdiffuse denoise`: image diffusion split across hosts."""

from collections.abc import Callable

from netdiffuse.cli.denoise.device import device
from netdiffuse.cli.denoise.rate import rate
from netdiffuse.cli.denoise.serve import serve
from netdiffuse.cli.denoise.split import split
from netdiffuse.cli.denoise.study import study

COMMANDS: dict[str, Callable[..., int]] = {
    "split": split,
    "study": study,
    "serve": serve,
    "device": device,
    "rate": rate,
}


def denoise() -> int:
    """Split image diffusion between an edge server and devices; see `netdiffuse denoise --help`."""
    raise AssertionError("its words are read before")
