"""`netdiffuse denoise study`."""

from pathlib import Path
from typing import Any, Literal

from netdiffuse.cli.arguments import AsJson, Folder, Model, Name, Number, Type, Word
from netdiffuse.cli.denoise.models import DEFAULT, opened


def study(
    model: Model = DEFAULT,
    steps: int = 11,
    seeds: int = 20,
    pairs: Literal["all", "published"] = "all",
    scheduler: Name = None,
    guidance: Number = None,
    codec: Word = "uint8",
    judge: Model = "classifier",
    out: Folder = None,
    dtype: Type = "float32",
    json: AsJson = False,
) -> int:
    """Measure picture quality against shared steps, likeness of prompts and bit errors, as the papers' figures do.

    One user leads the shared steps and another follows; the follower's picture is judged. Writes results.json,
    quality.json and two figures.

    Args:
        model: name on a hub, or a local folder; the small model that netdiffuse ships unless told.
        steps: of a whole chain.
        seeds: pictures at each point.
        pairs: of prompts: all twelve, from alike to unlike; or the two of the published figures alone.
        scheduler: ddim, euler, euler-ancestral, dpm++, dpm++-karras, unipc or lcm; the model's own unless told.
        guidance: weight of the prompts; what is usual for the model unless told.
        codec: in how many bits latents cross the link: fp16, uint8 or int4.
        judge: classifier, which comes with the small model and knows its words; or a CLIP model, by its name on a hub
            or a local folder.
        out: folder for what is found, new or empty; runs/denoise-study unless told, numbered where that exists.
        dtype: float32, float16 or bfloat16.
        json: print results.json on standard output instead of the table.
    """
    from json import dumps

    from netdiffuse.cli.output import console, counting, table_of
    from netdiffuse.common.files import new_folder, write_json

    folder = new_folder(out, Path("runs/denoise-study"))
    family = opened(model, dtype)
    from netdiffuse.denoising.codec import make_codec
    from netdiffuse.denoising.embeddings import default_encoder
    from netdiffuse.denoising.study import DISSIMILAR, PAIRS, SIMILAR, Study, make_judge, quality_table, run_study
    from netdiffuse.experiments.figures.denoising import bit_errors_figure, shared_steps_figure
    from netdiffuse.experiments.figures.style import save

    make_codec(codec)  # knows its name before anything is measured
    judged = make_judge(judge)
    plan = Study(
        pairs=PAIRS if pairs == "all" else (SIMILAR, DISSIMILAR),
        steps=steps,
        shared=tuple(range(steps + 1)),
        seeds=seeds,
        scheduler=scheduler,
        guidance_scale=guidance,
        codec=codec,
    )
    with counting("pairs of prompts") as done:
        trials = run_study(family, default_encoder(), judged, plan, done=done)
    rows = [trial.row() for trial in trials]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(
        folder / "results.json",
        {"model": family.revision, "steps": steps, "codec": codec, "judge": judge, "rows": rows},
    )
    quality_table(trials, plan, family, judge).save(folder / "quality.json")
    published = [row for row in rows if row["follower"] in (SIMILAR.follower, DISSIMILAR.follower)]
    middle = round(5 / 11 * steps)
    figures = [
        save(shared_steps_figure(published, steps), folder / "shared_steps.png"),
        save(bit_errors_figure(published, middle, steps), folder / "bit_errors.png"),
    ]
    if json:
        print(dumps(rows, indent=2))
        return 0
    table = table_of("shared steps", *(f"{row['follower']}" for row in published if row["shared"] == 0))
    for k in range(steps + 1):
        own = [row for row in published if row["shared"] == k and row["bit_error_rate"] == 0]
        table.add_row(str(k), *(_with_interval(row) for row in own))
    table.title = "how well the picture shows its own prompt"
    console().print(table)
    for path in (folder / "results.json", folder / "quality.json", *figures):
        print(path)
    return 0


def _with_interval(row: dict[str, Any]) -> str:
    """Fidelity, with its 95% interval where there are seeds enough for it to say something."""
    half = row["fidelity_half_width"] if row["seeds"] >= 5 else None
    return f"{row['fidelity']:.3f}" + ("" if half is None else f" ± {half:.3f}")
