"""What simulated users think of something, and how a run's policy pleases each kind of them."""

from dataclasses import dataclass

from netdiffuse.studio.repeat import Lines, command
from netdiffuse.studio.runs import RunRecord, curve_of
from netdiffuse.users import PRESETS, Experience, ParametricRater, Persona, draw_personas

PROMPT = "a red apple on a table"
QOE = "qoe_"  # begins the names of a preset's QoE in evaluations of shared denoising


@dataclass(frozen=True)
class Crowd:
    """Who is asked.

    Attributes:
        drawn: how many are drawn at random; 0 for the presets.
        seed: of that draw.
    """

    drawn: int = 0
    seed: int = 0

    @property
    def personas(self) -> list[Persona]:
        """They."""
        return draw_personas(self.drawn, self.seed) if self.drawn else list(PRESETS.values())


@dataclass(frozen=True)
class Said:
    """What one user thinks.

    Attributes:
        name: of the persona.
        mean: opinion in [1, 5].
        drawn: one rating, with the noise of people who rate.
        reason: the strongest complaint.
    """

    name: str
    mean: float
    drawn: float
    reason: str


def ask(crowd: Crowd, received: Experience, seed: int) -> list[Said]:
    """Ask everybody about the same experience.

    Args:
        crowd: who is asked.
        received: what they received.
        seed: of the ratings' noise.
    """
    personas = crowd.personas
    means = ParametricRater(noisy=False).rate(personas, [received] * len(personas))
    drawn = ParametricRater(seed).rate(personas, [received] * len(personas))
    return [
        Said(persona.name, mean.rating, one.rating, mean.reason)
        for persona, mean, one in zip(personas, means, drawn, strict=True)
    ]


def ask_lines(crowd: Crowd, received: Experience, seed: int) -> Lines:
    """That repeat it: the Python prints a user a line, with the mean opinion and one rating.

    The command looks at the rater as a whole.
    """
    people = f"draw_personas({crowd.drawn}, {crowd.seed})" if crowd.drawn else "list(PRESETS.values())"
    python = (
        "from netdiffuse.users import PRESETS, Experience, ParametricRater, draw_personas\n\n"
        f"people = {people}\n"
        f"received = Experience({received.prompt!r}, quality={received.quality}, delay_s={received.delay_s}, "
        f"energy_share={received.energy_share})\n"
        "means = ParametricRater(noisy=False).rate(people, [received] * len(people))\n"
        f"drawn = ParametricRater(seed={seed}).rate(people, [received] * len(people))\n"
        "for person, mean, one in zip(people, means, drawn):\n"
        "    print(f'{person.name}: mean opinion {mean.rating}, one rating {one.rating}, {mean.reason}')\n"
    )
    words = ["users", "audit", "--seed", str(seed)]
    audit = command(words if crowd.drawn else [*words, "--personas", *PRESETS])
    return Lines(
        python, f"# no command asks for single opinions: this one checks what the rater thinks as a whole\n{audit}"
    )


def pleased(record: RunRecord) -> dict[str, float] | None:
    """Each preset's QoE above the floor at a run's last evaluation; None where the run knows nothing of users.

    Raises:
        RunError: the run's progress is damaged.
    """
    curve = curve_of(record)
    if curve is None:
        return None
    last = curve.iloc[-1]
    found = {name: float(last[QOE + name]) for name in PRESETS if QOE + name in curve}
    return found or None
