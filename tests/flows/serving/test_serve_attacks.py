"""`headwater serve` under those who mean it ill: it goes on answering, and lets go of them."""

import contextlib
import json
import re
import resource
import select
import socket
import time
from pathlib import Path

import pytest

from tests.serving import SETTINGS, TOKEN, Serving, make_home, quotes

MANY = 1_000
TIMEOUT_S, KEPT_S = 2, 20
"""`serve.timeout` here, and within what a connection must be gone: CI is slow."""
PROMPT_S = 10
AUTHORIZATION = {"authorization": f"Bearer {TOKEN}"}
JSON = b"Host: x\r\nContent-Type: application/json\r\n"
CHUNKED = b"POST /score HTTP/1.1\r\n" + JSON + b"Transfer-Encoding: chunked\r\n\r\n"
READY = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
KINDS = {
    "says nothing": (b"", b""),
    "never ends its head": (b"GET /model HTTP/1.1\r\nHo", b"s"),
    "sends nothing but line ends": (b"\r\n", b"\r\n"),
    "sends line ends after an answer": (READY, b"\r\n"),
    "begins a second head": (READY + b"GET /re", b"a"),
    "never ends a body": (
        b"POST /score HTTP/1.1\r\n" + JSON + b"Content-Length: 999\r\n\r\nx",
        b"y",
    ),
    "never ends a body for nobody": (
        b"POST /nothing HTTP/1.1\r\n" + JSON + b"Content-Length: 999\r\n\r\nx",
        b"y",
    ),
    "never ends a probe's body": (b"GET /readyz HTTP/1.1\r\nContent-Length: 999\r\n\r\n", b"y"),
    "waits to be asked for its body": (
        b"POST /score HTTP/1.1\r\n" + JSON + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
        b"",
    ),
    "sends a chunk a second": (CHUNKED, b"1\r\nx\r\n"),
    "never ends a chunk's extension": (CHUNKED + b"1;", b"a" * 99),
    "never ends its trailers": (CHUNKED + b"1\r\nx\r\n0\r\n", b"a: b\r\n"),
    "has a header without end": (b"GET /readyz HTTP/1.1\r\nA: " + b"a" * 15_000, b"a" * 999),
    "has headers without end": (b"GET /readyz HTTP/1.1\r\n", b"a: b\r\n"),
    "asks for another protocol": (
        b"GET /readyz HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"x",
    ),
    "speaks TLS": (b"\x16\x03\x01\x02\x00\x01", b"\0"),
    "speaks HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0"),
    "never reads": (b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 8_000, b""),
}


