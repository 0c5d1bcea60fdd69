"""A history in which the world changes is refitted early, wherever the run was cut or stopped."""

import hashlib
import shutil
import threading
from itertools import count

import msgspec
import pytest

from flows.home.home import Home, create_topics
from flows.runtime.partitions import Partitions
from models.refit.fit_record import FitRecord
from operators.partition.journal import Configured, Crossed, Journal
from operators.shard.messages import Finish
from operators.shard.shard import TOPICS
from operators.training.trainer import Trainer
from operators.training.training_cuts import cuts_of
from state.events import HOUR_US, MINUTE_US
from state.log import Entry
from state.outputs.records import Alert
from state.settings import settings_from
from tests.flows.runtime.test_finite_runs import at_once
from tests.operators.shard.test_drift import FIRST_US, world
from tests.operators.shard.test_learning import mojo_bytes
from tests.rides import stream

FLIP = 2_500
EVENTS = world(3_500, seed=8, flip=FLIP)
MODEL = mojo_bytes(-2.0, price=0.1, minutes=0.0)
FLIP_US = FIRST_US + FLIP * MINUTE_US


class OneModel:
    """Fits of which only the first with enough rows gives a model."""

    def __init__(self, home):
        self._artifacts, self.tasks = home.artifacts(), []

    def __call__(self, boundary, cuts, earlier):
        self.tasks.append((boundary, max(cut.change for cut in cuts if cut.boundary == boundary)))
        if sum(cut.rows for cut in cuts) < 400 or any(one.model for one in earlier):
            return FitRecord(boundary=boundary, status="skipped", reason="", algorithm="glm")
        self._artifacts.put(MODEL)
        digest = hashlib.sha256(MODEL).hexdigest()
        return FitRecord(
            boundary=boundary, status="promoted", reason="", algorithm="glm", model="glm-a",
            sha256=digest,
        )  # fmt: skip

    def abandon(self):
        pytest.fail("there is nothing to abandon")


def settings(batch, rest="2h", **training):
    return settings_from({
        "stream": "tests.rides:stream",
        "training": {"every": "30d", "min_rows": 20} | training,
        "metrics": {"every": "1h"},
        "drift": {"false_alarms": "7d", "rest": rest},
        "reading": {"batch": batch},
    })  # fmt: skip


def worked_off(home, log, batch, *, messages=10**9, answers=10**9, **changed):
    """Let a flow work until its end, or for so many messages or answers."""
    clock = count(0.0, 0.3).__next__
    opened = Partitions(settings(batch, **changed), stream, log, home, clock=clock)
    live, fit = opened.open(0), OneModel(home)
    trainer = Trainer(log, opened.published, fit, threading.Event(), at_once)
    for _ in range(messages):
        message = live.poll()
        trainer.poll()
        if message is not None:
            live.commit(live.process(message))
        elif live.at_end():
            live.commit(live.process(Finish()))
            break
        if log.end("predictions", 0) > answers:
            break
    return fit


@pytest.fixture
def begun(tmp_path):
    logs = []

    def begin(name):
        home = Home(tmp_path / name)
        log = home.log()
        create_topics(log, 1)
        log.append("events", 0, [Entry(*record[1:]) for record in EVENTS])
        logs.append(log)
        return home, log

    yield begin
    for log in logs:
        log.close()


def written(log):
    topics = (*TOPICS, "activations", "snapshots", "models")
    return {topic: log.read(topic, 0, 0, max_records=10**6) for topic in topics}


def early(log):
    return [one.boundary for one in Journal(log, 0).entries if isinstance(one, Crossed)]


def test_a_flip_in_a_history_is_told_and_fitted_at_the_next_look(begun):
    home, log = begun("home")
    fit = worked_off(home, log, batch=500)
    first, *_ = early(log)
    alarm = next(
        one
        for record in log.read("alerts", 0, 0)
        if (one := msgspec.json.decode(record.value, type=Alert)).kind == "drift"
    )
    assert FLIP_US < alarm.time < FLIP_US + 3 * HOUR_US
    assert alarm.time < first <= alarm.time + HOUR_US
    change = dict(fit.tasks)[first]
    assert abs(change - FLIP_US) < HOUR_US
    assert change in {cut.change for cut in cuts_of(log, 0)}
    assert {of for at, of in fit.tasks if at < first} == {0}


def test_batches_and_stops_change_nothing(begun):
    home, log = begun("whole")
    worked_off(home, log, batch=1_000)
    other_home, other = begun("pieces")
    for messages in (3, 40, 90, 131, 157, 163, 170):
        worked_off(other_home, other, batch=7, messages=messages)
    worked_off(other_home, other, batch=100)
    assert early(log)
    assert written(other) == written(log)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"rest": "1h"}),
        ({"rest": "1d"}, {}),
        ({"min_rows": 10_000}, {}),
        ({}, {"min_rows": 10_000}),
    ],
    ids=["more looks", "fewer looks", "too few rows before", "too few rows after"],
)
def test_other_settings_change_nothing_that_is_read_again(begun, before, after):
    home, log = begun("home")
    worked_off(home, log, batch=100, answers=FLIP + 240, **before)
    shutil.rmtree(home.root / "checkpoints")
    was = early(log)
    worked_off(home, log, batch=100, **after)  # output that differs would end it
    entries = Journal(log, 0).entries
    assert [type(one) for one in entries].count(Configured) == 2
    changed_at = next(one.offset for one in reversed(entries) if isinstance(one, Configured))
    crossed = [one for one in entries if isinstance(one, Crossed) and one.offset < changed_at]
    assert [one.boundary for one in crossed] == was
