"""The model that comes with netdiffuse, as users have it."""

import shutil

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from netdiffuse.common import UnsupportedError
from netdiffuse.denoising.default_model import default_model_path, fidelity, judge, load_classifier
from netdiffuse.denoising.default_model.captions import held_out_captions, parse
from netdiffuse.denoising.default_model.scenes import judge_scenes, training_scenes
from netdiffuse.denoising.families import open_model
from netdiffuse.denoising.state import ChainState
from netdiffuse.denoising.study import make_judge


@pytest.fixture(scope="module")
def model():
    return open_model(default_model_path(), device="cpu")


def test_weight():
    files = [path for path in default_model_path().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 12e6
    assert not [path for path in files if path.suffix in (".bin", ".pt", ".pkl")]  # nothing that could run code


def test_what_was_never_trained_on_is_drawn(model):
    """Object and colour of 60 held-out captions: of 500 it is more than nine in ten (see docs/denoising)."""
    captions = held_out_captions(60, seed=11)
    pictures = model.decode(model.advance(model.begin(range(60), 20, scheduler="ddim"), model.encode(captions)))
    found = fidelity(pictures, captions)
    assert found["object_and_colour"] >= 85, found
    assert found["place"] >= 85, found


def test_diffusers_makes_the_same_picture(model):
    """The unmodified pipeline, and ours split in the middle."""
    pipeline = StableDiffusionPipeline.from_pretrained(default_model_path(), dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    prompt = "a red apple on a table"
    generator, usual = torch.Generator().manual_seed(5), model.default_guidance
    assert usual == 3.0  # that of defaults.json
    theirs = pipeline(prompt, num_inference_steps=8, generator=generator, guidance_scale=usual).images[0]
    half = model.advance(model.begin([5], 8), model.encode([prompt]), 4)
    (ours,) = model.decode(model.advance(ChainState.from_bytes(half.to_bytes()), model.encode([prompt])))
    assert theirs.size == (64, 64)
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("stream", [training_scenes, judge_scenes])
def test_the_classifier_knows_what_is_drawn(stream):
    drawn = list(stream(150, seed=77))
    pictures, captions = [picture for _, picture in drawn], [scene.caption for scene, _ in drawn]
    found = load_classifier().fidelity(pictures, captions)
    assert found["all"] >= 95, found
    assert judge(pictures[:1])[0].scene == parse(captions[0])
    assert make_judge("classifier")(pictures[:2], captions[:2]) == pytest.approx([1, 1], abs=0.2)


def test_the_classifier_is_no_yes_man():
    """A picture shows its own caption, and no other of the same batch."""
    drawn = list(judge_scenes(40, seed=5))
    pictures, captions = [picture for _, picture in drawn], [scene.caption for scene, _ in drawn]
    assert fidelity(pictures, captions[1:] + captions[:1])["all"] <= 10


def test_a_folder_names_its_usual_guidance(model, tmp_path):
    shutil.copytree(default_model_path(), tmp_path / "m")
    defaults = tmp_path / "m" / "defaults.json"
    defaults.write_text('{"guidance_scale": 2.5}')
    assert open_model(tmp_path / "m", device="cpu").begin([0], 2).guidance_scale == 2.5
    assert type(model).default_guidance == 7.5  # the family's is untouched
    for bad in ("", "[]", "{}", '{"guidance_scale": "much"}', '{"guidance_scale": NaN}'):
        defaults.write_text(bad)
        with pytest.raises(UnsupportedError, match=r"defaults\.json must read like"):
            open_model(tmp_path / "m", device="cpu")
    defaults.unlink()
    assert open_model(tmp_path / "m", device="cpu").default_guidance == 7.5
