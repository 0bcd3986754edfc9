"""`netdiffuse denoise split`."""

from pathlib import Path
from typing import Annotated

import tyro

from netdiffuse.cli.arguments import AsJson, Count, Folder, Model, Name, Number, Type
from netdiffuse.cli.denoise.models import DEFAULT, opened


def split(
    prompts: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TEXT [TEXT ...]")],
    steps: int = 11,
    shared: Count = None,
    model: Model = DEFAULT,
    scheduler: Name = None,
    seed: int = 0,
    guidance: Number = None,
    codec: Name = None,
    bit_error_rate: float = 0.0,
    out: Folder = None,
    dtype: Type = "float32",
    json: AsJson = False,
) -> int:
    """Share the first steps of several prompts' chains, and draw every chain step by step beside what it is alone.

    Args:
        prompts: one a user, each in quotes.
        steps: of a whole chain.
        shared: steps that all share, led by the mean of the prompts; by meaning, for each user, unless told.
        model: name on a hub, or a local folder; the small model that netdiffuse ships unless told.
        scheduler: ddim, euler, euler-ancestral, dpm++, dpm++-karras, unipc or lcm; the model's own unless told.
        seed: of the noise.
        guidance: weight of the prompts; what is usual for the model unless told.
        codec: in how many bits the shared chains are handed over: fp16, uint8 or int4; exactly unless told.
        bit_error_rate: of the link they cross, in [0, 0.5]; wrong bits are kept.
        out: folder for the pictures and summary.json, new or empty; runs/denoise-split unless told, numbered where that
            exists; user-0.png is user 1's.
        dtype: float32, float16 or bfloat16.
        json: print summary.json on standard output instead of the table.
    """
    from json import dumps
    from math import isfinite

    from netdiffuse.cli.output import console, table_of, working
    from netdiffuse.common import InvalidValueError, checks
    from netdiffuse.common.files import atomic_path, new_folder, write_json

    if not prompts or not all(prompt.strip() for prompt in prompts):
        raise InvalidValueError(f"--prompts must name one or more, none empty, got {list(prompts)}")
    folder = new_folder(out, Path("runs/denoise-split"))
    checks.seed("seed", seed)
    checks.integer("steps", steps)
    if shared is not None:
        checks.integer("shared", shared, minimum=0, maximum=steps)
    if bit_error_rate and codec is None:
        raise InvalidValueError("--bit-error-rate needs a --codec: an exact hand-off has no place for wrong bits")
    from netdiffuse.denoising.handoff import link_with_errors

    link = None if codec is None else link_with_errors(codec, bit_error_rate)
    family = opened(model, dtype)
    from netdiffuse.denoising import cost, grid
    from netdiffuse.denoising.planner import fixed_plan, make_plan
    from netdiffuse.denoising.quality import distance
    from netdiffuse.denoising.saving import saving

    if shared is None:
        from netdiffuse.denoising.embeddings import default_encoder

        plan = make_plan(default_encoder()(prompts), steps)
    else:
        plan = fixed_plan(len(prompts), steps, shared)
    with working("denoising"):
        found = grid.split(family, prompts, plan, seed=seed, scheduler=scheduler, guidance_scale=guidance, link=link)
        sheet = grid.draw(family, found)
    far = distance(found.pictures, found.alone)
    bits_sent = sum(delivery.bits_sent for delivery in found.deliveries) if found.deliveries else None
    if bits_sent is None:
        handed_over = [trail[k] for trail, k in zip(found.trails, plan.shared_steps, strict=True)]
        state_bits: list[float] = [8 * len(state.to_bytes()) for state in handed_over]
    else:  # states of one shape weigh the same
        state_bits = [bits_sent / sum(k > 0 for k in plan.shared_steps)] * plan.users
    spared = saving(plan, cost.SERVER, cost.device(), cost.Radio(), state_bits, found.evaluations_per_step)
    leaders = [
        next((root.leaders for root in plan.roots if user in root.members), ()) for user in range(plan.users)
    ]  # of each user's first steps
    summary = {
        "model": {"family": family.name, "revision": family.revision},
        "steps": steps,
        "saved_percent": 100 * plan.saved,
        "server_steps": plan.server_steps,
        "device_steps": plan.device_steps,
        "cost": spared.summary(),
        "codec": codec,
        "bit_error_rate": bit_error_rate,
        "bits_sent": bits_sent,
        "users": [
            {"prompt": prompt, "shared_steps": k, "led_by": list(led)}
            | {name: values[user] if isfinite(values[user]) else None for name, values in far.items()}
            for user, (prompt, k, led) in enumerate(zip(prompts, plan.shared_steps, leaders, strict=True))
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in [("grid.png", sheet), *((f"user-{n}.png", p) for n, p in enumerate(found.pictures))]:
        with atomic_path(folder / name) as temporary:
            picture.save(temporary, format="PNG")
    write_json(folder / "summary.json", summary)
    if json:
        print(dumps(summary, indent=2))
        return 0
    table = table_of("user", "prompt", "shared steps", "led by", "MSE", "PSNR (dB)", "SSIM")
    for user, (prompt, k, led) in enumerate(zip(prompts, plan.shared_steps, leaders, strict=True)):
        psnr = far["psnr_db"][user]
        numbers = [
            f"{far['mse'][user]:.4f}",
            f"{psnr:.1f}" if isfinite(psnr) else "identical",
            f"{far['ssim'][user]:.3f}",
        ]
        led_by = "" if not led else f"user {led[0] + 1}" if len(led) == 1 else "the mean"
        table.add_row(str(user + 1), prompt, str(k), led_by, *numbers)
    console().print(table)
    print(
        f"{plan.server_steps} shared and {plan.device_steps} own steps instead of {plan.users * steps}: "
        f"{100 * plan.saved:.1f}% saved; distances are to what each user makes alone from the same noise"
    )
    shared_cost, alone_cost = spared.shared, spared.alone
    print(
        f"in the cost model, against devices alone: {alone_cost.total.evaluations} evaluations become "
        f"{shared_cost.total.evaluations} ({shared_cost.server.evaluations} on the server), "
        f"{alone_cost.total.energy_j:.3f} J become {shared_cost.total.energy_j:.3f} J "
        f"({shared_cost.server.energy_j:.3f} J on the server), {alone_cost.mean_picture_s:.3f} s to a picture become "
        f"{shared_cost.mean_picture_s:.3f} s"
    )
    print(f"pictures {folder}")
    return 0
