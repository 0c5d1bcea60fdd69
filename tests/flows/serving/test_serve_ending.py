"""A service that is replaced under load fails no request."""

import asyncio
import json
import socket
from asyncio import StreamReader, StreamWriter
from contextlib import ExitStack

import pytest

from tests import waiting
from tests.serving import Serving, make_home, quotes

LOOK_S = 0.05
CLIENTS = 8


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("homes") / "home")


def post(body):
    head = f"POST /score HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
    return f"{head}content-type: application/json\r\n\r\n".encode() + body


def received(connection):
    """One whole response."""
    got = b""
    while not (got.endswith(b"}") and b"\r\n\r\n" in got):
        part = connection.recv(10_000)
        assert part, got
        got += part
    return got


def test_on_sigterm_what_is_in_work_is_answered_and_connections_are_let_go(home):
    whole = post(json.dumps(quotes(home, 1)[0]).encode())
    with (
        Serving(home) as serving,
        socket.create_connection(("127.0.0.1", serving.port), timeout=20) as slow,
        socket.create_connection(("127.0.0.1", serving.port), timeout=20) as kept,
    ):
        slow.sendall(whole[:-10])
        kept.sendall(whole)
        first = received(kept)
        assert first.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" not in first
        serving.end()
        waiting.until(lambda: serving.get("/readyz")[0].status != 200)
        kept.sendall(whole)
        last = received(kept)
        assert last.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in last
        assert kept.recv(100) == b""
        slow.sendall(whole[-10:])
        assert received(slow).startswith(b"HTTP/1.1 200 ")
        assert serving.ended() == (0, "Stopped.\n")


class Backend:
    """A service as a proxy sees it: ready or not, and its idle connections."""

    def __init__(self, port):
        self.port, self.ready, self.answers = port, False, 0
        self.idle: list[tuple[StreamReader, StreamWriter]] = []

    async def connect(self):
        return (
            self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
        )

    async def watch(self, done):
        """Ask again and again whether it is ready; what is idle is let go when it is not."""
        while not done.is_set():
            try:
                stream = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    answer = await exchange(stream, b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
                finally:
                    await close(stream[1])
                self.ready = answer.startswith(b"HTTP/1.1 200 ")
            except (OSError, asyncio.IncompleteReadError):  # it has just ended
                self.ready = False
            if not self.ready:
                await self.let_go()
            await asyncio.sleep(LOOK_S)
        await self.let_go()

    async def let_go(self):
        while self.idle:
            await close(self.idle.pop()[1])


async def close(writer):
    writer.close()
    await writer.wait_closed()


async def message(reader):
    """One request or response, head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return head + await reader.readexactly(int(length or 0))


async def exchange(stream, request):
    reader, writer = stream
    writer.write(request)
    return await message(reader)


class Proxy:
    """Passes each request on to one that is ready; never tries one twice."""

    def __init__(self):
        self.backends: list[Backend] = []
        self.turn = 0
        self.serving: set[asyncio.FitTask[None]] = set()

    async def serve(self, reader, writer):
        self.serving.add(asyncio.current_task())
        try:
            while True:
                request = await message(reader)
                writer.write(await self.passed_on(request))
        except asyncio.IncompleteReadError:
            await close(writer)

    async def passed_on(self, request):
        ready = [one for one in self.backends if one.ready]
        self.turn += 1
        backend = ready[self.turn % len(ready)]
        stream = await backend.connect()
        answer = await exchange(stream, request)
        backend.answers += 1
        if b"connection: close" in answer:
            await close(stream[1])
        else:
            backend.idle.append(stream)
        return answer


async def load(port, request, failures, done):
    stream = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while not done.is_set():
        answer = await exchange(stream, request)
        count += 1
        if not answer.startswith(b"HTTP/1.1 200 "):
            failures.append(answer)
        await asyncio.sleep(0.002)
    await close(stream[1])
    return count


async def until(condition):
    while not condition():
        await asyncio.sleep(LOOK_S)


async def swap(old, start, request):
    """Replace one service by another, that `start` starts, under load."""
    proxy, failures, done = Proxy(), [], asyncio.Event()
    proxy.backends.append(Backend(old.port))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    watching = [asyncio.create_task(proxy.backends[0].watch(done))]
    await until(lambda: proxy.backends[0].ready)
    clients = [asyncio.create_task(load(port, request, failures, done)) for _ in range(CLIENTS)]

    new = await asyncio.to_thread(start)
    proxy.backends.append(Backend(new.port))
    watching.append(asyncio.create_task(proxy.backends[1].watch(done)))
    await until(lambda: proxy.backends[1].answers > 100)
    old.end()
    ended = await asyncio.to_thread(old.ended)
    served = proxy.backends[1].answers
    await until(lambda: proxy.backends[1].answers > served + 100)

    done.set()
    asked = await asyncio.gather(*clients)
    await asyncio.gather(*watching, *proxy.serving)
    server.close()
    new.end()
    assert ended == (0, "Stopped.\n")
    assert await asyncio.to_thread(new.ended) == ended
    return failures, sum(asked), [one.answers for one in proxy.backends]


def test_two_instances_are_swapped_under_load_with_no_failure(home):
    request = post(json.dumps(quotes(home, 1)[0]).encode())
    with ExitStack() as services:
        old = services.enter_context(Serving(home))
        failures, asked, answers = asyncio.run(
            swap(old, lambda: services.enter_context(Serving(home)), request)
        )
    assert failures == []
    assert sum(answers) == asked
    assert min(answers) > 100
