"""The drawn pictures, kept in files so that they are drawn once, and the latents of them all."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from netdiffuse.common import RunError
from netdiffuse.common.files import atomic_path
from netdiffuse.denoising.default_model.captions import ASPECTS, Scene, held_out_scenes, training_combinations
from netdiffuse.denoising.default_model.scenes import judge_scenes, training_scenes
from netdiffuse.denoising.default_model.tokenizer import LENGTH, UNKNOWN, make_tokenizer
from netdiffuse.denoising.default_model.training.loop import Watch

SHARD = 500  # pictures a file
WORDINGS = 4  # of each picture's caption

Draw = Callable[[int, int, int], Iterator[tuple[Scene, Image]]]


@dataclass(frozen=True)
class Drawn:
    """Pictures and what they show.

    Attributes:
        pictures: shape (n, 3, 64, 64), whole numbers in 0..255.
        scenes: n of them.
    """

    pictures: Tensor
    scenes: tuple[Scene, ...]

    def batch(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pictures in [-1, 1], half of them mirrored (nothing of a scene is left or right), and their numbers."""
        rows = torch.randint(len(self.pictures), (n,), generator=generator)
        pictures = self.scaled(rows)
        mirrored = torch.rand(n, 1, 1, 1, generator=generator) < 0.5
        return torch.where(mirrored, pictures.flip(3), pictures), rows

    def scaled(self, rows: Tensor | slice) -> Tensor:
        """Some of the pictures, in [-1, 1]."""
        return self.pictures[rows].float() / 127.5 - 1

    def labels(self) -> dict[str, Tensor]:
        """The number of each picture's name by aspect, shape (n,)."""
        return {
            aspect: torch.tensor([names.index(getattr(scene, aspect)) for scene in self.scenes])
            for aspect, names in ASPECTS.items()
        }


def drawn_to_train(folder: Path, n: int, seed: int, watch: Watch) -> Drawn:
    """Pictures of the combinations to train on, from the folder's files, drawn where there are none."""
    return _drawn(folder, "training", training_scenes, training_combinations(), n, seed, watch)


def drawn_to_judge(folder: Path, n: int, seed: int, watch: Watch) -> Drawn:
    """Likewise of the held-out combinations: for the classifier alone."""
    return _drawn(folder, "held-out", judge_scenes, held_out_scenes(), n, seed, watch)


def _drawn(
    folder: Path, name: str, draw: Draw, combinations: tuple[Scene, ...], n: int, seed: int, watch: Watch
) -> Drawn:
    parts: list[NDArray[np.uint8]] = []
    for start in range(0, n, SHARD):
        watch.check()
        watch.say(f"draw {name}", start / n, f"{start} of {n} pictures")
        size = min(SHARD, n - start)
        path = folder / f"{name}-{start:06d}-{size}.npy"
        if not path.exists():
            pictures = np.stack([np.asarray(picture) for _, picture in draw(size, seed, start)])
            with atomic_path(path) as temporary:
                np.save(temporary, pictures)
        try:
            parts.append(np.load(path))
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read ({error}): remove it to draw it anew") from error
    together = torch.from_numpy(np.concatenate(parts)).movedim(3, 1).contiguous()
    return Drawn(together, tuple(combinations[i % len(combinations)] for i in range(n)))


@torch.no_grad()
def latents_of(path: Path, autoencoder: AutoencoderKL, drawn: Drawn, watch: Watch, batch: int = 64) -> Tensor:
    """Mean and logarithmic variance of each latent, of pictures as they are and mirrored, in half precision.

    The shape is (2, n, 2 channels, 8, 8).

    They are read from a file, which is made where there is none.
    """
    if path.exists():
        try:
            moments: Tensor = torch.load(path, weights_only=True)
        except Exception as error:  # torch.load raises of every kind
            raise RunError(f"{path} cannot be read ({error}): remove it to make it anew") from error
        return moments
    n, found = len(drawn.pictures), []
    for start in range(0, n, batch):
        watch.check()
        watch.say("cache latents", start / n, f"{start} of {n} pictures")
        pictures = drawn.scaled(slice(start, start + batch))
        both = torch.stack([autoencoder.encode(p).latent_dist.parameters for p in (pictures, pictures.flip(3))])
        found.append(both.half())
    moments = torch.cat(found, 1)
    with atomic_path(path) as temporary:
        torch.save(moments, temporary)
    return moments


def prompts_of(scenes: tuple[Scene, ...], seed: int) -> Tensor:
    """Tokens of several wordings of each scene, shape (n, WORDINGS, LENGTH).

    One in twenty has a word put in that is unknown, so that "a nice red apple" still gives a red apple.
    """
    generator = np.random.default_rng([seed, len(scenes)])
    captions = []
    for scene in scenes:
        for _ in range(WORDINGS):
            words = scene.words(generator).split()
            if generator.random() < 0.05:
                words.insert(int(generator.integers(len(words) + 1)), UNKNOWN)
            captions.append(" ".join(words))
    return tokens(captions).view(len(scenes), WORDINGS, LENGTH)


def tokens(captions: list[str]) -> Tensor:
    """As `StableDiffusionPipeline` makes them, shape (n, LENGTH)."""
    made = make_tokenizer()(captions, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
    ids: Tensor = made["input_ids"]
    return ids
