import base64
import io

import pytest
from PIL import Image

from netdiffuse.common import InvalidValueError, NetdiffuseError
from netdiffuse.studio.split import Wish, prompts_in, split_chain, users

PROMPTS = ("an apple on a table", "a lemon on a table", "a red bird near a river")


def test_shared_steps_handed_over_exactly():
    shown = split_chain(Wish(PROMPTS, steps=4, shared=2))
    assert (shown.server_steps, shown.device_steps, shown.saved_percent) == (2, 6, pytest.approx(100 * 4 / 12))
    assert shown.at == [0, 1, 2, 3, 4]
    assert shown.groups == [((0, 1, 2), 2)]
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


def test_the_python_repeats_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for wish in (Wish(PROMPTS, 3), Wish(PROMPTS, 3, shared=1, codec="uint8", bit_error_rate=0.01)):
        exec(wish.lines().python, {})
        with Image.open("grid.png") as grid:
            assert grid.width > grid.height
        assert "--steps 3" in wish.lines().command


def test_words():
    assert prompts_in(" a cup \n\n b\n") == ("a cup", "b")
    assert (users((0, 2)), users((0, 1, 2))) == ("1 and 3", "1, 2 and 3")