@pytest.fixture(scope="module", autouse=True)
def descriptors():
    """Enough for the attackers' ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, MANY + 1_000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    root = make_home(tmp_path_factory.mktemp("homes") / "home")
    settings = f'{SETTINGS}timeout = "{TIMEOUT_S}s"\n'
    (root / "headwater.toml").write_text(f'stream = "quotes"\n{settings}')
    return root


@pytest.fixture(scope="module")
def asked(home):
    return json.dumps(quotes(home, 1)[0])


@pytest.fixture(scope="module")
def service(home):
    with Serving(home, token=TOKEN) as serving:
        yield serving
        serving.end()
        assert serving.ended() == (0, "Stopped.\n")


def connected(stack, port, first):
    one = socket.socket()
    stack.callback(one.close)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    one.settimeout(KEPT_S)
    one.connect(("127.0.0.1", port))
    one.setblocking(False)
    send(one, first)
    return one


def send(one, content):
    with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
        one.send(content)


def is_open(one):
    """Whether the other end keeps the connection open; received bytes are dropped."""
    try:
        while one.recv(65_536):
            pass
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False
    return False


def whole(one):
    """An answer in JSON, head and body, in however many parts."""
    got = one.recv(65_536)
    while not got.endswith(b"}"):
        part = one.recv(65_536)
        assert part != b"", got
        got += part
    return got


def probed(serving):
    """Status of `/readyz`, and how long it took (s)."""
    started = time.perf_counter()
    status = serving.get("/readyz")[0].status
    return status, time.perf_counter() - started


def resident_bytes(serving):
    text = Path(f"/proc/{serving.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) * 1024


def open_descriptors(serving):
    return len(list(Path(f"/proc/{serving.process.pid}/fd").iterdir()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_that_never_end_neither_stop_probes_nor_scores(service, asked, kind):
    first, more = KINDS[kind]
    before = resident_bytes(service)
    with contextlib.ExitStack() as stack:
        held = [connected(stack, service.port, first) for _ in range(MANY)]
        for _ in range(3):
            status, seconds = probed(service)
            assert (status, seconds < PROMPT_S) == (200, True)
            assert service.ask("POST", "/score", asked, AUTHORIZATION)[0].status == 200
            for one in held:
                send(one, more)
        assert resident_bytes(service) - before < 200 * 2**20


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"never reads"}))
def test_each_is_let_go_while_it_goes_on(service, kind):
    first, more = KINDS[kind]
    with contextlib.ExitStack() as stack:
        one = connected(stack, service.port, first)
        end = time.monotonic() + KEPT_S
        while is_open(one):
            assert time.monotonic() < end
            send(one, more)
            select.select([one], [], [], 0.1)


def test_one_that_does_not_read_is_let_go(service):
    with contextlib.ExitStack() as stack:
        before = open_descriptors(service)
        held = [connected(stack, service.port, KINDS["never reads"][0]) for _ in range(20)]
        end = time.monotonic() + KEPT_S
        while open_descriptors(service) > before:
            assert time.monotonic() < end
        assert len(held) == 20


def test_more_connections_than_descriptors_leave_some_for_the_log(home, asked):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        serving = Serving(home, token=TOKEN)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with serving, contextlib.ExitStack() as stack:
        before = open_descriptors(serving)
        held = []
        for _ in range(MANY):
            held.append(connected(stack, serving.port, b""))
            assert open_descriptors(serving) < 512 - (512 - before) // 3
        assert probed(serving)[0] == 200
        assert serving.ask("POST", "/score", asked, AUTHORIZATION)[0].status == 200


def test_one_with_the_token_is_not_displaced_by_those_without(service, asked):
    head = f"POST /score HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n".encode() + JSON
    request = head + f"Content-Length: {len(asked)}\r\n\r\n{asked}".encode()
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
        one.settimeout(KEPT_S)
        one.sendall(request)
        assert whole(one).startswith(b"HTTP/1.1 200 ")
        held = [connected(stack, service.port, b"") for _ in range(MANY + 200)]
        end = time.monotonic() + KEPT_S
        while is_open(held[0]):
            select.select([held[0]], [], [], 0.1)
            assert time.monotonic() < end
        one.sendall(request)
        assert whole(one).startswith(b"HTTP/1.1 200 ")


def test_where_nobody_needs_a_token_they_do_not_stop_probes_either(home):
    with Serving(home) as serving, contextlib.ExitStack() as stack:
        for first in (
            READY + b"GET /m",
            b"GET /model HTTP/1.1\r\n\r\nGET /m",
            KINDS["never reads"][0],
        ):
            for _ in range(MANY):
                connected(stack, serving.port, first)
            status, seconds = probed(serving)
            assert (status, seconds < PROMPT_S) == (200, True)


@pytest.mark.parametrize("size", [1, 999_000])
def test_bodies_that_never_end_take_neither_places_nor_memory_of_others(home, asked, size):
    first = b"POST /score/batch HTTP/1.1\r\n" + JSON + b"Content-Length: 1000000\r\n\r\n"
    with Serving(home) as serving, contextlib.ExitStack() as stack:
        before = resident_bytes(serving)
        for _ in range(200):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", serving.port)))
            one.settimeout(KEPT_S)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                one.sendall(first + b" " * size)
            assert serving.ask("POST", "/score", asked)[0].status == 200
        assert resident_bytes(serving) - before < 200 * 2**20


def test_an_answer_before_the_body_is_read_whole_and_is_the_last(service):
    with socket.create_connection(("127.0.0.1", service.port), timeout=KEPT_S) as one:
        one.sendall(b"POST /score HTTP/1.1\r\n" + JSON + b"Content-Length: 9000000\r\n\r\n")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            one.sendall(b" " * 4_000_000)
        answer = one.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"connection: close" in answer
        end = time.monotonic() + KEPT_S
        with contextlib.suppress(ConnectionResetError):
            while one.recv(65_536) != b"":
                assert time.monotonic() < end


def test_it_ends_in_time_while_they_hold_on(home):
    with Serving(home, token=TOKEN) as serving, contextlib.ExitStack() as stack:
        for kind in ("never reads", "never ends a body", "never ends its head", "says nothing"):
            for _ in range(100):
                connected(stack, serving.port, KINDS[kind][0])
        assert probed(serving)[0] == 200
        serving.end()
        started = time.monotonic()
        assert serving.ended() == (0, "Stopped.\n")
        assert time.monotonic() - started < 1 + TIMEOUT_S + KEPT_S  # it drains for 1 s
