"""Points are pushed at their event times, to real databases, and none is lost or other."""

import json
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from contextlib import closing, contextmanager

import pytest

from flows.__main__ import main
from flows.home.configuration import load_settings
from flows.home.deployment import Deployment
from flows.home.home import environment_home
from flows.watch.points import PUSHED, points_of
from flows.watch.pushing import Pusher, Pushing
from flows.watch.sinks import Graphite, Influx, SinkError
from tests.flow_processes import _free_ports
from tests.flows.watch.test_watch import Watching
from tests.flows.watch.worlds import asked, ingest, run, settle
from tests.waiting import until


@pytest.fixture(autouse=True)
def log(tmp_path, monkeypatch):
    settle(tmp_path, monkeypatch)
    ingest(tmp_path, [*asked(0, 60), b"junk"])
    run()
    with closing(Deployment.open(load_settings(), environment_home())) as deployment:
        yield deployment.log


class Memory:
    """Keeps what it is sent; refuses the first sends."""

    def __init__(self, refusals=0):
        self.place, self.refusals, self.points = "memory", refusals, []

    def send(self, points):
        if self.refusals:
            self.refusals -= 1
            msg = "it is away"
            raise SinkError(msg)
        self.points += points


def all_points(log):
    return [
        point
        for topic in PUSHED
        for partition in range(log.partitions(topic))
        for record in log.read(topic, partition, 0, max_records=10_000)
        for point in points_of("asks", topic, partition, record)
    ]


def push_all(pusher):
    while pusher.push():
        pass


def test_each_record_is_sent_once_and_a_restart_goes_on_where_it_was(tmp_path, log):
    sink, file = Memory(), tmp_path / "cursor.json"
    push_all(Pusher(log, "asks", sink, file))
    assert sink.points == all_points(log)
    assert len(sink.points) > 100
    again = Memory()
    push_all(Pusher(log, "asks", again, file))
    assert again.points == []
    ingest(tmp_path, asked(60, 90))
    run()
    push_all(Pusher(log, "asks", again, file))
    assert sorted(sink.points + again.points, key=str) == sorted(all_points(log), key=str)


def test_what_a_database_missed_comes_later(tmp_path, log):
    sink, file = Memory(refusals=1), tmp_path / "cursor.json"
    pusher = Pusher(log, "asks", sink, file)
    with pytest.raises(SinkError):
        pusher.push()
    assert not file.exists()
    push_all(pusher)
    assert sink.points == all_points(log)


def test_another_database_gets_all_from_the_start(tmp_path, log):
    file = tmp_path / "cursor.json"
    push_all(Pusher(log, "asks", Memory(), file))
    other = Memory()
    other.place = "elsewhere"
    push_all(Pusher(log, "asks", other, file))
    assert other.points == all_points(log)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"place": "memory", "next": {"metrics": [99]}}']
)
def test_a_cursor_that_is_broken_or_beyond_the_log_begins_anew(tmp_path, log, content):
    file, sink = tmp_path / "cursor.json", Memory()
    file.write_text(content)
    push_all(Pusher(log, "asks", sink, file))
    assert sink.points == all_points(log)


def test_trouble_is_told_once_and_its_end_too(tmp_path):
    said, sink = [], Memory(refusals=3)

    def opened():
        return Deployment.open(load_settings(), environment_home(), checkpoints=False)

    pushing = Pushing(opened, sink, tmp_path / "cursor.json", 0.01, said.append)
    with pushing.going_on():
        until(lambda: len(said) == 2)
    assert said == ["Points wait: it is away", "Points go to memory again."]


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8086", "file:///etc/passwd", "http://user:secret@127.0.0.1/write?db=x"]
)
def test_an_address_that_is_none_is_refused_without_its_password(url, capsys):
    assert main(["watch", "--influx", url]) == 2
    said = capsys.readouterr().err
    assert "--influx must" in said
    assert "secret" not in said


@contextmanager
def running(*words):
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def asked_for(url, **query):
    with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(query)}", timeout=20) as answer:
        return json.load(answer)


def losses(log):
    """Log-loss of the online learners by event time in µs, as the log has it."""
    return {
        point.time_us: point.fields["log_loss"]
        for point in all_points(log)
        if point.name == "headwater_losses" and point.tags["model"] == "online"
    }


