import ast
import base64
import io
import shlex
import subprocess
import sys

import pytest
from PIL import Image, ImageChops

from netdiffuse.common import InvalidValueError, NetdiffuseError
from netdiffuse.studio.split import Wish, prompts_in, split_chain, users

PROMPTS = ("an apple on a table", "a lemon on a table", "a red bird near a river")


def test_shared_steps_handed_over_exactly():
    shown = split_chain(Wish(PROMPTS, steps=4, shared=2))
    assert (shown.server_steps, shown.device_steps, shown.saved_percent) == (2, 6, pytest.approx(100 * 4 / 12))
    assert shown.at == [0, 1, 2, 3, 4]
    assert shown.groups == [((0, 1, 2), 2, 0)]
    first = [member.pictures for member in shown.members]
    assert first[0][:3] == first[1][:3] == first[2][:3]  # shared
    assert len({pictures[-1] for pictures in first}) == 3
    picture = Image.open(io.BytesIO(base64.b64decode(first[0][-1].partition(",")[2])))
    assert min(picture.size) >= 128
    assert (shown.bits_sent, shown.wrong_bits) == (None, 0)


def test_bit_errors_cost_quality():
    exact, wrong = (
        split_chain(Wish(PROMPTS[:2], steps=4, shared=2, codec=codec, bit_error_rate=rate))
        for codec, rate in (("uint8", 0.0), ("uint8", 0.1))
    )
    assert exact.bits_sent == wrong.bits_sent > 2 * 8 * 512  # two latents of 8 x 8 x 8, and their headers
    assert exact.wrong_bits == 0
    assert wrong.wrong_bits == pytest.approx(0.1 * 2 * 8 * 512, rel=0.2)
    assert sum(member.ssim for member in wrong.members) < sum(member.ssim for member in exact.members)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"prompts": ("a",)}, "two prompts or more"),
        ({"prompts": PROMPTS, "steps": 0}, "steps must be"),
        ({"prompts": PROMPTS, "shared": 12}, "shared must be"),
        ({"prompts": PROMPTS, "bit_error_rate": 0.6, "codec": "uint8"}, "must be in"),
        ({"prompts": PROMPTS, "bit_error_rate": 0.1}, "bit errors need a codec"),
        ({"prompts": PROMPTS, "seed": -1}, "seed must be"),
    ],
)
def test_bad_wishes(wish, said):
    with pytest.raises(InvalidValueError, match=said):
        Wish(**wish)


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(NetdiffuseError, match="cannot be opened"):
        split_chain(Wish(PROMPTS, model=str(tmp_path / "none")))


@pytest.mark.parametrize("wish", [Wish(PROMPTS, 3), Wish(PROMPTS, 3, shared=1, codec="uint8", bit_error_rate=0.01)])
def test_python_and_command_repeat_it(tmp_path, wish):
    """Both draw the same grid, and tell the distances that are shown."""
    lines = wish.lines()
    python = f"{lines.python}\nfrom netdiffuse.denoising.quality import distance\n"
    python += "print(distance(found.pictures, found.alone)['mse'])\n"
    done = subprocess.run([sys.executable, "-c", python], cwd=tmp_path, capture_output=True, text=True, check=True)
    shown = [member.mse for member in split_chain(wish).members]
    assert ast.literal_eval(done.stdout) == pytest.approx(shown, abs=1e-5)
    words = ["-m", "netdiffuse", *shlex.split(lines.command)[1:]]
    subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, check=True)
    (drawn,) = (tmp_path / "runs" / "denoise-split").glob("*grid*.png")
    with Image.open(drawn) as by_command, Image.open(tmp_path / "grid.png") as by_python:
        assert by_command.size == by_python.size
        difference = ImageChops.difference(by_command.convert("RGB"), by_python.convert("RGB"))
        assert max(high for _, high in difference.getextrema()) <= 1  # a rounding


def test_words():
    assert prompts_in(" a cup \n\n b\n") == ("a cup", "b")
    assert (users((0, 2)), users((0, 1, 2))) == ("1 and 3", "1, 2 and 3")
