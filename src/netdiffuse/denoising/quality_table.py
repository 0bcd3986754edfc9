"""`quality.json`: how well a picture shows its prompt, over similarity, shared steps and bit errors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RegularGridInterpolator

from netdiffuse.common import DataFileError, InvalidValueError
from netdiffuse.common.files import read_json, write_json

Array = NDArray[np.float64]
FORMAT, VERSION = "netdiffuse.quality", 1
AXES = ("similarity", "shared_fraction", "bit_error_rate")


@dataclass(frozen=True)
class QualityTable:
    """Mean quality on a grid, and between its points by linear interpolation.

    The file `quality.json` holds, beside `format` and `version`, the attributes below, by their names.

    Attributes:
        similarity: cosines of two prompts' embeddings, rising, shape (S,).
        shared_fraction: k / T, rising, shape (F,), in [0, 1].
        bit_error_rate: of the link, rising, shape (B,), in [0, 0.5].
        quality: in [0, 1], shape (S, F, B); how well the picture shows what the prompt says.
        half_width: of the 95% interval of each over its pictures, shape (S, F, B); the pairs of prompts are given, and
            share their noises, so it says nothing of other prompts.
        model: fingerprint of the model.
        steps: T.
        codec: by which latents were sent.
        judge: of the quality: "classifier", for the probability of object, colour and place, or a CLIP model.
        samples: pictures behind each number, at least.
    """

    similarity: Array
    shared_fraction: Array
    bit_error_rate: Array
    quality: Array
    half_width: Array
    model: str
    steps: int
    codec: str
    judge: str
    samples: int

    def __post_init__(self) -> None:
        for name in AXES:
            axis = getattr(self, name)
            if axis.ndim != 1 or not len(axis) or not np.isfinite(axis).all() or (np.diff(axis) <= 0).any():
                raise InvalidValueError(f"{name} must be finite and rising, got {axis.tolist()}")
        shape = tuple(len(getattr(self, name)) for name in AXES)
        for name in ("quality", "half_width"):
            values = getattr(self, name)
            if values.shape != shape or not np.isfinite(values).all():
                raise InvalidValueError(f"{name} must be finite and of shape {shape}, got {values.shape}")
        if (self.quality < 0).any() or (self.quality > 1).any():
            raise InvalidValueError("quality must be in [0, 1]")

    def __call__(self, similarity: ArrayLike, shared_fraction: ArrayLike, bit_error_rate: ArrayLike) -> Array:
        """Quality at any points, of the shape that the arguments have together; beyond the grid, that of its edge."""
        points = np.broadcast_arrays(*(np.asarray(a, float) for a in (similarity, shared_fraction, bit_error_rate)))
        values, axes = self.quality, []
        for dimension, name in enumerate(AXES):
            axis = getattr(self, name)
            if len(axis) == 1:  # a grid needs two points, though nothing changes between them
                axis, values = np.append(axis, axis[0] + 1), np.repeat(values, 2, dimension)
            axes.append(axis)
        inside = [np.clip(point, axis[0], axis[-1]) for point, axis in zip(points, axes, strict=True)]
        found = RegularGridInterpolator(axes, values)(np.stack(inside, -1))
        return np.asarray(found).reshape(points[0].shape)

    def most_shared(self, similarity: float, least: float, bit_error_rate: float = 0.0) -> float:
        """The largest shared fraction of the grid up to which quality is at least `least`; 0 where it never is."""
        found = 0.0
        for fraction in self.shared_fraction:
            if self(similarity, fraction, bit_error_rate) < least:
                break
            found = float(fraction)
        return found

    def save(self, path: str | Path) -> None:
        """Write quality.json, whole or not at all."""
        said: dict[str, Any] = {"format": FORMAT, "version": VERSION}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            said[name] = value.tolist() if isinstance(value, np.ndarray) else value
        write_json(Path(path), said)

    @classmethod
    def load(cls, path: str | Path) -> "QualityTable":
        """Read quality.json.

        Raises:
            DataFileError: it cannot be read, is of another version, or is not consistent.
        """
        try:
            said = read_json(Path(path))
            if not isinstance(said, dict) or said.get("format") != FORMAT:
                raise InvalidValueError(f"it is no {FORMAT}")
            if said.get("version") != VERSION:
                raise InvalidValueError(f"it is of version {said.get('version')}, this netdiffuse reads {VERSION}")
            given: dict[str, Any] = {n: np.asarray(said[n], np.float64) for n in (*AXES, "quality", "half_width")}
            return cls(**given, **{name: said[name] for name in ("model", "steps", "codec", "judge", "samples")})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataFileError(f"{path} cannot be used: {error}") from error
