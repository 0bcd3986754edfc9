"""The form of a training: every field with its default, its help and, beside it, what is wrong with it."""

from collections.abc import Callable, Mapping
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.validation_element import ValidationElement

from netdiffuse.algorithms import ALGORITHMS
from netdiffuse.baselines import LEARNERS
from netdiffuse.common import NetdiffuseError
from netdiffuse.problems.registry import PRESETS
from netdiffuse.registration import SEQUENTIAL
from netdiffuse.studio.fields import Field, algorithm_fields, entered, option_fields, problem_fields
from netdiffuse.studio.repeat import Training

DEFAULTS = {"seconds": "30"}  # where neither seconds nor timesteps are given
FIRST = ("seconds", "timesteps", "seed")  # options that are always in sight
MARK = "data-field"  # attribute of a field's input, by which the page tells what stands in it
WHAT = {"algorithm": "Settings of the algorithm", "problem": "Arguments of the problem", "options": "Further options"}


class Form:
    """Choose a problem and an algorithm, and set what can be set of them. It draws itself where it is made.

    Args:
        changed: called after each change.
        problem: chosen at first.
        algorithm: likewise.
    """

    def __init__(
        self, changed: Callable[[], None], problem: str = "power-allocation", algorithm: str = "gddpg"
    ) -> None:
        self._changed = changed
        self._fields: dict[str, dict[str, Field]] = {"algorithm": {}, "problem": {}, "options": {}}
        self._inputs: dict[tuple[str, str], ValidationElement[Any]] = {}
        self._no_problem: str | None = None  # what is wrong with the problem itself, whatever learns it
        self.problem = ui.select(
            [*PRESETS, *SEQUENTIAL.values()],
            label="Problem",
            value=problem,
            new_value_mode="add-unique",
            on_change=self._new_problem,
            validation=lambda _: self._no_problem,  # asked after each change, and would take away any other error
        ).props('hint="or your own file.py:Class, or a Gymnasium id: type it, and Enter" hide-bottom-space')
        self.problem.classes("w-full")
        self.algorithm = ui.select(
            [*ALGORITHMS, *LEARNERS], label="Algorithm", value=algorithm, on_change=self._new_algorithm
        ).classes("w-full")
        with ui.row().classes("w-full no-wrap gap-2 items-start"):
            self._first = {name: ui.column().classes("col gap-0") for name in FIRST}
        self._sections: dict[str, ui.column] = {}
        self._headings: dict[str, ui.expansion] = {}
        for part, heading in WHAT.items():
            self._headings[part] = (
                ui.expansion(heading).classes("w-full").props("dense header-class=text-weight-medium")
            )
            with self._headings[part]:
                self._sections[part] = ui.column().classes("w-full gap-2")
        self._new_algorithm()
        self._new_problem()
        for choice in (self.problem, self.algorithm):
            choice.on_value_change(changed)

    def training(self) -> Training | None:
        """What is asked for; None where a field is wrong, which is then in sight."""
        bad = [key for key, one in self._inputs.items() if not one.validate()]
        if not self.problem.validate() or bad:  # what was refused as a whole may have been mended since
            for part, _ in bad:
                if part in self._headings:
                    self._headings[part].open()
            return None
        values = {part: entered(fields, self._texts(part)) for part, fields in self._fields.items()}
        options = values["options"]
        if "seconds" in options and "timesteps" in options:
            self._inputs["options", "timesteps"].error = "give either seconds or timesteps to train for, not both"
            return None
        if "seconds" not in options and "timesteps" not in options:
            options = {"seconds": float(DEFAULTS["seconds"]), **options}
        return Training(
            str(self.problem.value), str(self.algorithm.value), options, values["algorithm"], values["problem"]
        )

    @property
    def wrong(self) -> list[str]:
        """The names of the fields that are refused."""
        chosen = [name for name, one in (("Problem", self.problem), ("Algorithm", self.algorithm)) if one.error]
        return chosen + [name for (_, name), one in self._inputs.items() if one.error]

    def refuse(self, message: str) -> None:
        """Show what is wrong beside the field that the message names; where it names none, above all of them."""
        words = set(message.replace("=", " ").replace("'", " ").replace(":", " ").split())
        for (part, name), one in self._inputs.items():
            if name in words and one.value not in (None, ""):
                one.error = message
                self._headings[part].open()
                return
        self.problem.error = message

    @property
    def entries(self) -> dict[str, Any]:
        """All that was chosen and filled in, for `fill`."""
        return {
            "problem": self.problem.value,
            "algorithm": self.algorithm.value,
            "fields": {part: self._texts(part) for part in self._fields},
        }

    def fill(self, entries: Mapping[str, Any]) -> None:
        """Choose and fill in what `entries` was, as far as there is a place for it, and show where."""
        if entries["algorithm"] in self.algorithm.options:
            self.algorithm.value = entries["algorithm"]
        if entries["problem"] not in self.problem.options:  # the user's own, typed
            self.problem.set_options([*self.problem.options, entries["problem"]])
        self.problem.value = entries["problem"]
        for part, texts in entries["fields"].items():
            for name in [name for name in texts if (part, name) in self._inputs]:
                self._inputs[part, name].value = texts[name]
                if part != "options" or name not in FIRST:
                    self._headings[part].open()

    def take(self, shown: Mapping[str, str]) -> None:
        """Take what stands in the fields of the page, of which not all may have arrived over a connection that broke.

        Args:
            shown: `MARK` to text.
        """
        for (part, name), one in self._inputs.items():
            text = shown.get(f"{part}.{name}")
            if text is not None and text != (one.value or ""):
                one.value = text

    def _texts(self, part: str) -> dict[str, Any]:
        """What differs from the defaults."""
        found = {}
        for name, field in self._fields[part].items():
            value = self._inputs[part, name].value
            if value if field.kind == "text" else str(value) != field.default:
                found[name] = value
        return found

    def _new_algorithm(self) -> None:
        algorithm = str(self.algorithm.value)
        self.problem.validate()  # that another algorithm could not learn it says nothing of this one
        fields = option_fields(algorithm)
        kept = {name: one.value for (part, name), one in self._inputs.items() if part == "options"}
        for name, place in self._first.items():
            place.clear()
            with place:
                self._draw("options", next(field for field in fields if field.name == name))
        self._fill("options", [field for field in fields if field.name not in FIRST])
        self._fields["options"] = {field.name: field for field in fields}
        for name, value in kept.items():
            self._inputs["options", name].value = value
        self._fill("algorithm", algorithm_fields(algorithm))

    def _new_problem(self) -> None:
        self._no_problem = None
        try:
            fields = problem_fields(str(self.problem.value))
        except (NetdiffuseError, OSError) as error:
            fields = []
            self._no_problem = str(error)
        self._fill("problem", fields)

    def _fill(self, part: str, fields: list[Field]) -> None:
        for key in [key for key in self._inputs if key[0] == part and key[1] not in FIRST]:
            del self._inputs[key]
        self._fields[part] = {field.name: field for field in fields}
        self._headings[part].text = f"{WHAT[part]} ({len(fields)})"
        self._headings[part].set_visibility(bool(fields))
        self._sections[part].clear()
        with self._sections[part]:
            for field in fields:
                self._draw(part, field)

    def _draw(self, part: str, field: Field) -> None:
        check: Callable[[Any], str | None] = field.error
        one: ValidationElement[Any]
        if field.kind == "text":
            one = ui.input(
                field.name, placeholder=field.default or DEFAULTS.get(field.name, "default"), validation=check
            )
            one.props("stack-label").props[MARK] = f"{part}.{field.name}"
        else:
            choices = ["True", "False"] if field.kind == "switch" else list(field.choices)
            one = ui.select(choices, label=field.name, value=field.default, validation=check)
        hint = field.hint.replace('"', "'") if part != "options" or field.name not in FIRST else ""
        one.classes("w-full").props(f'dense hide-bottom-space hint="{hint}"')
        if not hint:
            one.tooltip(field.hint)
        one.on_value_change(self._changed)
        self._inputs[part, field.name] = one
