"""The model of a command."""

from typing import TYPE_CHECKING

from netdiffuse.denoising import opening
from netdiffuse.denoising.opening import DEFAULT, source_of

if TYPE_CHECKING:
    from netdiffuse.denoising.families import Family

__all__ = ["DEFAULT", "named", "opened", "source_of"]


def opened(model: str, dtype: str) -> "Family":
    """As `opening.opened`, saying meanwhile what is done."""
    from netdiffuse.cli.output import working

    with working(f"opening the model '{model}'"):
        return opening.opened(model, dtype)


def named(model: str) -> str:
    """What a model is called for the user; the shipped one's files say only of which family it is."""
    return "the small model that netdiffuse ships" if model == DEFAULT else f"the model '{model}'"
