"""Choose the model's guidance scale by captions of combinations that it was trained on, and judge it by others.

    python -m netdiffuse.denoising.default_model.training.guidance [--model DIR]          some ten minutes on one core

Prints JSON: the score of each scale on training captions, the scale that they choose, and what that scale comes to on
captions of combinations that were held out, which have no say in the choice.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro
from PIL.Image import Image

from netdiffuse.denoising.default_model import default_model_path
from netdiffuse.denoising.default_model.captions import held_out_captions, held_out_pairs, parse, training_captions
from netdiffuse.denoising.default_model.classifier import Classifier
from netdiffuse.denoising.default_model.training.loop import Watch
from netdiffuse.denoising.families import Family, open_model

SCALES = (2.0, 3.0, 4.0, 5.0, 7.5)
_BATCH = 50  # pictures at once
_WORST = 5  # combinations that are named


def pictures_of(
    family: Family, captions: Sequence[str], steps: int, guidance_scale: float | None, watch: Watch
) -> list[Image]:
    """A picture of each caption by DDIM, its number being the seed of its noise.

    Raises:
        Stopped: the watch was asked to stop.
    """
    pictures: list[Image] = []
    for start in range(0, len(captions), _BATCH):
        watch.check()
        watch.say("judge", start / len(captions), f"{start} of {len(captions)} pictures")
        said = captions[start : start + _BATCH]
        seeds = range(start, start + len(said))
        state = family.begin(seeds, steps, scheduler="ddim", guidance_scale=guidance_scale)
        pictures += family.decode(family.advance(state, family.encode(said, guidance_scale)))
    return pictures


def guidance_scores(
    family: Family, classifier: Classifier, captions: Sequence[str], scales: Sequence[float], steps: int, watch: Watch
) -> list[dict[str, float]]:
    """How well pictures show their captions at each scale, all scales from the same noises.

    Returns:
        For each scale "guidance_scale", the mean "probability" of the whole caption in [0, 1], and the percentages of
        `Classifier.fidelity`.
    """
    rows = []
    for scale in scales:
        pictures = pictures_of(family, captions, steps, scale, watch)
        probability = sum(classifier.match(pictures, captions)) / len(captions)
        rows.append({"guidance_scale": scale, "probability": probability} | classifier.fidelity(pictures, captions))
    return rows


def best_scale(scores: Sequence[dict[str, float]]) -> float:
    """The scale with most pictures all right; of equals, the one with the higher probability, then the lower scale."""
    return max(scores, key=lambda row: (row["all"], row["probability"], -row["guidance_scale"]))["guidance_scale"]


def held_out_report(classifier: Classifier, pictures: Sequence[Image], captions: Sequence[str]) -> dict[str, Any]:
    """Fidelity on held-out captions, apart by what is new to the model.

    Returns:
        "strangers" (object and colour were never seen together) and "new_place" (they were, but not there), each with
        the number of "pictures" and the percentages of `Classifier.fidelity`, or None where no caption is of that kind;
        "worst": the combinations with the lowest percentages all right below 100, each with its "scene" and number of
        "pictures".
    """
    pairs, by_scene = set(held_out_pairs()), dict[str, list[int]]()
    kinds: dict[str, list[int]] = {"strangers": [], "new_place": []}
    for i, caption in enumerate(captions):
        scene = parse(caption)
        kinds["strangers" if (scene.object, scene.colour) in pairs else "new_place"].append(i)
        by_scene.setdefault(scene.caption, []).append(i)

    def fidelity(of: list[int]) -> dict[str, float]:
        return classifier.fidelity([pictures[i] for i in of], [captions[i] for i in of])

    found: dict[str, Any] = {kind: {"pictures": len(of)} | fidelity(of) if of else None for kind, of in kinds.items()}
    worst = sorted((fidelity(of)["all"], scene, len(of)) for scene, of in by_scene.items())
    found["worst"] = [{"scene": scene, "pictures": n, "all": all_} for all_, scene, n in worst[:_WORST] if all_ < 100]
    return found


def main(
    model: Path | None = None,
    scales: tuple[float, ...] = SCALES,
    training: int = 300,
    held_out: int = 500,
    steps: int = 20,
    seed: int = 0,
) -> None:
    """Choose a guidance scale, and judge it.

    Args:
        model: folder of a trained model; the one that ships unless told.
        scales: among which it is chosen.
        training: captions of combinations that were trained on, which choose.
        held_out: captions of the others, which judge.
        steps: of DDIM.
        seed: of the wordings.
    """
    folder = model or default_model_path()
    family, classifier = open_model(folder, device="cpu"), Classifier.load(folder / "classifier")
    rows = guidance_scores(family, classifier, training_captions(training, seed), scales, steps, Watch())
    chosen, captions = best_scale(rows), held_out_captions(held_out, seed)
    pictures = pictures_of(family, captions, steps, chosen, Watch())
    judged = {"fidelity": classifier.fidelity(pictures, captions)} | held_out_report(classifier, pictures, captions)
    print(json.dumps({"training": rows, "guidance_scale": chosen, "held_out": judged}, indent=2))


if __name__ == "__main__":
    tyro.cli(main)
