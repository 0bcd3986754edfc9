import pytest

from netdiffuse.channels import LogDistance, Nakagami, Permuted, Rayleigh, Uniform, gain_model
from netdiffuse.common import InvalidValueError, UnknownNameError


@pytest.mark.parametrize(
    ("spec", "model"),
    [
        ("rayleigh", Rayleigh()),
        ("rayleigh:2", Rayleigh(2.0)),
        ("nakagami:2", Nakagami(2.0)),
        ("nakagami:2:0.5", Nakagami(2.0, 0.5)),
        ("uniform:0.5:1.5", Uniform(0.5, 1.5)),
        ("uniform:1,0:2,1", Uniform((1.0, 0.0), (2.0, 1.0))),
        ("log-distance", LogDistance()),
        (
            "log-distance:20:200:rayleigh_fading=false:shadowing_db=0",
            LogDistance(20.0, 200.0, rayleigh_fading=False, shadowing_db=0.0),
        ),
        ("permuted:uniform:13,0:14,0.1", Permuted(Uniform((13.0, 0.0), (14.0, 0.1)))),
        ({"model": "nakagami", "m": 2.0}, Nakagami(2.0)),
        ({"model": "permuted", "of": {"model": "rayleigh"}}, Permuted(Rayleigh())),
        (Rayleigh(3.0), Rayleigh(3.0)),
    ],
)
def test_descriptions(spec, model) -> None:
    assert gain_model(spec) == model


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("rayleigh:1:2", "more arguments than mean_gain"),
        ("rayleigh:one", "'one' is not a number"),
        ("rayleigh:mean=1", "no argument 'mean'; it takes mean_gain"),
        ("nakagami", "needs m"),
        ("nakagami:0.1", "m must be at least 0.5"),
        ("uniform:1,0:2,x", "'2,x' is not a number"),
        ("permuted", "needs the model that it shuffles"),
        ({"m": 2}, "needs the name of its model"),
        ({"model": "permuted"}, "takes its inner model under 'of'"),
        ({"model": "rayleigh", "sigma": 1}, "no argument 'sigma'"),
        (3, "gains must be a gain model, text such as"),
    ],
)
def test_refuses_what_it_cannot_read(spec, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        gain_model(spec)


def test_unknown_model_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown gain model 'raleigh'.*Did you mean 'rayleigh'"):
        gain_model("raleigh")
