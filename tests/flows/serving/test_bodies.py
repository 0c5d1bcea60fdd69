"""Bodies that arrive beside one another, in a loop of their own."""

import asyncio

import pytest

from flows.serving.bodies import Bodies
from flows.serving.problems import ProblemError
from state.settings import changed, settings_from


def serve(**values):
    return changed(settings_from({}), {"serve": values}).serve


class Sender:
    """The parts of a body, sent by hand."""

    def __init__(self):
        self._parts = asyncio.Queue()

    def send(self, *parts):
        for part in parts:
            self._parts.put_nowait(part)

    def end(self):
        self._parts.put_nowait(None)

    async def stream(self):
        while (part := await self._parts.get()) is not None:
            yield part


async def begun(bodies, *parts):
    """A body of which some parts have been read."""
    sender = Sender()
    reading = asyncio.create_task(bodies.read(sender.stream()))
    sender.send(*parts)
    while not sender._parts.empty():
        await asyncio.sleep(0)
    return sender, reading


def test_the_oldest_makes_way_for_the_newer_ones_and_nobody_else_does():
    async def run():
        bodies = Bodies(serve(body=10, concurrent=2))
        (_, oldest), (two, second) = await begun(bodies, b"x" * 9), await begun(bodies, b"y" * 2)
        three, third = await begun(bodies, b"z" * 6, b"z" * 4)
        with pytest.raises(ProblemError, match="bodies must arrive sooner; got 9 bytes") as caught:
            await oldest
        two.send(b"Y" * 8)
        two.end()
        three.end()
        return caught.value.status, await second, await third

    assert asyncio.run(run()) == (503, b"yy" + b"Y" * 8, b"z" * 10)


def test_room_that_was_given_back_is_room_again():
    async def run():
        bodies = Bodies(serve(body=10, concurrent=1))
        for _ in range(5):
            sender, reading = await begun(bodies, b"x" * 10)
            sender.end()
            assert await reading == b"x" * 10
        sender, reading = await begun(bodies, b"x" * 10)
        sender.send(b"x")
        with pytest.raises(ProblemError, match="at most 10 bytes; got 11") as caught:
            await reading
        sender, reading = await begun(bodies, b"x" * 10)
        reading.cancel()
        await asyncio.wait([reading])
        first, reading = await begun(bodies, b"x" * 5)
        second, other = await begun(bodies, b"y" * 5)
        first.end()
        second.end()
        return caught.value.status, await reading, await other

    assert asyncio.run(run()) == (413, b"x" * 5, b"y" * 5)


def test_one_that_does_not_come_in_time_is_told_so():
    async def run():
        bodies = Bodies(serve(timeout="1ms"))
        _, reading = await begun(bodies, b"x")
        with pytest.raises(ProblemError, match="body must arrive within 1ms; got 1 byte") as caught:
            await reading
        return caught.value.status

    assert asyncio.run(run()) == 408
