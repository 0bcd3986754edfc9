"""The small text-to-image model that comes with netdiffuse."""

from pathlib import Path

from netdiffuse.common import NetdiffuseError

WEIGHTS = Path(__file__).parent / "weights"


class MissingWeightsError(NetdiffuseError):
    """An installation without the small model."""


def default_model_path() -> Path:
    """Folder of the small model, in the format of `StableDiffusionPipeline`.

    Raises:
        MissingWeightsError: this installation has none.
    """
    if not (WEIGHTS / "model_index.json").is_file():
        raise MissingWeightsError(
            "this netdiffuse comes without its small model: name another with --model NAME_OR_FOLDER"
        )
    return WEIGHTS
