"""`netdiffuse users audit`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from netdiffuse.cli.arguments import AsJson, Count, Folder, arguments_of, checked, refuse_of_llm
from netdiffuse.users import PRESETS
from netdiffuse.users.llm.options import LLMOptions

if TYPE_CHECKING:
    from netdiffuse.users import Audit, Persona, Rater

REMEDY = "--url; --offline repeats an audit from its --cache alone"
SITTINGS = {"parametric": 10, "llm": 3}
NAMES = {
    "quality": "rates better quality better",
    "delay_s": "rates shorter delay better",
    "energy_share": "rates less energy better",
    "retest": "says the same again",
    "personas": "knows its users apart",
    "spread": "by so many points",
}
Personas = Annotated[
    tuple[str, ...],
    tyro.conf.arg(metavar="NAME ...", help_behavior_hint=f"(default: all presets: {', '.join(PRESETS)})"),
]
Options = Annotated[LLMOptions, tyro.conf.arg(constructor=arguments_of(LLMOptions))]


def audit(
    rater: Literal["parametric", "llm"] = "parametric",
    llm: Options = LLMOptions(),  # noqa: B008 (frozen)
    personas: Personas = (),
    experiences: int = 60,
    sittings: Count = None,
    seed: int = 0,
    out: Folder = None,
    json: AsJson = False,
) -> int:
    """Ask whether a rater is fit to be a reward: does it tell better from worse, repeat itself, know its users apart.

    A language model is compared with the parametric rater too. Writes audit.json and audit.png. The exit code is 0 for
    every audit that is completed, whatever it found: `fit` in audit.json tells.

    Args:
        rater: parametric, or llm for a language model.
        llm: of the language model, with --rater llm.
        personas: names of presets, or a JSON file with a list of personas.
        experiences: random ones that every persona rates; for a language model try 10 first.
        sittings: how often everything is rated, with seeds of their own; 10 for parametric, 3 for llm unless told.
        seed: of experiences and ratings.
        out: folder for what is found, new or empty; runs/users-audit unless told, numbered where that exists.
        json: print audit.json on standard output instead of the table.
    """
    from json import dumps

    from netdiffuse.cli.output import alone_on_stdout, console, counting
    from netdiffuse.common import InvalidValueError, checks
    from netdiffuse.common.files import new_folder, write_json
    from netdiffuse.experiments.figures.style import save
    from netdiffuse.experiments.figures.users import audit_figure
    from netdiffuse.users import ParametricRater
    from netdiffuse.users import audit as audit_users
    from netdiffuse.users.audit import LEVELS, check_personas
    from netdiffuse.users.llm import LLMRater, RatingError
    from netdiffuse.users.llm.trial import check_answers

    crowd = _personas(personas)
    check_personas(crowd)
    count = SITTINGS[rater] if sittings is None else checks.integer("sittings", sittings, minimum=2, maximum=1000)
    checks.integer("experiences", experiences, minimum=2)
    checks.seed("seed", seed)
    llm = checked(llm, LLMOptions)
    folder = new_folder(out, Path("runs/users-audit"))
    model, ledger, answers, other = llm.model, None, None, None
    raters: Sequence[Rater]
    if rater == "parametric":
        refuse_of_llm(llm.given)
        raters = [ParametricRater(seed + sitting) for sitting in range(count)]
    else:
        if model is None:
            raise InvalidValueError("--rater llm needs a --model, by its name at the endpoint")
        llm.cache_path(folder)  # refuses what is missing
        check_answers(model, llm, seed, REMEDY)
        # A sitting's samples have seeds of their own, so that no two sittings share an answer.
        ways = [llm.sampling(seed + sitting * llm.samples) for sitting in range(count)]
        endpoint, ledger, other = llm.endpoint(), llm.ledger(), ParametricRater(noisy=False)
        answers = llm.open_cache(folder)
        raters = [LLMRater(model, endpoint, sampling=way, cache=answers, ledger=ledger) for way in ways]
    try:
        with alone_on_stdout(json), counting("ratings") as done:
            found = audit_users(raters, crowd, experiences, seed, other, done=done)
    finally:
        if answers is not None:
            answers.close()
    if answers is not None and found.fallback == 1:
        raise RatingError(f"none of the answers in {answers.path} is by {model}: all are the fallback's ({REMEDY})")
    subject = model or "the parametric rater"
    costs = ledger.to_dict() if ledger is not None else None
    said: dict[str, Any] = {"rater": model or rater, "seed": seed, **found.to_dict(), "ledger": costs}
    write_json(folder / "audit.json", said)
    title = f"Ratings by {subject}" + (f" ({_share(found.fallback)})" if found.fallback else "")
    figure = save(audit_figure(found.sweeps, LEVELS, title), folder / "audit.png")
    if json:
        print(dumps(said, indent=2))
        return 0
    _show(found)
    if ledger is not None:
        console().print(str(ledger), soft_wrap=True)
    verdict = f"{subject} is {'fit' if found.fit else 'not fit'} to be a reward, by {found.ratings:,} ratings"
    if costs and costs["fallbacks"]:
        verdict += f"; {costs['fallbacks']:,} of them are the fallback's, which tell nothing of it"
    console().print(verdict, soft_wrap=True)
    for path in (folder / "audit.json", figure):
        print(path)
    if answers is not None:
        print(answers.path)
    return 0


def _show(found: "Audit") -> None:
    from netdiffuse.cli.output import console, table_of

    out = console()
    table = table_of("check", "found", "needed", "")
    for check in found.checks:
        value = "nothing varies" if check.value is None else f"{check.value:.2f}"
        told = {True: "passed", False: "FAILED", None: f"- ({_share(check.fallback)})"}[check.passed]
        table.add_row(NAMES[check.name], value, f"{check.least:.2f}", told)
    out.print(table)
    kappa = "none" if found.retest_kappa is None else f"{found.retest_kappa:.2f}"
    out.print(
        f"spread between personas {found.between_std:.2f}, within one {found.within_std:.2f} points; "
        f"mean {found.mean:.2f}, {100 * found.at_ends:.0f}% at the ends of the scale; "
        f"weighted kappa of two sittings {kappa}",
        soft_wrap=True,
    )
    if found.agreement is not None:
        values = {name: "none" if value is None else f"{value:.2f}" for name, value in found.agreement.items()}
        out.print(f"agreement with the parametric rater: Spearman {values['spearman']}, kappa {values['kappa']}")
    means = ", ".join(f"{name} {mean:.2f}" for name, mean in found.persona_means.items())
    out.print(f"mean rating by persona: {means}", soft_wrap=True)


def _share(fallback: float) -> str:
    """How much of something the fallback said, in words."""
    return f"{100 * fallback:.0f}% fallback" if fallback >= 0.005 else "under 1% fallback"


def _personas(words: Sequence[str]) -> list["Persona"]:
    """Personas by the names of presets, or from JSON files.

    Raises:
        DataFileError: a file that cannot be read, or holds something else.
        UnknownNameError: no such preset.
    """
    from json import JSONDecodeError

    from netdiffuse.common import DataFileError, InvalidValueError
    from netdiffuse.common.files import read_json
    from netdiffuse.users import Persona, preset

    found = []
    for word in words:
        if not word.endswith(".json"):
            found.append(preset(word))
            continue
        try:
            said = read_json(word)
            if not isinstance(said, list):
                raise InvalidValueError(f"it must hold a list of personas, got {type(said).__name__}")
            found += [Persona.from_dict(entry) for entry in said]
        except (OSError, JSONDecodeError, UnicodeDecodeError, ValueError) as error:
            raise DataFileError(f"{word} holds no personas: {error}") from error
    return found or list(PRESETS.values())
