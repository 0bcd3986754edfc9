"""A model by its name, the shipped one among them, opened without the chatter of its libraries."""

from typing import TYPE_CHECKING

from netdiffuse.common import MissingExtraError

if TYPE_CHECKING:
    from netdiffuse.denoising.families import Family

DEFAULT = "default"


def opened(model: str = DEFAULT, dtype: str = "float32") -> "Family":
    """A model by its name; "default" is the small one that netdiffuse ships.

    Raises:
        MissingExtraError: the extra [denoising] is not installed.
        MissingWeightsError: this installation has no small model.
        UnsupportedError: a name that cannot be opened.
    """
    try:
        from transformers.utils import logging as transformers_logging

        # It says at every start which optional packages it does without.
        transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        from diffusers.utils import logging as diffusers_logging
    except ImportError as error:
        raise MissingExtraError("split denoising", "denoising") from error
    diffusers_logging.disable_progress_bar()
    from netdiffuse.denoising.families import open_model

    return open_model(source_of(model), dtype=dtype)


def source_of(model: str) -> str:
    """The name on a hub, or the folder, that a name stands for."""
    if model != DEFAULT:
        return model
    from netdiffuse.denoising.default_model import default_model_path

    return str(default_model_path())
