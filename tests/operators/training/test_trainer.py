"""Boundary after boundary is decided once, whatever became of the trainer before."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import msgspec
import pytest

from models.refit.fit_record import FitRecord
from operators.training.model_registry import ModelRegistry
from operators.training.trainer import Trainer
from operators.training.training_cuts import TrainingCut
from state.log import Entry
from state.log.sqlite import SqliteLog
from state.outputs.records import Alert
from tests.simulation.simulated_log import FencedError, SimulatedLog, Store


@pytest.fixture
def log(tmp_path):
    log = SqliteLog(tmp_path / "log")
    for topic, partitions in (("snapshots", 2), ("models", 1), ("alerts", 3)):
        log.create(topic, partitions)
    yield log
    log.close()


def commit(log, *boundaries):
    for partition in range(2):
        cuts = [TrainingCut(b, f"{partition}/{b}.parquet", "", 1, 0, b) for b in boundaries]
        log.append("snapshots", partition, [Entry(0, b"", msgspec.json.encode(c)) for c in cuts])


class Fits:
    """Fits that end as they are told to, and what they were given."""

    def __init__(self, *ends):
        self.ends = list(ends)
        self.given = []

    def __call__(self, boundary, cuts, earlier):
        self.given.append((boundary, [c.path for c in cuts], [p.boundary for p in earlier]))
        end = self.ends[len(self.given) - 1]
        if isinstance(end, Exception):
            raise end
        return published(boundary, end)

    def abandon(self):
        pytest.fail("there is nothing to abandon")

    def close(self):
        self.closed = True


class Slow(Fits):
    """A fit that ends when it is told to, or fails when it is abandoned."""

    def __init__(self):
        super().__init__()
        self.go, self.started = Event(), Event()
        self.abandoned = False

    def __call__(self, boundary, *_):
        self.started.set()
        assert self.go.wait(30)
        return published(boundary, "failed" if self.abandoned else "promoted")

    def abandon(self):
        self.abandoned = True
        self.go.set()


def published(boundary, status):
    model = f"gbm-{boundary}" if status in {"promoted", "rejected"} else ""
    return FitRecord(
        boundary=boundary, status=status, reason=f"{status} it was", algorithm="gbm", model=model
    )


def alerts(log):
    return [msgspec.json.decode(r.value, type=Alert) for r in log.read("alerts", 2, 0)]


def test_each_boundary_is_fitted_with_its_cuts_and_all_earlier_decisions(log):
    commit(log, 10, 20)
    fits = Fits("skipped", "promoted")
    Trainer(log, ModelRegistry(log), fits, Event()).finish()
    assert fits.given == [
        (10, ["0/10.parquet", "1/10.parquet"], []),
        (20, ["0/10.parquet", "1/10.parquet", "0/20.parquet", "1/20.parquet"], [10]),
    ]
    assert ModelRegistry(log).records() == [published(10, "skipped"), published(20, "promoted")]
    assert alerts(log) == []


def test_nothing_due_is_nothing_done(log):
    fits = Fits()
    trainer = Trainer(log, ModelRegistry(log), fits, Event())
    assert not trainer.poll()
    trainer.finish()
    assert fits.given == []
    assert fits.closed


@pytest.mark.parametrize("status", ["failed", "rejected"])
def test_the_champion_stays_and_an_alert_says_so(log, status):
    commit(log, 10, 20)
    decisions = ModelRegistry(log)
    Trainer(log, decisions, Fits("promoted", status), Event()).finish()
    assert decisions.model_at(20) == (True, "gbm-10")
    assert alerts(log) == [Alert(f"fit_{status}", 20, f"the champion stays: {status} it was")]


def test_a_fit_goes_on_beside_the_flow(log):
    commit(log, 10)
    slow = Slow()
    decisions = ModelRegistry(log)
    trainer = Trainer(log, decisions, slow, Event())
    assert trainer.poll()
    assert trainer.poll()
    assert decisions.newest_model() is None
    slow.go.set()
    trainer.finish()
    assert decisions.newest_model() == "gbm-10"


def test_a_stop_abandons_the_fit_and_nothing_is_decided_before_it_is_made_again(log):
    commit(log, 10, 20)
    slow, stop = Slow(), Event()
    trainer = Trainer(log, ModelRegistry(log), slow, stop)
    with ThreadPoolExecutor(1) as thread:
        ending = thread.submit(trainer.finish)
        assert slow.started.wait(30)
        stop.set()
        ending.result(30)
    assert (slow.abandoned, slow.closed) == (True, True)
    assert ModelRegistry(log).records() == []
    assert alerts(log) == []
    Trainer(log, ModelRegistry(log), Fits("promoted", "promoted"), Event()).finish()
    assert [record.model for record in ModelRegistry(log).records()] == ["gbm-10", "gbm-20"]


def test_a_trainer_that_was_stopped_goes_on_where_it_was(log):
    commit(log, 10, 20)
    broken = Trainer(log, ModelRegistry(log), Fits("promoted", ZeroDivisionError()), Event())
    with pytest.raises(ZeroDivisionError):
        broken.finish()
    fits = Fits("promoted")
    Trainer(log, ModelRegistry(log), fits, Event()).finish()
    assert fits.given[0][::2] == (20, [10])
    assert [record.boundary for record in ModelRegistry(log).records()] == [10, 20]


def test_a_trainer_killed_between_decision_and_alert_alerts_at_its_next_start(log):
    decisions = ModelRegistry(log)
    for boundary, status in ((10, "failed"), (20, "promoted"), (30, "rejected")):
        decisions.publish(published(boundary, status))
    Trainer(log, decisions, Fits(), Event()).finish()
    Trainer(log, ModelRegistry(log), Fits(), Event()).finish()
    assert [alert.time for alert in alerts(log)] == [10, 30]


def test_a_fit_repeated_after_a_crash_alerts_once(log):
    commit(log, 10)
    log.append("alerts", 0, [Entry(0, b"", b"{}")])  # a shard's own
    for _ in range(2):
        Trainer(log, ModelRegistry(log), Fits("failed"), Event()).finish()
    assert len(alerts(log)) == 1


def test_a_boundary_that_another_trainer_decided_meanwhile_is_not_decided_twice(log):
    commit(log, 10, 20)
    slow = Slow()
    trainer = Trainer(log, ModelRegistry(log), slow, Event())
    assert trainer.poll()
    Trainer(log, ModelRegistry(log), Fits("failed", "promoted"), Event()).finish()
    slow.go.set()
    trainer.finish()
    assert ModelRegistry(log).records() == [published(10, "failed"), published(20, "promoted")]
    assert [alert.time for alert in alerts(log)] == [10]


def test_a_trainer_fences_off_the_one_before_when_it_starts():
    store = Store(remote=True, role_of=lambda *_: "trainer")
    one, other = SimulatedLog(store), SimulatedLog(store)
    for topic, partitions in (("snapshots", 2), ("models", 1), ("alerts", 3)):
        one.create(topic, partitions)
    commit(one, 10)
    trainer = Trainer(one, ModelRegistry(one), Fits("promoted"), Event())
    Trainer(other, ModelRegistry(other), Fits(), Event())
    with pytest.raises(FencedError):
        trainer.finish()
    assert ModelRegistry(other).records() == []
