from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdiffuse.common import InvalidValueError, UnknownNameError
from netdiffuse.denoising.default_model.captions import (
    COLOURS,
    NATURAL,
    OBJECTS,
    PLACES,
    Scene,
    held_out_captions,
    held_out_pairs,
    held_out_scenes,
    parse,
    training_captions,
    training_combinations,
)

scenes = st.builds(Scene, st.sampled_from(OBJECTS), st.sampled_from(COLOURS), st.sampled_from(PLACES))


@given(scenes, st.integers(0, 2**32))
def test_every_wording_says_its_scene(scene, seed):
    assert parse(scene.words(np.random.default_rng(seed))) == scene
    assert parse(scene.caption) == scene


@pytest.mark.parametrize(
    ("caption", "scene"),
    [
        ("apple on table", Scene("apple", "red", "table")),
        ("lemon on table", Scene("lemon", "yellow", "table")),
        ("a cup on a book", Scene("cup", "white", "book")),
        ("a tree near a river", Scene("tree", "green", "river")),
        ("A Violet Puppy, next to the stream!", Scene("dog", "purple", "river")),
        ("car", Scene("car", "red", "road")),
    ],
)
def test_captions_of_the_papers_and_others(caption, scene):
    assert parse(caption) == scene


@pytest.mark.parametrize("caption", ["", "red", "red on a table", "apple table", "apple on", "apple red", "on a table"])
def test_captions_in_no_order(caption):
    with pytest.raises(InvalidValueError, match="must read like"):
        parse(caption)


def test_unknown_words():
    with pytest.raises(UnknownNameError, match="zebra"):
        parse("a red zebra")
    with pytest.raises(UnknownNameError, match="colour"):
        Scene("apple", "mauve", "table")


def test_nothing_held_out_is_trained_on():
    held_out, trained = set(held_out_scenes()), set(training_combinations())
    assert not held_out & trained
    assert held_out | trained == {Scene(*names) for names in product(OBJECTS, COLOURS, PLACES)}
    assert (len(held_out), len(trained)) == (75, 425)


def test_strangers_are_never_trained_on_in_any_place():
    pairs = held_out_pairs()
    assert len(pairs) == len({name for name, _ in pairs}) == len({colour for _, colour in pairs}) == 5
    assert not set(pairs) & {(scene.object, scene.colour) for scene in training_combinations()}
    assert not set(pairs) & {(name, colour) for name, (colour, _) in NATURAL.items()}
    # Every object and every colour is still well known, and so is every place of it.
    for known in (OBJECTS, COLOURS, PLACES):
        assert all(sum(name in (s.object, s.colour, s.place) for s in training_combinations()) >= 30 for name in known)


def test_held_out_captions_are_of_held_out_scenes_each_equally_often():
    captions = held_out_captions(150, seed=3)
    found = [parse(caption) for caption in captions]
    assert sorted(found) == sorted(held_out_scenes() * 2)
    assert captions == held_out_captions(150, seed=3) != held_out_captions(150, seed=4)
    with pytest.raises(InvalidValueError):
        held_out_captions(0)


def test_training_captions_are_of_no_held_out_scene():
    captions = training_captions(850, seed=3)
    assert sorted(parse(caption) for caption in captions) == sorted(training_combinations() * 2)
    assert captions == training_captions(850, seed=3) != training_captions(850, seed=4)
