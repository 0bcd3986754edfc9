import asyncio

from netdiffuse.studio.newest import Newest


def test_the_choice_made_last_wins_over_the_answer_that_ends_last():
    newest, shown = Newest(), []

    async def choose(name: str, ready: asyncio.Event) -> None:
        wanted = newest.ask()
        await ready.wait()
        if wanted():
            shown.append(name)

    async def choose_two() -> None:
        slow, fast = asyncio.Event(), asyncio.Event()
        both = asyncio.gather(choose("first", slow), choose("second", fast))
        await asyncio.sleep(0)
        fast.set()
        await asyncio.sleep(0)
        slow.set()
        await both

    asyncio.run(choose_two())
    assert shown == ["second"]
