"""The small text-to-image model that comes with netdiffuse, and the classifier that judges its pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netdiffuse.common import NetdiffuseError

if TYPE_CHECKING:  # the command line asks for the path alone, and should not wait for the rest
    from PIL.Image import Image

    from netdiffuse.denoising.default_model.classifier import Classifier, Judgement

__all__ = ["MissingWeightsError", "default_model_path", "fidelity", "judge", "load_classifier"]

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
            "this netdiffuse comes without its small model: name another with --model NAME_OR_FOLDER, or train it with "
            "python -m netdiffuse.denoising.default_model.training --out DIR"
        )
    return WEIGHTS


def load_classifier(folder: str | Path | None = None) -> "Classifier":
    """The classifier of a trained model's folder, the shipped one unless told.

    Raises:
        MissingWeightsError: this installation has none.
        DataFileError: it is missing in that folder, or damaged.
    """
    from netdiffuse.denoising.default_model.classifier import Classifier

    return Classifier.load((default_model_path() if folder is None else Path(folder)) / "classifier")


def judge(pictures: "Sequence[Image]") -> "list[Judgement]":
    """What each picture shows, by the shipped classifier: object, colour and place, with probabilities."""
    return load_classifier().judge(pictures)


def fidelity(pictures: "Sequence[Image]", captions: Sequence[str]) -> dict[str, float]:
    """Percent of pictures that show what their captions say, by the shipped classifier; see `Classifier.fidelity`."""
    return load_classifier().fidelity(pictures, captions)