@pytest.mark.skipif(not shutil.which("influxd"), reason="no InfluxDB here")
def test_influxdb_holds_what_the_log_says_though_it_was_away(tmp_path, log):
    port, rpc = _free_ports(2)
    folder = tmp_path / "influx"
    (tmp_path / "influx.conf").write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{rpc}"\n'
        f'[meta]\ndir = "{folder}/meta"\n[data]\ndir = "{folder}/data"\nwal-dir = "{folder}/wal"\n'
        f'[http]\nbind-address = "127.0.0.1:{port}"\n'
    )
    url = f"http://127.0.0.1:{port}"
    shutil.copy(tmp_path / "headwater.toml", environment_home().root)
    server = ("influxd", "-config", str(tmp_path / "influx.conf"))
    words = ("--prometheus", ":0", "--influx", f"{url}/write?db=h")
    with Watching(environment_home().root, *words) as watching:
        with running(*server):
            until(lambda: listens(port))
            urllib.request.urlopen(f"{url}/query", b"q=CREATE DATABASE h", timeout=20).close()
            until(lambda: len(found_in_influx(url)) == len(losses(log)))
            assert found_in_influx(url) == pytest.approx(losses(log))
        ingest(tmp_path, asked(60, 120))
        run()
        with running(*server):
            until(lambda: listens(port))
            until(lambda: len(found_in_influx(url)) == len(losses(log)))
            assert found_in_influx(url) == pytest.approx(losses(log))
        assert watching.process.poll() is None


def found_in_influx(url):
    query = "SELECT log_loss FROM headwater_losses WHERE model = 'online'"
    (result,) = asked_for(f"{url}/query", db="h", epoch="u", q=query)["results"]
    return {
        int(time): value
        for time, value in (result["series"][0]["values"] if "series" in result else [])
    }


@pytest.mark.skipif(not shutil.which("victoria-metrics"), reason="no VictoriaMetrics here")
@pytest.mark.parametrize("path", ["/write?db=h", "/api/v2/write?org=o&bucket=b"])
def test_victoria_metrics_takes_both_forms_of_the_line_protocol(tmp_path, log, path):
    (port,) = _free_ports(1)
    url = f"http://127.0.0.1:{port}"
    words = (f"-storageDataPath={tmp_path}/victoria", f"-httpListenAddr=127.0.0.1:{port}",
             "-retentionPeriod=100y", "-search.latencyOffset=0s")  # fmt: skip
    with running("victoria-metrics", *words):
        until(lambda: listens(port))
        push_all(Pusher(log, "asks", Influx(url + path), tmp_path / "cursor.json"))
        series = 'headwater_losses_log_loss{model="online"}'
        until(lambda: len(found_in_victoria(url, series)) == len(losses(log)))
        assert found_in_victoria(url, series) == pytest.approx(losses(log))


def found_in_victoria(url, series):
    query = urllib.parse.urlencode({"match[]": series})
    with urllib.request.urlopen(f"{url}/api/v1/export?{query}", timeout=20) as answer:
        lines = [json.loads(line) for line in answer]
    return {
        time * 1000: value
        for line in lines
        for time, value in zip(line["timestamps"], line["values"], strict=True)
    }


@pytest.mark.skipif(not shutil.which("victoria-metrics"), reason="no VictoriaMetrics here")
def test_graphite_lines_with_tags_are_taken(tmp_path, log):
    port, plain = _free_ports(2)
    words = (f"-storageDataPath={tmp_path}/victoria", f"-httpListenAddr=127.0.0.1:{port}",
             f"-graphiteListenAddr=127.0.0.1:{plain}", "-retentionPeriod=100y",
             "-search.latencyOffset=0s")  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with running("victoria-metrics", *words):
        until(lambda: listens(port) and listens(plain))
        push_all(Pusher(log, "asks", Graphite("127.0.0.1", plain), tmp_path / "cursor.json"))
        series = '{__name__="headwater_losses.log_loss", model="online"}'
        until(lambda: len(found_in_victoria(url, series)) == len(losses(log)))
        assert found_in_victoria(url, series) == pytest.approx(losses(log))
