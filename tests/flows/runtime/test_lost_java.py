"""A flow whose Java dies in a fit goes on without that fit."""

import os
import signal
from pathlib import Path

import msgspec

from flows.home.home import Home
from models.refit.fit_record import FitRecord
from state.outputs.records import Alert
from tests.flow_processes import Group, fill

SETTINGS = """
[training]
every = "20m"
min_rows = 100
models = 1
validation = "2m"
[h2o]
memory = "300m"
"""


def _values(home, topic):
    log = Home(home).log()
    found = [
        record.value
        for partition in range(log.partitions(topic))
        for record in log.read(topic, partition, 0, max_records=10**6)
    ]
    log.close()
    return found


def _java_of(home):
    """The process ids of the H2O that works in a home."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has ended
            continue
        if b"java" in words[0] and any(str(home).encode() in word for word in words):
            found.append(int(process.name))
    return found


def test_a_java_that_dies_in_a_fit_leaves_an_alert_and_the_flow_goes_on(tmp_path):
    home = tmp_path / "home"
    fill(home, SETTINGS, hours=0.36)
    flow = Group(home)
    flow.until(lambda: _java_of(home))
    for java in _java_of(home):
        os.kill(java, signal.SIGKILL)
    assert flow.wait(120) == [0], flow.output()
    fits = [msgspec.json.decode(value, type=FitRecord) for value in _values(home, "models")]
    failed = next(fit for fit in fits if fit.status != "skipped")
    assert failed.status == "failed"
    alerts = [msgspec.json.decode(value, type=Alert) for value in _values(home, "alerts")]
    assert any("the champion stays" in one.message for one in alerts if one.kind == "fit_failed")
    requests = [value for value in _values(home, "events") if b'"type":"quote"' in value]
    assert len(_values(home, "predictions")) == len(requests) > 500
    assert not list((home / "tmp").iterdir())
