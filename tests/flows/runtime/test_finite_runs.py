"""A finite run comes to its end: no partition leaves another one at a boundary for good."""

import shutil
import threading
from concurrent.futures import Future
from itertools import count

import msgspec
import pytest

from flows.home.home import Home, create_topics
from flows.runtime.partitions import Partitions
from models.refit.fit_record import FitRecord
from operators.partition.dataflow import EventsSource
from operators.partition.journal import Activated, Crossed, Journal
from operators.training.model_registry import ModelRegistry
from operators.training.trainer import Trainer
from state.events import HOUR_US, MINUTE_US
from state.log import Entry
from state.settings import settings_from
from tests.golden.trips import Asked, stream

START_US = 1_704_067_200_000_000
TOPICS = ("activations", "predictions", "outcomes", "metrics", "snapshots")


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def log(home):
    log = home.log()
    create_topics(log, stream.partitions)
    yield log
    log.close()


def ask(log, partition, *minutes):
    """Requests at so many minutes after the start."""
    zone = "ab"[partition]
    for minute in minutes:
        time = START_US + minute * MINUTE_US
        asked = Asked(id=f"{zone}{minute}", time=time, zone=zone, distance=3.0)
        log.append("events", partition, [Entry(time, b"", msgspec.json.encode(asked))])


def settings(every):
    return settings_from(
        {
            "stream": "tests.golden.trips:stream",
            "training": {"every": every},
            "reading": {"batch": 1},
        }
    )


class Skipping:
    """Fits that decide to have no model; `boundaries` are those that were decided."""

    def __init__(self):
        self.boundaries = []

    def __call__(self, boundary, cuts, earlier):
        del cuts, earlier
        self.boundaries.append((boundary - START_US) // MINUTE_US)
        return FitRecord(boundary=boundary, status="skipped", reason="", algorithm="gbm")

    def abandon(self):
        pytest.fail("there is nothing to abandon")


def at_once(fit, *given):
    done = Future()
    done.set_result(fit(*given))
    return done


class FiniteRun:
    """The parts of a run, driven by hand in rounds of one message of each partition."""

    def __init__(self, home, log, every, *, decides=True):
        clock = count(0.0, 0.3).__next__
        opened = Partitions(settings(every), stream, log, home, decides=decides, clock=clock)
        self.source = EventsSource([0, 1], opened.open, threading.Event(), follow=False)
        self._going = {p: self.source.build_part("events", f"{p:04d}", None) for p in (0, 1)}
        assert [part.next_batch() for part in self._going.values()] == [[], []]  # opens them
        self.fit = Skipping()
        self._trainer = Trainer(log, ModelRegistry(log), self.fit, threading.Event(), at_once)

    def round(self, *partitions):
        for partition in self._going.keys() & set(partitions):
            live = self.source.runners[partition]
            try:
                batch = self._going[partition].next_batch()
            except StopIteration:
                del self._going[partition]
                continue
            for _, message in batch:
                live.commit(live.process(message))
        self._trainer.poll()

    def end(self):
        for _ in range(100):
            self.round(*self._going)
            if not self._going:
                return
        holding = {p: self.source.runners[p].holding for p in self._going}
        pytest.fail(f"the run must end; it holds at {holding}")


def journal(log, partition):
    return [one for one in Journal(log, partition).entries if isinstance(one, Activated | Crossed)]


def stored(log):
    return {
        (topic, p): log.read(topic, p, 0, max_records=10**6) for topic in TOPICS for p in (0, 1)
    }


def test_a_boundary_of_before_the_interval_changed_is_crossed_by_all(home, log, tmp_path):
    ask(log, 0, 0, 5, 25, 26)
    ask(log, 1, 0, 5, 6)
    stopped = FiniteRun(home, log, "20m")
    while not stopped.fit.boundaries:
        stopped.round(0, 1)
    at = START_US + 20 * MINUTE_US
    while stopped.source.runners[0].holding != at:
        stopped.round(0)
    assert stopped.fit.boundaries == [5]

    again = FiniteRun(home, log, "80m")
    again.end()
    assert again.fit.boundaries == [20]
    assert journal(log, 0)[1:] == [Activated(2, None, at)]
    assert journal(log, 1)[1:] == [Crossed(3, at), Activated(3, None, at)]

    other = Home(tmp_path / "other").log()
    create_topics(other, stream.partitions)
    for topic in ("events", "activations"):
        for partition in (0, 1):
            records = log.read(topic, partition, 0)
            other.append(topic, partition, [Entry(*record[1:]) for record in records])
    repeated = FiniteRun(Home(tmp_path / "other"), other, "80m", decides=False)
    repeated.end()
    assert repeated.fit.boundaries == [5, 20]
    assert stored(other) == stored(log)
    other.close()


def test_other_settings_wait_until_the_cut_of_a_run_before_is_made_up(home, log):
    ask(log, 0, 0, 5, 25, 65)
    ask(log, 1, 0)
    stopped = FiniteRun(home, log, "20m")
    while stopped.source.runners[0].holding != START_US + 20 * MINUTE_US:
        stopped.round(0, 1)
    shutil.rmtree(home.root / "checkpoints")
    again = FiniteRun(home, log, "80m")
    again.end()
    assert again.fit.boundaries == [20, 60]


def test_a_partition_at_its_end_stays_until_the_others_have_been_at_theirs(home, log):
    ask(log, 0, *range(20))
    ask(log, 1, 0)
    run = FiniteRun(home, log, "1h")
    for _ in range(12):
        run.round(0, 1)
    ask(log, 0, 65)
    run.end()
    assert run.fit.boundaries == [7, 15, 60]
    assert journal(log, 1)[-2:] == [
        Crossed(1, START_US + HOUR_US), Activated(1, None, START_US + HOUR_US)
    ]  # fmt: skip


def test_a_run_ends_though_one_partition_is_fed_again_and_again(home, log):
    ask(log, 0, 0)
    ask(log, 1, 0)
    run = FiniteRun(home, log, "1h")
    for minute in range(1, 30):
        run.round(0, 1)
        ask(log, 0, minute)
    run.round(1)
    run.end()
