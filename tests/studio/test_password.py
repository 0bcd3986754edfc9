import asyncio
import hashlib

from netdiffuse.studio.password import Password


def test_a_wrong_guess_keeps_all_others_waiting():
    """The order in which guesses end is that in which they came: the right one does not pass the wrong ones."""
    ended = []

    async def guess(password: Password, text: str) -> None:
        ended.append((text, await password.fits(text)))

    async def guess_all() -> None:
        password = Password("open sesame", wait_s=0.01)
        await asyncio.gather(*(guess(password, text) for text in ("open barley", "open wheat", "open sesame")))

    asyncio.run(guess_all())
    assert ended == [("open barley", False), ("open wheat", False), ("open sesame", True)]


def test_the_mark_says_nothing_of_the_password():
    one, other = Password("open sesame", 0.0), Password("open sesame", 0.0)
    assert one.mark != other.mark  # of another process
    assert one.mark != hashlib.sha256(b"netdiffuse studio open sesame").hexdigest()
    assert one.knows(one.mark)
    for mark in (other.mark, None, 7, "", "é"):
        assert not one.knows(mark)
