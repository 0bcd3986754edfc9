"""What a denoiser predicts: the clean sample x0, the noise eps, or the velocity v; separate from network and loop."""

from typing import Literal

from torch import Tensor

from netdiffuse.common import UnknownNameError

Prediction = Literal["x0", "eps", "v"]
PREDICTIONS: tuple[Prediction, ...] = ("x0", "eps", "v")


def check_prediction(kind: str) -> None:
    """Raise `UnknownNameError` unless `kind` is "x0", "eps" or "v"."""
    if kind not in PREDICTIONS:
        raise UnknownNameError("prediction", kind, PREDICTIONS)


def to_x0(kind: Prediction, output: Tensor, x_t: Tensor, alpha_bar: Tensor) -> Tensor:
    """Turn a network's output into an estimate of x0; `alpha_bar` broadcasts against x_t.

    x0 = x_0; eps: (x_t - sqrt(1 - a) eps) / sqrt(a); v: sqrt(a) x_t - sqrt(1 - a) v (Salimans and Ho, ICLR 2022).
    """
    if kind == "x0":
        return output
    if kind == "eps":
        return (x_t - (1 - alpha_bar).sqrt() * output) / alpha_bar.sqrt()
    return alpha_bar.sqrt() * x_t - (1 - alpha_bar).sqrt() * output


def to_eps(x0: Tensor, x_t: Tensor, alpha_bar: Tensor | float) -> Tensor:
    """The noise that, added to x0, gives x_t (alpha_bar below 1)."""
    return (x_t - alpha_bar**0.5 * x0) / (1 - alpha_bar) ** 0.5


def target(kind: Prediction, x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """What the network should output for a clean sample and the noise that was added to it."""
    if kind == "x0":
        return x0
    if kind == "eps":
        return noise
    return alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * x0
