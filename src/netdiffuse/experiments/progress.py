"""The live line of a training: a bar in a terminal, plain lines elsewhere."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from netdiffuse.experiments.monitor import Report

PLAIN_LINES = 10  # in a whole training


class ProgressLine:
    """Show the reports of a training on a console; call it with each.

    Args:
        console: where to; standard error by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._next = 0.0

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.description}"),
                console=self.console,
                transient=True,
                refresh_per_second=5,
            )
            self._task = self._bar.add_task("preparing", total=1.0)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Show what is being done that is not training."""
        if self._bar is not None:
            self._bar.update(self._task, description=text)
        else:
            self.console.print(text, highlight=False)

    def __call__(self, report: Report) -> None:
        """Show how far the training is."""
        text = describe(report)
        if self._bar is not None:
            self._bar.update(self._task, completed=report.fraction, description=text)
        elif report.fraction >= min(self._next, 1.0):
            self.console.print(f"{100 * report.fraction:3.0f}%  {text}", highlight=False, soft_wrap=True)
            self._next = report.fraction + 1 / PLAIN_LINES


def describe(report: Report) -> str:
    """A report as text: optimality, gap closed, steps a second, time left."""
    parts = []
    for key, label in (
        ("optimality_percent", "optimality {:.2f}%"),
        ("gap_closed_percent", "gap closed {:.1f}%"),
        ("return_mean", "return {:.1f}"),
        ("prophet_percent", "{:.1f}% of the prophet"),
    ):
        if report.evaluation.get(key) is not None:
            parts.append(label.format(report.evaluation[key]))
    if not parts and "utility_mean" in report.evaluation:
        parts.append(f"utility {report.evaluation['utility_mean']:.4g}")
    parts.append(f"{report.steps_per_second:,.0f} steps/s")
    if report.fraction >= 1:
        parts.append("evaluating")
    elif report.seconds_left is not None:
        parts.append(f"{duration(report.seconds_left)} left")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as text: `42 s`, `3 min 05 s`, `1 h 20 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
