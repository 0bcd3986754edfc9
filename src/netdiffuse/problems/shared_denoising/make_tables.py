"""Make captions.json and quality.json anew: `python -m netdiffuse.problems.shared_denoising.make_tables`.

Takes the extra [denoising] and about a quarter of an hour on one core.
"""

from itertools import product
from pathlib import Path

import numpy as np
import tyro

from netdiffuse.common.files import write_json
from netdiffuse.denoising.default_model import default_model_path
from netdiffuse.denoising.default_model.captions import COLOURS, OBJECTS, PLACES, Scene
from netdiffuse.denoising.embeddings import default_encoder
from netdiffuse.denoising.families import open_model
from netdiffuse.denoising.planner import cosines
from netdiffuse.denoising.study import Pair, Study, make_judge, quality_table, run_study
from netdiffuse.problems.shared_denoising.library import CAPTIONS, HERE, QUALITY

A_THEME = 8  # captions
SHARED = (0, 2, 4, 5, 6, 7, 8, 9, 10, 11)
BIT_ERROR_RATES = (0.0, 0.02, 0.06, 0.15, 0.3, 0.5)


def make_captions(seed: int = 0) -> dict[str, object]:
    """Themes of captions, and the cosines of all: a theme has an object (captions much alike) or a place (less)."""
    random = np.random.default_rng(seed)
    scenes = [Scene(*names) for names in product(OBJECTS, COLOURS, PLACES)]
    themes: list[list[str]] = []
    for aspect, names in (("object", OBJECTS), ("place", PLACES)):
        for name in names:
            of_it = [scene.caption for scene in scenes if getattr(scene, aspect) == name]
            themes.append([str(caption) for caption in random.choice(of_it, A_THEME, replace=False)])
    captions = sorted({caption for theme in themes for caption in theme})
    similarity = cosines(default_encoder()(captions))
    np.fill_diagonal(similarity, 1.0)
    return {
        "format": "netdiffuse.captions",
        "version": 1,
        "captions": captions,
        "themes": [[captions.index(caption) for caption in theme] for theme in themes],
        "similarity": similarity.clip(-1, 1).round(4).tolist(),
    }


def make_pairs(said: dict[str, object], pairs: int, seed: int = 0) -> tuple[Pair, ...]:
    """Leaders and followers as groups have them: of one theme; and some who follow themselves."""
    random = np.random.default_rng(seed)
    captions, themes = np.array(said["captions"]), np.array(said["themes"])
    found = {
        Pair(*(str(captions[i]) for i in random.choice(random.choice(themes), 2, replace=False))) for _ in range(pairs)
    }
    own = {Pair(caption, caption) for caption in random.choice(captions, max(2, pairs // 6), replace=False).tolist()}
    return tuple(sorted(found | own, key=lambda pair: (pair.leader, pair.follower)))


def main(pairs: int = 120, seeds: int = 5, bins: int = 7, out: Path = HERE) -> None:
    """Write both files.

    Args:
        pairs: of prompts, beside those that follow themselves.
        seeds: pictures a point.
        bins: of similarity; the last holds who follows themselves.
        out: folder.
    """
    said = make_captions()
    write_json(out / CAPTIONS.name, said)
    study = Study(pairs=make_pairs(said, pairs), shared=SHARED, bit_error_rates=BIT_ERROR_RATES, seeds=seeds)
    model = open_model(str(default_model_path()))
    trials = run_study(
        model, default_encoder(), make_judge("classifier"), study, done=lambda i, n: print(f"{i} of {n}", flush=True)
    )
    quality_table(trials, study, model, "classifier", bins).save(out / QUALITY.name)


if __name__ == "__main__":
    tyro.cli(main)
