"""The past of the metrics is what a watcher would have seen, and databases take it."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from contextlib import closing

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from flows.__main__ import main
from flows.home.configuration import load_settings
from flows.home.deployment import Deployment
from flows.home.home import environment_home
from flows.watch.past import PAST, past_samples
from operators.training.model_registry import ModelRegistry
from state.log import decoded
from state.outputs.records import Metrics
from tests.flow_processes import _free_ports
from tests.flows.watch.test_pushing import running
from tests.flows.watch.worlds import asked, ingest, run, settle, watcher
from tests.waiting import until

BEYOND = {"headwater_model_age_seconds", "headwater_dead_letters_total"}
"""Of these the watcher sees what came after the newest tick."""


@pytest.fixture
def home(tmp_path, monkeypatch):
    settle(tmp_path, monkeypatch)
    ingest(tmp_path, [*asked(0, 60), b"junk"])
    run()
    return tmp_path


def values(samples):
    return [
        {(one.name, *labels): value for one in PAST for labels, value in one.points(sample)}
        for sample in samples
    ]


def exported(folder, *words):
    assert main(["export", "metrics", "--openmetrics", "--out", "past.om", *words]) == 0
    return (folder / "past.om").read_text()


def test_the_newest_of_the_past_is_what_the_watcher_sees_now(home):
    with closing(Deployment.open(load_settings(), environment_home())) as deployment:
        log = deployment.log
        past = values(past_samples(log, ModelRegistry(log).records()))
        ticks = {
            decoded("metrics", p, record, Metrics).time
            for p in range(log.partitions("metrics"))
            for record in log.read("metrics", p, 0, max_records=1000)
        }
    (now,) = values([watcher().look()])
    assert len(past) == len(ticks) > 30
    assert {name: value for name, value in past[-1].items() if name[0] not in BEYOND} == {
        name: value for name, value in now.items() if name[0] not in BEYOND
    }
    requests = [one["headwater_requests_total",] for one in past]
    assert requests == sorted(requests)
    assert requests[0] < requests[-1]


def test_openmetrics_hold_every_value_at_its_tick(home, capsys):
    families = list(text_string_to_metric_families(exported(home)))
    found = [
        (sample.timestamp, (sample.name, *sample.labels.values()), sample.value)
        for family in families
        for sample in family.samples
    ]
    assert f"past.om: {len(found):,} values" in capsys.readouterr().out
    with closing(Deployment.open(load_settings(), environment_home())) as deployment:
        log = deployment.log
        samples = list(past_samples(log, ModelRegistry(log).records()))
    wanted = [
        (sample.at, name, value)
        for sample, of in zip(samples, values(samples), strict=True)
        for name, value in of.items()
    ]
    assert sorted((float(at), *rest) for at, *rest in found) == sorted(wanted)


def test_a_span_of_event_time_can_be_chosen_and_other_topics_are_refused(home, capsys):
    whole = exported(home)
    times = sorted({line.split()[-1] for line in whole.splitlines() if line[0] != "#"})
    part = exported(home, "--from", "2024-03-31T02:20", "--to", "2024-03-31T02:30")
    kept = sorted({line.split()[-1] for line in part.splitlines() if line[0] != "#"})
    assert kept == [time for time in times if 1_711_851_600 <= float(time) < 1_711_852_200]
    assert kept
    assert main(["export", "alerts", "--openmetrics", "--out", "x.om"]) == 2
    assert "--openmetrics must go with the topic metrics; got 'alerts'" in capsys.readouterr().err
    assert not (home / "x.om").exists()


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool here")
def test_prometheus_takes_it(home):
    exported(home)
    words = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "past.om", "blocks"]
    subprocess.run(words, check=True, cwd=home, capture_output=True)
    (home / "blocks" / "wal").mkdir()  # as Prometheus has it
    words = ["promtool", "tsdb", "dump", '--match={__name__="headwater_requests_total"}', "blocks"]
    dump = subprocess.run(words, check=False, cwd=home, capture_output=True, text=True)
    assert dump.stderr == ""
    said = dump.stdout
    lines = exported(home).splitlines()
    wanted = [line.split()[1:] for line in lines if line.startswith("headwater_requests_total ")]
    found = [line.split()[-2:] for line in said.splitlines()]
    assert [(float(v), int(t) / 1000) for v, t in found] == [
        (float(v), float(t)) for v, t in wanted
    ]


@pytest.mark.skipif(not shutil.which("victoria-metrics"), reason="no VictoriaMetrics here")
def test_victoria_metrics_takes_it(home):
    text, (port,) = exported(home), _free_ports(1)
    words = (
        f"-storageDataPath={home}/victoria", f"-httpListenAddr=127.0.0.1:{port}",
        "-retentionPeriod=100y",
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with running("victoria-metrics", *words):
        until(lambda: answers(f"{url}/health"))
        urllib.request.urlopen(f"{url}/api/v1/import/prometheus", text.encode()).close()
        match = urllib.parse.quote("headwater_requests_total")
        until(lambda: answers(f"{url}/api/v1/export?match[]={match}"))
        line = answers(f"{url}/api/v1/export?match[]={match}")
    series = json.loads(line)
    wanted = [
        (float(line.split()[1]), round(float(line.split()[2]) * 1000))
        for line in text.splitlines()
        if line.startswith("headwater_requests_total ")
    ]
    assert list(zip(series["values"], series["timestamps"], strict=True)) == wanted


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read()
    except OSError:
        return b""
