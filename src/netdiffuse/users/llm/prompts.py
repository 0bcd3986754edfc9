"""What a language model is told: who it is, what it received before, and what it received now."""

import base64
import hashlib
import io
import json
from typing import TYPE_CHECKING, Any, Literal

from netdiffuse.users.description import describe, short
from netdiffuse.users.experience import Experience, Opinion
from netdiffuse.users.persona import Persona

if TYPE_CHECKING:
    from PIL.Image import Image

Answer = Literal["json", "expected"]
Message = dict[str, Any]

TASK = """You asked a service for pictures on your phone. After each picture, say what you think of it as the person
above: of how well it shows what you asked for, of how long you waited, and of what it took of your battery.
Rate it from 1 to 5: 1 bad, 2 poor, 3 fair, 4 good, 5 excellent."""
FORMS: dict[Answer, str] = {
    "json": 'Answer with JSON alone: {"reason": "one short sentence", "rating": a number from 1 to 5}.',
    "expected": "Answer with one digit alone, 1, 2, 3, 4 or 5.",
}


def system_prompt(persona: Persona, answer: Answer) -> str:
    """Who the model is, and what it is to do."""
    return f"{describe(persona)}\n\n{TASK}\n{FORMS[answer]}"


def stimulus(experience: Experience) -> str:
    """An experience in words, with two digits a number, so that what feels the same is one question."""
    lines = [
        f'You asked for: "{experience.prompt}".',
        f"How well the picture shows it: {100 * experience.quality:.0f} of 100 points.",
        *(f"{name}: {short(value)}." for name, value in sorted(experience.measures.items())),
        f"You waited {short(experience.delay_s)} seconds.",
        f"It took {short(100 * experience.energy_share)}% of your battery's charge.",
    ]
    return "\n".join(lines)


def reply(opinion: Opinion, answer: Answer) -> str:
    """An earlier opinion as the model would have told it."""
    rating = round(opinion.rating)
    if answer == "expected":
        return str(rating)
    return json.dumps({"reason": opinion.reason, "rating": rating})


def picture_part(picture: "Image") -> Message:
    """A picture as part of a message: PNG in a data URL."""
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_png(picture).decode()}"}}


def picture_digest(picture: "Image") -> str:
    """A picture's fingerprint, which stands for it in the cache."""
    return hashlib.sha256(_png(picture)).hexdigest()


def _png(picture: "Image") -> bytes:
    file = io.BytesIO()
    picture.save(file, format="PNG")
    return base64.b64encode(file.getvalue())
