"""A persona in words, for the system prompt of a language model.

Traits are told as adjectives with a degree, which moves a model's answers to questionnaires in the wanted direction
(Serapio-Garcia et al., "Personality Traits in Large Language Models", arXiv 2307.00184); the adjectives follow the
poles of Goldberg's markers (Psychological Assessment 4, 1992). The wording and the five degrees are ours.
"""

from netdiffuse.users.persona import TRAITS, Persona

POLES = {
    "openness": ("conventional and uninterested in art", "imaginative and sensitive to art and beauty"),
    "conscientiousness": ("careless and disorganised", "orderly, thorough and demanding"),
    "extraversion": ("reserved and moderate in your judgements", "outspoken and strong in your judgements"),
    "agreeableness": ("critical and hard to please", "kind, trusting and forgiving"),
    "neuroticism": ("calm and relaxed", "anxious, moody and easily irritated"),
}
IMPORTANCES = {
    "quality_importance": "that the picture shows what you asked for",
    "delay_importance": "that you get it quickly",
    "energy_importance": "that it spares the battery of your device",
}


def describe(persona: Persona) -> str:
    """What the persona is like and wants, in the second person; the name is left out."""
    lines = [_trait(name, getattr(persona, name)) for name in TRAITS]
    wants = persona.preferences
    lines += [f"It is {_importance(getattr(wants, name))} to you {what}." for name, what in IMPORTANCES.items()]
    lines += [
        f"You do not notice a delay of up to {short(wants.unnoticed_s)} seconds; "
        f"after {short(wants.patience_s)} seconds you have lost all patience.",
        f"A picture that takes {short(100 * wants.energy_tolerance)}% of your battery's charge takes too much.",
        f"A picture that scores below {100 * wants.least_quality:.0f} of 100 points disappoints you.",
    ]
    return "\n".join(lines)


def short(value: float) -> str:
    """A number with two digits, without an exponent where it is of everyday size: 0.012, 3.5, 120."""
    return f"{float(f'{value:.2g}'):g}"


def _trait(name: str, value: float) -> str:
    low, high = POLES[name]
    if value < 0.2:
        return f"You are very {low}."
    if value < 0.4:
        return f"You are rather {low}."
    if value <= 0.6:
        return f"You are neither {low} nor {high}."
    return f"You are {'rather' if value <= 0.8 else 'very'} {high}."


def _importance(value: float) -> str:
    words = ("not important", "a little important", "important", "very important", "all-important")
    return words[min(int(5 * value), 4)]
