"""A real Prometheus beside a real flow: every expression means something, and a fault fires."""

import http.server
import json
import shutil
import subprocess
import threading
import urllib.parse
import urllib.request
from contextlib import closing

import msgspec
import pytest
import yaml

from flows.home.home import Home
from flows.streams.quotes_events import Trade
from flows.watch.marks import MARKS
from flows.watch.panels import DASHBOARDS
from flows.watch.rules import RULES
from flows.watch.rules_file import rules_file
from models.refit.fit_record import FitRecord
from state.log import Entry
from tests.flow_processes import Group, _free_ports, fill
from tests.flows.watch.test_watch import Watching
from tests.serving import SETTINGS
from tests.waiting import until

pytestmark = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("prometheus-alertmanager")),
    reason="no Prometheus or Alertmanager here",
)
ELSEWHERE = ("headwater_kafka", "headwater_h2o_up", "headwater_scorer", "headwater_http")
"""Metrics of a log in Kafka, of a cluster of H2O, of the scoring service: none of them is here."""
NOT_YET = {
    "headwater_partition_model", "headwater_model_age_seconds", "headwater_expected",
    "headwater_judged_", "headwater_estimate_error", "headwater_metric_alerts",
}  # fmt: skip
"""Metrics that come with the first promoted model, once enough requests wait at a tick, or with a
line in the settings `alerts`."""


class Hook(http.server.ThreadingHTTPServer):
    """Takes what Alertmanager sends."""

    def __init__(self):
        self.alerts = []
        super().__init__(("127.0.0.1", 0), _Taking)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Taking(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.alerts += [one["labels"]["alertname"] for one in body["alerts"]]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    root = tmp_path_factory.mktemp("scraped") / "home"
    fill(root, f"follow = true\n{SETTINGS}[metrics]\nevery = '1m'\n", hours=0.5)
    return root


@pytest.fixture(scope="module")
def flow(home):
    group = Group(home)
    yield group
    if not group.ended():
        group.signal(9)
    group.wait(60)


@pytest.fixture(scope="module")
def hook():
    one = Hook()
    yield one
    one.shutdown()
    one.server_close()


@pytest.fixture(scope="module")
def prometheus(home, flow, hook, tmp_path_factory):
    """The address of one that scrapes each second, with rules that wait for seconds only."""
    folder = tmp_path_factory.mktemp("prometheus")
    port, manager = _free_ports(2)
    with Watching(home) as watching:
        watching.until('headwater_lag_records{partition="0"} 0.0')
        rules = yaml.safe_load(rules_file())
        for rule in rules["groups"][0]["rules"]:
            rule["for"] = "1s"
        (folder / "rules.yml").write_text(yaml.safe_dump(rules))
        (folder / "prometheus.yml").write_text(
            yaml.safe_dump({
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": ["rules.yml"],
                "alerting": {"alertmanagers": [_target(manager)]},
                "scrape_configs": [{"job_name": "headwater", **_target(watching.port)}],
            })
        )  # fmt: skip
        (folder / "alertmanager.yml").write_text(
            yaml.safe_dump({
                "route": {"receiver": "hook", "group_wait": "1s", "group_by": ["alertname"]},
                "receivers": [{
                    "name": "hook",
                    "webhook_configs": [{"url": f"http://127.0.0.1:{hook.server_port}/"}],
                }],
            })
        )  # fmt: skip
        started = [
            _start(
                "prometheus", f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}",
            ),
            _start(
                "prometheus-alertmanager", f"--config.file={folder}/alertmanager.yml",
                f"--storage.path={folder}/manager", f"--web.listen-address=127.0.0.1:{manager}",
                "--cluster.listen-address=",
            ),
        ]  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        until(lambda: _is_ready(port) and _is_ready(manager))
        until(lambda: values(url, "count_over_time(headwater_up[1m]) > 5"))
        yield url
        for process in started:
            process.terminate()
            process.wait(30)


def _start(*words):
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _target(port):
    return {"static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}


def values(url, expr, at=None):
    """The result of an expression at a Unix time, or now."""
    query = urllib.parse.urlencode({"query": expr} | ({} if at is None else {"time": at}))
    with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=20) as answer:
        return json.load(answer)["data"]["result"]


def _is_ready(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=20):
            return True
    except OSError:  # it does not listen, or answers 503 while it starts
        return False


def is_here(expr):
    return not any(name in expr for name in (*ELSEWHERE, *NOT_YET))


def test_every_expression_of_a_panel_returns_data(prometheus):
    expressions = [q.expr for board in DASHBOARDS for panel in board.panels for q in panel.queries]
    empty = [expr for expr in expressions if is_here(expr) and not values(prometheus, expr)]
    assert empty == []
    assert sum(map(is_here, expressions)) > 30


def test_every_mark_is_answered_and_the_start_of_the_watcher_is_one(prometheus):
    (first,) = values(prometheus, "min_over_time(timestamp(headwater_info)[1h:1s])")
    soon = float(first["value"][1]) + 5
    found = {mark.name: values(prometheus, mark.expr, soon) for mark in MARKS}
    assert [one["metric"]["stream"] for one in found.pop("Deployments")] == ["quotes"]
    assert not any(found.values())


def test_every_expression_of_a_rule_is_answered_and_none_fires_while_all_is_well(prometheus, hook):
    for rule in RULES:
        assert values(prometheus, rule.expr) == [], rule.name
    assert hook.alerts == []


def append(home, topic, *values):
    """Append to the first partition, as another program would."""
    with closing(Home(home).log()) as log:
        log.append(topic, 0, [Entry(newest(log), b"", value) for value in values])


def newest(log):
    return log.read("events", 0, log.end("events", 0) - 1)[0].append_time


def junk(home):
    append(home, "events", *[b"junk"] * 50)


def clock(home):
    with closing(Home(home).log()) as log:
        ahead = newest(log) + 3600 * 10**6
    trade = Trade(id="ahead", time=ahead, source="feed", account="A1", symbol="S1", amount=1.0)
    append(home, "events", msgspec.json.encode(trade))


def fits(home):
    failed = FitRecord(boundary=1, status="failed", reason="H2O is away", algorithm="gbm")
    again = msgspec.structs.replace(failed, boundary=2)
    append(home, "models", *map(msgspec.json.encode, (failed, again)))


FAULTS = {
    "HeadwaterDeadLetters": junk,
    "HeadwaterClockAhead": clock,
    "HeadwaterFitFailedTwice": fits,
}


@pytest.mark.parametrize("alert", FAULTS)
def test_a_fault_fires_its_alert_and_no_other(prometheus, home, flow, hook, alert):
    before = {*hook.alerts}
    FAULTS[alert](home)
    until(lambda: {*hook.alerts} - before)
    assert {*hook.alerts} - before == {alert}
    assert not flow.ended()


def test_a_flow_that_is_killed_fires_its_alert_and_no_other(prometheus, flow, hook):
    before = {*hook.alerts}
    flow.signal(9)
    flow.wait(60)
    until(lambda: {*hook.alerts} - before)
    assert {*hook.alerts} - before == {"HeadwaterFlowDown"}
