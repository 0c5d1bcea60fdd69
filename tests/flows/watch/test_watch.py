"""`headwater watch` as a process beside a flow: what it tells, and that it goes on."""

import http.client
import json
import os
import signal

import pytest

from flows.__main__ import main
from flows.home.file_lock import lock_partition
from tests.documents import ROOT
from tests.flow_processes import Group, fill
from tests.serving import SETTINGS, TOKEN, Listening
from tests.waiting import until


class Watching(Listening):
    """A process that watches a home."""

    def __init__(self, root, *words, token=None):
        words = words or ("--prometheus", ":0")
        super().__init__(
            root, "watch", "--every", "200ms", *words, begins="Watching at ", token=token
        )

    def until(self, line, seconds=120):
        """Wait until a scrape has this line."""
        body = ""

        def is_there():
            nonlocal body
            body = self.get("/metrics")[1].decode()
            return line in body.splitlines()

        until(is_there, seconds, told=lambda: body)
        return body


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    root = tmp_path_factory.mktemp("watched") / "home"
    fill(root, f"follow = true\n{SETTINGS}", hours=0.2)
    return root


def test_a_flow_that_starts_and_is_killed_is_seen_and_the_watcher_goes_on(home):
    with Watching(home) as watching:
        watching.until('headwater_processes{role="flow"} 0.0')
        flow = Group(home)
        watching.until('headwater_processes{role="flow"} 1.0')
        body = watching.until('headwater_lag_records{partition="0"} 0.0')
        assert "\nheadwater_up 1.0\n" in body
        assert f'pid="{flow.processes[0].pid}"' in body
        flow.signal(signal.SIGKILL)
        flow.wait(20)
        watching.until('headwater_processes{role="flow"} 0.0')
        view = json.loads(watching.get("/view")[1])
        assert [one["name"] for one in view["problems"]] == ["HeadwaterFlowDown"]
        again = Group(home)
        watching.until('headwater_processes{role="flow"} 1.0')
        again.signal(signal.SIGTERM)
        assert again.wait(60) == [0]
        watching.until('headwater_processes{role="flow"} 0.0')


def test_a_log_that_goes_away_and_comes_back_is_told(home):
    with Watching(home) as watching:
        watching.until("headwater_up 1.0")
        home.rename(home.with_name("away"))
        try:
            body = watching.until("headwater_up 0.0")
            assert "\nheadwater_end_offset" in body
            assert watching.get("/healthz")[0].status == 200
        finally:
            home.with_name("away").rename(home)
        watching.until("headwater_up 1.0")
        watching.process.send_signal(signal.SIGTERM)
        said = watching.process.communicate(timeout=30)[1]
        assert watching.process.returncode == 0
        first, second, last = said.splitlines()
        assert first.startswith("The log cannot be read: ")
        assert (second, last) == ("The log is read again.", "Stopped.")


def test_the_page_has_its_views_as_events_and_asks_nobody_else(home):
    with Watching(home) as watching:
        watching.until("headwater_up 1.0")
        response, page = watching.get("/")
        assert response.getheader("content-type") == "text/html; charset=utf-8"
        assert "default-src 'none'" in response.getheader("content-security-policy")
        assert b"http://" not in page.replace(b"http://www.w3.org/2000/svg", b"")
        assert b"https://" not in page
        connection = http.client.HTTPConnection("127.0.0.1", watching.port, timeout=20)
        connection.request("GET", "/views")
        response = connection.getresponse()
        assert response.getheader("content-type").startswith("text/event-stream")
        assert response.readline() == b"retry: 500\n"
        looks = []
        while len(looks) < 2:
            line = response.readline()
            if line.startswith(b"data: "):
                looks.append(json.loads(line.removeprefix(b"data: "))["at"])
        assert looks[1] > looks[0]
        connection.close()
        response, rules = watching.get("/rules.yml")
        assert rules == (ROOT / "flows/watch/prometheus/rules.yml").read_bytes()
        assert watching.get("/nowhere")[0].status == 404


def test_with_a_token_only_probes_go_without_it(home):
    with Watching(home, "--prometheus", "0.0.0.0:0", token=TOKEN) as watching:
        for path in ("/", "/metrics", "/view", "/views", "/rules.yml"):
            assert watching.get(path)[0].status == 401
        assert watching.get("/healthz")[0].status == 200
        known = {"authorization": f"Bearer {TOKEN}"}
        assert watching.get("/metrics", known)[0].status == 200


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--prometheus", "0.0.0.0:0"], "HEADWATER_TOKEN must be set for any host but loopback"),
        (["--prometheus", "9464"], "must be HOST:PORT or :PORT; got '9464'"),
        (["--prometheus", ":70000"], "must be HOST:PORT or :PORT; got ':70000'"),
        (["--every", "1ms"], "must be from 200ms to 1m; got '1ms'"),
        (["--every", "soon"], "duration must be"),
    ],
)
def test_wrong_arguments_give_one_line(home, capsys, monkeypatch, words, said):
    monkeypatch.setenv("HEADWATER_HOME", str(home))
    monkeypatch.setenv("HEADWATER_CONFIG", str(home / "headwater.toml"))
    monkeypatch.delenv("HEADWATER_TOKEN", raising=False)
    try:
        code = main(["watch", *words])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert said in capsys.readouterr().err


def test_a_watcher_holds_no_lock_of_the_flow(home):
    with Watching(home) as watching:
        watching.until("headwater_up 1.0")
        os.close(lock_partition(home, 0))
