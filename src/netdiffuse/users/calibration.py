"""What people say of what they received, against what the parametric rater says of it: the difference, learned."""

import hashlib
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_solve

from netdiffuse.common import InvalidValueError, MissingExtraError
from netdiffuse.users.parametric import ParametricRater
from netdiffuse.users.persona import COLUMNS, PRESETS, persona_table
from netdiffuse.users.qoe import CEILING, FLOOR
from netdiffuse.users.sensitivities import Sensitivities

Array = NDArray[np.float64]

MOST = 1000  # ratings: the work grows with their cube
# Of quality, log(1 + seconds), share of the battery, and a persona's numbers: how much they vary.
UNITS: Array = np.array([0.25, 0.5, 0.15, *persona_table(list(PRESETS.values())).std(0)])


class Calibration:
    """A correction of `ParametricRater`'s mean opinions by people's ratings.

    The difference of the two is a Gaussian process over what was received and who received it, as Kennedy and O'Hagan
    have it for the inadequacy of computer models (Journal of the Royal Statistical Society B 63(3), 2001): near what
    was rated it says what was learned there, and nothing beyond the length scale that the ratings suggest. A
    difference that varies with what was received stays with people like those who rated; people who differ alike
    everywhere suggest a long scale and correct everybody alike, those too who have not rated. Columns are in
    units in which they vary among personas and pictures; amplitude, length scale and noise maximise the marginal
    likelihood (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, equation 5.8).

    Args:
        people: numbers of the personas who rated, shape (n, 12), columns as `COLUMNS`.
        quality: how well each picture shows its prompt, in [0, 1], shape (n,).
        delay_s: seconds from the request to the picture, shape (n,).
        energy_share: share of what the battery held, in [0, 1], shape (n,).
        ratings: in [1, 5], shape (n,). Of more than 1,000 the last count.

    Attributes:
        digest: SHA-256 of what it has learned from.
        differences: of the ratings and the parametric rater's means, in rating points, shape (n,).
        left_out: what it would say of each difference had it learned from the others alone, at the same hyperparameters
            (equation 5.12 of the same), opinions held to the scale as in training, shape (n,): how far it is to be
            trusted.

    Raises:
        InvalidValueError: other shapes, no ratings, or a number that is not finite or outside its range.
        MissingExtraError: scikit-learn is missing; it comes with the extra [denoising].
    """

    def __init__(
        self, people: ArrayLike, quality: ArrayLike, delay_s: ArrayLike, energy_share: ArrayLike, ratings: ArrayLike
    ) -> None:
        rated = np.asarray(ratings, np.float64)
        given = [np.asarray(values, np.float64) for values in (quality, delay_s, energy_share)]
        who = np.asarray(people, np.float64)
        if rated.ndim != 1 or not len(rated):
            raise InvalidValueError(f"ratings must have shape (n,) and be one or more, got {rated.shape}")
        if who.shape != (len(rated), len(COLUMNS)) or any(values.shape != rated.shape for values in given):
            raise InvalidValueError(
                f"{len(rated)} ratings need people of shape ({len(rated)}, {len(COLUMNS)}) and as many of each measure"
                f", got {who.shape} and {[values.shape for values in given]}"
            )
        if not all(np.isfinite(values).all() for values in (who, *given)):
            raise InvalidValueError("what was received, and who received it, must be finite numbers")
        for name, values, most in zip(("quality", "delay_s", "energy_share"), given, (1, np.inf, 1), strict=True):
            if values.min() < 0 or values.max() > most:
                raise InvalidValueError(f"{name} must be in [0, {most}], got {values.min():g} to {values.max():g}")
        if not ((rated >= FLOOR) & (rated <= CEILING)).all():  # NaN is neither
            raise InvalidValueError(f"ratings must be in [{FLOOR:g}, {CEILING:g}]")
        who, rated, *given = (values[-MOST:] for values in (who, rated, *given))
        self.digest = hashlib.sha256(np.concatenate([who, np.stack([*given, rated], -1)], -1).tobytes()).hexdigest()
        with np.errstate(invalid="ignore", over="ignore"):  # of numbers that no persona has; refused below
            means = ParametricRater(0).mean(Sensitivities.of(who), *given)
        self.differences: Array = rated - means
        if not np.isfinite(self.differences).all():
            row = int(np.argmin(np.isfinite(self.differences)))
            raise InvalidValueError(
                f"people must be numbers of personas: those of rating {row} have no opinion, {who[row].tolist()}"
            )
        self._process = _fitted(_columns(who, *given), self.differences)
        precision = cho_solve((self._process.L_, True), np.eye(len(rated)))
        predicted = self.differences - self._process.alpha_ / np.diag(precision)
        self.left_out: Array = np.clip(means + predicted, FLOOR, CEILING) - means

    def to_dict(self) -> dict[str, Any]:
        """In numbers: how many `ratings`; `mean_difference`, `rms_difference` and `rms_left_out`, in rating points."""

        def rms(values: Array) -> float:
            return float(np.sqrt(np.mean(values**2)))

        return {
            "ratings": len(self.differences),
            "mean_difference": float(self.differences.mean()),
            "rms_difference": rms(self.differences),
            "rms_left_out": rms(self.differences - self.left_out),
        }

    def __call__(self, people: ArrayLike, quality: ArrayLike, delay_s: ArrayLike, energy_share: ArrayLike) -> Array:
        """What is to be added to mean opinions, in rating points, of the shape of `quality`.

        Args:
            people: numbers of personas, shape (..., 12).
            quality: in [0, 1], shape (...).
            delay_s: seconds, shape (...).
            energy_share: in [0, 1], shape (...).
        """
        received = [np.asarray(values, np.float64) for values in (quality, delay_s, energy_share)]
        rows = _columns(np.asarray(people, np.float64), *received).reshape(-1, 3 + len(COLUMNS))
        return np.asarray(self._process.predict(rows)).reshape(received[0].shape)


def _columns(people: Array, quality: Array, delay_s: Array, energy_share: Array) -> Array:
    """What the process sees, shape (..., 15); delays by their logarithm, as people feel them."""
    return np.concatenate([np.stack([quality, np.log1p(delay_s), energy_share], -1), people], -1) / UNITS


def _fitted(columns: Array, differences: Array) -> Any:
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
    except ModuleNotFoundError as error:
        raise MissingExtraError("learning from ratings", "denoising") from error
    kernel = ConstantKernel(0.5, (1e-3, 4.0)) * RBF(4.0, (0.5, 100.0)) + WhiteKernel(0.2, (1e-3, 4.0))  # points^2
    process = GaussianProcessRegressor(kernel)
    with warnings.catch_warnings():
        # A bound that is reached says that there is nothing to correct, or hardly any noise: both are answers.
        warnings.filterwarnings("ignore", "The optimal value found for dimension", ConvergenceWarning)
        return process.fit(columns, differences)
