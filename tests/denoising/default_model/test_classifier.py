import json

import numpy as np
import pytest
import torch

from netdiffuse.common import DataFileError, InvalidValueError, UnknownNameError
from netdiffuse.denoising.default_model.captions import ASPECTS, Scene
from netdiffuse.denoising.default_model.classifier import Classifier, Judgement, picture_tensor
from netdiffuse.denoising.default_model.scenes import training_scenes


@pytest.fixture(scope="module")
def scenes():
    return list(training_scenes(6))


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    return Classifier((8, 8, 8, 8)).half().float().eval()


def test_judgements_are_the_networks(classifier, scenes):
    pictures = [picture for _, picture in scenes]
    found = classifier.judge(pictures)
    with torch.no_grad():
        logits = classifier(picture_tensor(pictures))
    for row, judgement in enumerate(found):
        for aspect, names in ASPECTS.items():
            shares = torch.softmax(logits[aspect][row], 0)
            assert list(judgement.probabilities[aspect].values()) == pytest.approx(shares.tolist(), abs=1e-5)
            assert getattr(judgement.scene, aspect) == names[int(shares.argmax())]


def test_probability_of_a_scene():
    shares = {"object": {"apple": 0.5}, "colour": {"red": 0.4}, "place": {"table": 0.25}}
    judgement, scene = Judgement(Scene("apple", "red", "table"), shares), Scene("apple", "red", "table")
    assert judgement.probability(scene) == pytest.approx(0.05)
    assert judgement.probability(scene, ("object", "colour")) == pytest.approx(0.2)


def test_fidelity_by_hand(classifier, scenes):
    pictures = [picture for _, picture in scenes]
    seen = [judgement.scene for judgement in classifier.judge(pictures)]
    wrong = "dog" if seen[0].object != "dog" else "cup"
    said = [Scene(wrong, seen[0].colour, seen[0].place), *seen[1:]]
    found = classifier.fidelity(pictures, [scene.caption for scene in said])
    assert found["object"] == found["object_and_colour"] == found["all"] == pytest.approx(100 * 5 / 6)
    assert found["colour"] == found["place"] == 100


def test_match(classifier, scenes):
    pictures = [picture for _, picture in scenes]
    captions = [scene.caption for scene, _ in scenes]
    found = classifier.match(pictures, captions, ["object"])
    assert found == [
        j.probabilities["object"][s.object] for j, (s, _) in zip(classifier.judge(pictures), scenes, strict=True)
    ]
    with pytest.raises(UnknownNameError, match="aspect"):
        classifier.match(pictures, captions, ["size"])
    with pytest.raises(InvalidValueError, match="6 and 5"):
        classifier.match(pictures, captions[:5])


def test_any_size(classifier, scenes):
    large = scenes[0][1].resize((256, 256))
    assert classifier.judge([large])[0].scene in [Scene(o, c, p) for o in ASPECTS["object"] for c in ASPECTS["colour"]
                                                  for p in ASPECTS["place"]]  # fmt: skip


def test_kept_and_read_again(classifier, scenes, tmp_path):
    classifier.save(tmp_path)
    again = Classifier.load(tmp_path)
    pictures = [picture for _, picture in scenes]
    assert again.judge(pictures) == classifier.judge(pictures)


def test_bad_files(classifier, tmp_path):
    with pytest.raises(DataFileError, match="cannot be used"):
        Classifier.load(tmp_path / "none")
    classifier.save(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-7])
    with pytest.raises(DataFileError):
        Classifier.load(tmp_path)
    weights.write_bytes(whole)
    config = tmp_path / "config.json"
    said = json.loads(config.read_text())
    for change in ({"version": 9}, {"channels": [8]}, {"names": {"object": ["apple"]}}, {"channels": "many"}):
        config.write_text(json.dumps(said | change))
        with pytest.raises(DataFileError, match="cannot be used"):
            Classifier.load(tmp_path)
    config.write_text(json.dumps(said))
    assert np.isfinite(Classifier.load(tmp_path).heads["object"].weight.detach().numpy()).all()
