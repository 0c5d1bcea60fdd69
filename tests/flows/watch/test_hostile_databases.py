"""A database that answers nonsense is told in one line and asked again; it ends no watcher."""

import json
import os
import signal
import socket
import threading
from contextlib import contextmanager

import pytest

from flows.errors.user_errors import CommandError
from flows.home.configuration import load_settings
from flows.home.deployment import Deployment
from flows.home.heartbeat import beats_in
from flows.home.home import environment_home
from flows.watch.beside import beside
from flows.watch.machine import H2OProbe
from flows.watch.points import Point
from flows.watch.pushing import Pushing
from flows.watch.sinks import Graphite, Influx, SinkError
from tests.flows.watch.worlds import asked, ingest, run, settle
from tests.waiting import until

POINT = Point("m", {"stream": "s"}, {"n": 1}, 7)
HEAD = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def answering(answer, pieces=1):
    """A server that sends these bytes to each client, and the heads that it got."""
    heads = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    heads.append(client.recv(65_536))
                    try:
                        for _ in range(pieces):
                            client.sendall(answer)
                    except OSError:
                        heads.append(b"hung up")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", heads
        server.shutdown(socket.SHUT_RDWR)
    thread.join(20)


# http.client leaves the socket of an answer that it cannot read to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "answer",
    [
        b"\x00nonsense\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        HEAD + b"x: " + b"a" * 70_000 + b"\r\n\r\n",
        HEAD + b"a: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 500 Oh\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 500 Oh\r\ncontent-length: 500\r\n\r\nab",
        b"HTTP/1.1 302 Found\r\nlocation: http://[\r\n\r\n",
        b"HTTP/1.1 307 Found\r\nlocation: /elsewhere\r\n\r\n",
    ],
    ids=["status", "number", "line", "headers", "chunk", "short", "nowhere", "elsewhere"],
)
def test_an_answer_that_is_none_is_an_error_in_one_line(answer):
    with answering(answer) as (url, _), pytest.raises(SinkError) as told:
        Influx(f"{url}/write?db=x").send([POINT])
    assert str(told.value).startswith(f"{url}/write?db=x must ")
    assert "\n" not in str(told.value)


def test_a_redirect_is_not_followed_as_it_would_lose_points_and_show_the_token():
    with answering(HEAD + b"content-length: 0\r\n\r\n") as (other, shown):
        moved = f"HTTP/1.1 302 Found\r\nlocation: {other}/\r\ncontent-length: 0\r\n\r\n".encode()
        with answering(moved) as (url, heads), pytest.raises(SinkError, match="redirect"):
            Influx(f"{url}/write?db=x", "hidden").send([POINT])
        assert b"Token hidden" in heads[0]
        assert shown == []


def test_a_body_without_end_is_not_read():
    with answering(HEAD + b"\r\n" + b"x" * 2**20, pieces=1_000) as (url, heads):
        Influx(f"{url}/write?db=x").send([POINT])
        until(lambda: heads[-1] == b"hung up")


@pytest.mark.parametrize(
    "url",
    [
        "http://[",
        "http://[::1",
        "http://127.0.0.1:b/",
        "http://127.0.0.1:99999/write",
        "http://127.0.0.1:0/write",
        "http://a b/",
        "http://127.0.0.1:8086/\x01",
        f"http://{'a' * 300}/write",
        "http://a..b/write",
        "http://\u0130.example/",
        "http://127.0.0.1:8086/ü",
        "http://127.0.0.1:8086/w?db=\ud800",
        "http:///write",
    ],
)
def test_an_address_that_nothing_can_open_is_refused(url):
    with pytest.raises(CommandError, match="--influx must be like"):
        Influx(url)


@pytest.mark.parametrize("token", ["to\nken", "日本語", "two words", "\ud800"])
def test_a_token_that_no_header_can_hold_is_refused_and_not_repeated(token):
    with pytest.raises(CommandError, match="INFLUX_TOKEN must be") as told:
        Influx("http://127.0.0.1:8086/write", token)
    assert token not in str(told.value)


@pytest.mark.parametrize("host", ["a" * 300, "a..b", "\ud800"])
def test_a_name_that_no_host_can_have_is_an_error_of_graphite(host):
    with pytest.raises(SinkError, match="must answer"):
        Graphite(host, 2003).send([POINT])


@pytest.mark.parametrize(
    "answer",
    [b"\x00", HEAD + b"a: b\r\n" * 200 + b"\r\n", HEAD + b"\r\n" + b"[" * 100_000],
    ids=["status", "headers", "deep"],
)
def test_a_cluster_that_answers_nonsense_is_not_healthy(answer):
    with answering(answer) as (url, _):
        assert H2OProbe(url).is_healthy(0.0) is False


ODD = {
    "pipe": os.mkfifo,
    "folder": os.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "itself": lambda path: path.symlink_to(path),
    "deep": lambda path: path.write_bytes(b'{"place":' + b"[" * 100_000),
    "text": lambda path: path.write_bytes(b'{"place": "\xff"}'),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_files_in_the_place_of_heartbeats_are_passed_over(tmp_path, kind):
    (tmp_path / "running").mkdir()
    ODD[kind](tmp_path / "running" / "x.json")
    good = {"host": "h", "at": 7.0, "started": 1.0, "processes": []}
    (tmp_path / "running" / "y.json").write_text(json.dumps(good))
    assert [beat.host for beat in beats_in(tmp_path, 7.0)] == ["h"]


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "itself"])
def test_an_odd_file_in_the_place_of_the_cursor_is_told_and_waited_for(tmp_path, monkeypatch, kind):
    settle(tmp_path, monkeypatch)
    ingest(tmp_path, asked(0, 60))
    run()
    cursor, said = tmp_path / "cursor.json", []
    ODD[kind](cursor)

    def opened():
        return Deployment.open(load_settings(), environment_home(), checkpoints=False)

    with (
        answering(b"HTTP/1.1 204 No\r\n\r\n") as (url, _),
        Pushing(opened, Influx(f"{url}/write"), cursor, 0.01, said.append).going_on(),
    ):
        until(lambda: len(said) == 1)
        cursor.rmdir() if kind == "folder" else cursor.unlink()
        until(lambda: len(said) == 2)
    assert said[0].startswith("Points wait: ")
    assert "cursor.json" in said[0]
    assert said[1].startswith("Points go to ")


@pytest.fixture
def ended():
    """The signals that this process was sent to end it."""
    numbers = []
    before = signal.signal(signal.SIGTERM, lambda number, _: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGTERM, before)


def test_work_that_fails_ends_the_process_with_its_error(ended):
    stop = threading.Event()

    def work():
        msg = "it has failed"
        raise ZeroDivisionError(msg)

    with pytest.raises(ZeroDivisionError, match="it has failed"), beside(work, stop, "w", 20.0):
        until(lambda: ended)
    assert ended == [signal.SIGTERM]
    assert stop.is_set()
