import numpy as np
import pytest

from netdiffuse.denoising.default_model.captions import COLOURS, OBJECTS, PLACES, Scene, held_out_scenes
from netdiffuse.denoising.default_model.scenes import TONES, draw, judge_scenes, training_scenes


def pixels(scene, seed):
    return np.asarray(draw(scene, np.random.default_rng(seed)), float) / 255


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_are_of_their_colour(name):
    """Much of the picture's middle is nearer to the colour's tone than it is with the object in another colour."""
    for colour in COLOURS:
        other = "blue" if colour in ("yellow", "orange", "white") else "yellow"
        near = [
            np.mean(np.linalg.norm(pixels(Scene(name, shown, "table"), 0)[16:58] - TONES[colour], axis=-1) < 0.28)
            for shown in (colour, other)
        ]
        assert near[0] > near[1] + 0.015, (name, colour, near)


def test_the_generator_alone_decides():
    scene = Scene("dog", "brown", "road")
    np.testing.assert_array_equal(pixels(scene, 1), pixels(scene, 1))
    assert np.abs(pixels(scene, 1) - pixels(scene, 2)).mean() > 0.01


def test_places_differ():
    mean = {place: np.mean([pixels(Scene("cup", "red", place), s) for s in range(8)], 0) for place in PLACES}
    for one in PLACES:
        assert all(np.abs(mean[one] - mean[other]).mean() > 0.01 for other in PLACES if other != one)


def test_streams_of_scenes():
    held_out = set(held_out_scenes())
    assert not {scene for scene, _ in training_scenes(450)} & held_out
    assert {scene for scene, _ in judge_scenes(75)} == held_out
    (_, late), *_ = training_scenes(1, seed=5, start=3)
    np.testing.assert_array_equal(late, [picture for _, picture in training_scenes(4, seed=5)][3])
    assert late.size == (64, 64)
    assert late.mode == "RGB"
