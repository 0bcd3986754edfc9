"""The password of the studio: guesses one after another, and what a browser that knew it is remembered by."""

import asyncio
import hashlib
import hmac
import secrets


class Password:
    """A password, of one process.

    Args:
        text: the password.
        wait_s: seconds after a wrong guess, in which no other is looked at, wherever it comes from.

    Attributes:
        mark: what a browser that knew the password is remembered by. It tells nothing of the password, and means
            nothing to the next process.
    """

    def __init__(self, text: str, wait_s: float) -> None:
        self._text, self._wait_s = text.encode(), wait_s
        self._one_by_one = asyncio.Lock()
        self.mark = hmac.new(secrets.token_bytes(32), self._text, hashlib.sha256).hexdigest()

    async def fits(self, guess: str) -> bool:
        """Whether it was guessed; waits for the guesses before it, and for its own where it is wrong."""
        async with self._one_by_one:
            if secrets.compare_digest(guess.encode(), self._text):
                return True
            await asyncio.sleep(self._wait_s)
            return False

    def knows(self, mark: object) -> bool:
        """Whether a browser showed the mark."""
        return isinstance(mark, str) and secrets.compare_digest(mark.encode(), self.mark.encode())
