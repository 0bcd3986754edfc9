"""Which of several questions was asked last, so that the answer to an older one is not shown in its place."""

from collections.abc import Callable


class Newest:
    """Numbers the questions of a view whose answers come later, in any order."""

    def __init__(self) -> None:
        self._last = 0

    def ask(self) -> Callable[[], bool]:
        """Ask anew; returns what tells, once the answer is there, whether nothing was asked since."""
        self._last += 1
        own = self._last
        return lambda: own == self._last
