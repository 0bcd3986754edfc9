"""The judge of the small model: a small network that tells a picture's object, its colour and its place.

It learns from drawn scenes of *all* combinations, also of those that are held out from the model that it judges: a
judge who has never seen a purple dog would hold a good picture of one for something else. Nothing flows from it to the
model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from typing_extensions import override

from netdiffuse.common import DataFileError, InvalidValueError, UnknownNameError
from netdiffuse.common.files import atomic_path, check_entries, read_json, write_json
from netdiffuse.denoising.default_model.canvas import SIZE
from netdiffuse.denoising.default_model.captions import ASPECTS, Scene, parse

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_FORMAT, _VERSION = "netdiffuse.classifier", 1
_BATCH = 64


@dataclass(frozen=True)
class Judgement:
    """What a picture shows.

    Attributes:
        scene: the most probable one.
        probabilities: of every name, by aspect ("object", "colour", "place") and name, in [0, 1].
    """

    scene: Scene
    probabilities: dict[str, dict[str, float]]

    def probability(self, scene: Scene, aspects: Sequence[str] = tuple(ASPECTS)) -> float:
        """How probable it is that the picture shows these aspects of a scene, in [0, 1]; they count as independent."""
        return float(np.prod([self.probabilities[aspect][getattr(scene, aspect)] for aspect in aspects]))


class Classifier(nn.Module):
    """A convolutional network with a head for each aspect.

    Args:
        channels: at 32, 16, 8 and 4 pixels; multiples of 8.
    """

    def __init__(self, channels: Sequence[int] = (24, 48, 96, 128)) -> None:
        super().__init__()
        self.channels = tuple(channels)
        layers: list[nn.Module] = []
        for before, after in zip((3, *channels), channels, strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
            layers += [nn.Conv2d(after, after, 3, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
        self.body = nn.Sequential(*layers)
        features = channels[-1] * (SIZE // 2 ** len(channels)) ** 2
        # Where in the picture something is tells places apart, so positions are kept.
        self.heads = nn.ModuleDict({aspect: nn.Linear(features, len(names)) for aspect, names in ASPECTS.items()})

    @override
    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Logits by aspect, shape (n, names), of pictures in [-1, 1], shape (n, 3, 64, 64)."""
        features = self.body(pictures).flatten(1)
        return {aspect: head(features) for aspect, head in self.heads.items()}

    @torch.no_grad()
    def judge(self, pictures: Sequence[Image.Image]) -> list[Judgement]:
        """Tell what pictures show; those of another size are scaled to 64x64."""
        self.eval()
        found = []
        for start in range(0, len(pictures), _BATCH):
            logits = self(picture_tensor(pictures[start : start + _BATCH]))
            shares = {aspect: values.softmax(1).tolist() for aspect, values in logits.items()}
            for row in range(len(shares["object"])):
                given = {a: dict(zip(ASPECTS[a], values[row], strict=True)) for a, values in shares.items()}
                best = {aspect: max(named, key=named.__getitem__) for aspect, named in given.items()}
                found.append(Judgement(Scene(**best), given))
        return found

    def match(
        self, pictures: Sequence[Image.Image], captions: Sequence[str], aspects: Sequence[str] = tuple(ASPECTS)
    ) -> list[float]:
        """The probability of each picture, in [0, 1], that it shows what its caption says.

        Args:
            pictures: n pictures.
            captions: n captions.
            aspects: that count: of "object", "colour" and "place".

        Raises:
            InvalidValueError: they do not pair up, or a caption cannot be read.
            UnknownNameError: a word or an aspect that does not exist.
        """
        scenes = _scenes(pictures, captions)
        for aspect in aspects:
            if aspect not in ASPECTS:
                raise UnknownNameError("aspect", aspect, ASPECTS)
        found = self.judge(pictures)
        return [judgement.probability(scene, aspects) for judgement, scene in zip(found, scenes, strict=True)]

    def fidelity(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> dict[str, float]:
        """Percent of pictures where the object, the colour, the place, object and colour, or all three are right.

        Returns:
            "object", "colour", "place", "object_and_colour" and "all", in [0, 100].

        Raises:
            InvalidValueError: none, or they do not pair up, or a caption cannot be read.
            UnknownNameError: a word of a caption that does not exist.
        """
        scenes = _scenes(pictures, captions)
        found = [judgement.scene for judgement in self.judge(pictures)]
        right = {
            aspect: np.array([getattr(a, aspect) == getattr(b, aspect) for a, b in zip(found, scenes, strict=True)])
            for aspect in ASPECTS
        }
        right["object_and_colour"] = right["object"] & right["colour"]
        right["all"] = right["object_and_colour"] & right["place"]
        return {name: 100 * float(values.mean()) for name, values in right.items()}

    def save(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors, in half precision."""
        tensors = {name: tensor.to(torch.float16).contiguous() for name, tensor in self.state_dict().items()}
        with atomic_path(Path(folder) / WEIGHTS) as temporary:
            save_file(tensors, temporary)
        names = {aspect: list(values) for aspect, values in ASPECTS.items()}
        config = {"format": _FORMAT, "version": _VERSION, "channels": list(self.channels), "names": names}
        write_json(Path(folder) / CONFIG, config)

    @classmethod
    def load(cls, folder: str | Path) -> "Classifier":
        """Read what `save` wrote.

        Raises:
            DataFileError: a file is missing or damaged, or the classifier is for other names than this netdiffuse has.
        """
        try:
            config = check_entries(
                read_json(Path(folder) / CONFIG), {"format": str, "version": int, "channels": list, "names": dict}
            )
            if (config["format"], config["version"]) != (_FORMAT, _VERSION):
                raise InvalidValueError(f"it is no {_FORMAT} of version {_VERSION}")
            if config["names"] != {aspect: list(values) for aspect, values in ASPECTS.items()}:
                raise InvalidValueError("it tells other objects, colours or places than this netdiffuse draws")
            network = cls(config["channels"])
            network.load_state_dict({k: t.float() for k, t in load_file(Path(folder) / WEIGHTS).items()})
        except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
            raise DataFileError(f"the classifier in {folder} cannot be used: {error}") from error
        return network.eval()


def picture_tensor(pictures: Sequence[Image.Image]) -> Tensor:
    """Pictures scaled to 64x64 as numbers in [-1, 1], shape (n, 3, 64, 64)."""
    small = [np.asarray(p.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float32) for p in pictures]
    return torch.from_numpy(np.stack(small)).movedim(3, 1) / 127.5 - 1


def _scenes(pictures: Sequence[Image.Image], captions: Sequence[str]) -> list[Scene]:
    if not pictures or len(pictures) != len(captions):
        raise InvalidValueError(f"give a caption for each picture, got {len(pictures)} and {len(captions)}")
    return [parse(caption) for caption in captions]
