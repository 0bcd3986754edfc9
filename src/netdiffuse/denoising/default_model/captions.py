"""What a scene shows, how it is said in words, and which scenes are never drawn for training."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from netdiffuse.common import InvalidValueError, UnknownNameError, checks

OBJECTS = ("apple", "lemon", "cup", "book", "bird", "dog", "tree", "car", "flower", "house")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "black")
PLACES = ("table", "book", "river", "road", "grass")
ASPECTS = {"object": OBJECTS, "colour": COLOURS, "place": PLACES}

# Colour and place of an object where the caption does not say.
NATURAL = {
    "apple": ("red", "table"),
    "lemon": ("yellow", "table"),
    "cup": ("white", "table"),
    "book": ("blue", "table"),
    "bird": ("blue", "grass"),
    "dog": ("brown", "grass"),
    "tree": ("green", "grass"),
    "car": ("red", "road"),
    "flower": ("pink", "grass"),
    "house": ("white", "grass"),
}

# Words for each name, the usual one first.
_OBJECT_WORDS = {name: (name,) for name in OBJECTS} | {
    "cup": ("cup", "mug"),
    "dog": ("dog", "puppy"),
    "flower": ("flower", "blossom"),
    "house": ("house", "cottage"),
}
_COLOUR_WORDS = {name: (name,) for name in COLOURS} | {"purple": ("purple", "violet")}
_PLACE_WORDS = {
    "table": ("table", "desk"),
    "book": ("book",),
    "river": ("river", "stream"),
    "road": ("road", "street"),
    "grass": ("grass", "lawn", "meadow"),
}
_PREPOSITIONS = {
    "table": ("on",),
    "book": ("on",),
    "river": ("near", "by", "beside", "next to"),
    "road": ("on",),
    "grass": ("on", "in"),
}
_PLACE_ARTICLES = {"table": "a", "book": "a", "river": "a", "road": "the", "grass": "the"}
_ARTICLES = ("a", "an", "the")
_LINKS = {word for several in _PREPOSITIONS.values() for words in several for word in words.split()} | {"at", "upon"}

_OBJECT_OF = {word: name for name, words in _OBJECT_WORDS.items() for word in words}
_COLOUR_OF = {word: name for name, words in _COLOUR_WORDS.items() for word in words}
_PLACE_OF = {word: name for name, words in _PLACE_WORDS.items() for word in words}

WORDS = tuple(sorted({*_ARTICLES, *_LINKS, *_OBJECT_OF, *_COLOUR_OF, *_PLACE_OF}))
"""Every word that a caption may have."""

_HELD_OUT_PAIRS, _HELD_OUT_SCENES = 5, 75  # of 100 pairs of object and colour; of 500 scenes, those pairs' included


@dataclass(frozen=True, order=True)
class Scene:
    """What a picture shows.

    Attributes:
        object: one of `OBJECTS`.
        colour: of the object, one of `COLOURS`.
        place: where it is, one of `PLACES`.
    """

    object: str
    colour: str
    place: str

    def __post_init__(self) -> None:
        for aspect, known in ASPECTS.items():
            if getattr(self, aspect) not in known:
                raise UnknownNameError(aspect, str(getattr(self, aspect)), known)

    @property
    def caption(self) -> str:
        """In full and in usual words, such as "a red apple on a table"."""
        link, article = _PREPOSITIONS[self.place][0], _PLACE_ARTICLES[self.place]
        return f"{_article(self.colour)} {self.colour} {self.object} {link} {article} {self.place}"

    def words(self, generator: np.random.Generator) -> str:
        """One of the many ways to say it: with or without articles, synonyms, and what goes without saying."""

        def pick(words: Sequence[str]) -> str:
            """The usual word half of the time."""
            return words[0] if generator.random() < 0.5 else str(generator.choice(words))

        natural_colour, natural_place = NATURAL[self.object]
        noun = [pick(_OBJECT_WORDS[self.object])]
        if self.colour != natural_colour or generator.random() < 0.5:
            noun.insert(0, pick(_COLOUR_WORDS[self.colour]))
        place = [pick(_PREPOSITIONS[self.place]), pick(_PLACE_WORDS[self.place])]
        articles = generator.random()
        if articles < 0.7:
            noun.insert(0, "the" if articles < 0.1 else _article(noun[0]))
            place.insert(1, "the" if articles < 0.1 else _PLACE_ARTICLES[self.place])
        silent = self.place == natural_place and generator.random() < 0.2
        return " ".join(noun if silent else noun + place)


def parse(caption: str) -> Scene:
    """What a caption says: [article] [colour] object [preposition [article] place]; case and punctuation are ignored.

    Where it names no colour or place, the object has those of `NATURAL`.

    Raises:
        UnknownNameError: a word that no caption has.
        InvalidValueError: the words are in no such order.
    """
    words = re.findall(r"[^\W_]+", caption.lower())
    for word in words:
        if word not in WORDS:
            raise UnknownNameError("word of a caption", word, WORDS)
    words = [word for word in words if word not in _ARTICLES]
    wrong = InvalidValueError(f'a caption must read like "a red apple on a table", got {caption!r}')
    colour = _COLOUR_OF[words.pop(0)] if words and words[0] in _COLOUR_OF else None
    if not words or words[0] not in _OBJECT_OF:
        raise wrong
    name = _OBJECT_OF[words.pop(0)]
    natural_colour, place = NATURAL[name]
    if words:
        *links, last = words
        if last not in _PLACE_OF or not links or not all(link in _LINKS for link in links):
            raise wrong
        place = _PLACE_OF[last]
    return Scene(name, colour or natural_colour, place)


def held_out_pairs() -> tuple[tuple[str, str], ...]:
    """The pairs of object and colour that are never drawn for training, in any place.

    No two have the object or the colour in common, and none is an object in its natural colour.
    """
    chosen: list[tuple[str, str]] = []
    for name, colour in sorted(product(OBJECTS, COLOURS), key=_rank):
        if colour != NATURAL[name][0] and all(name != one and colour != other for one, other in chosen):
            chosen.append((name, colour))
    return tuple(chosen[:_HELD_OUT_PAIRS])


def held_out_scenes() -> tuple[Scene, ...]:
    """The scenes that are never drawn for training: 75 of 500.

    25 are those of `held_out_pairs`, where object and colour are strangers; of 50 others only the place is new to the
    pair. They are those whose names have the lowest SHA-256, so that they are the same everywhere and for ever.
    """
    pairs = held_out_pairs()
    strangers = [Scene(*pair, place) for pair in pairs for place in PLACES]
    others = [scene for scene in _all_scenes() if (scene.object, scene.colour) not in pairs]
    others.sort(key=lambda scene: _rank((scene.object, scene.colour, scene.place)))
    return tuple(sorted(strangers + others[: _HELD_OUT_SCENES - len(strangers)]))


def training_combinations() -> tuple[Scene, ...]:
    """All other scenes: 425 of 500."""
    held_out = set(held_out_scenes())
    return tuple(scene for scene in _all_scenes() if scene not in held_out)


def held_out_captions(n: int, seed: int = 0) -> list[str]:
    """Captions of scenes that were never drawn for training, each scene equally often, in many wordings.

    Args:
        n: how many.
        seed: of the wordings and the order.
    """
    return _captions(held_out_scenes(), n, seed)


def training_captions(n: int, seed: int = 0) -> list[str]:
    """Captions of scenes that are drawn for training; arguments as `held_out_captions`."""
    return _captions(training_combinations(), n, seed)


def _captions(scenes: Sequence[Scene], n: int, seed: int) -> list[str]:
    checks.integer("n", n)
    generator = np.random.default_rng(checks.seed("seed", seed))
    order = np.concatenate([generator.permutation(len(scenes)) for _ in range(-(-n // len(scenes)))])[:n]
    return [scenes[i].words(generator) for i in order]


def _all_scenes() -> list[Scene]:
    return [Scene(*names) for names in product(OBJECTS, COLOURS, PLACES)]


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _rank(names: Sequence[str]) -> str:
    return hashlib.sha256(" ".join(names).encode()).hexdigest()
