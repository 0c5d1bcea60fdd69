"""The training step: one fit for each boundary that every partition's snapshot has passed."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Literal, Protocol

import msgspec

from models.refit.fit_record import FitRecord
from operators.training.model_registry import ModelRegistry
from operators.training.training_cuts import Committed, TrainingCuts
from state.in_thread import in_thread
from state.log import Entry, Log
from state.outputs.records import Alert
from state.topics import ALERTS, MODELS

_WATCH_S = 0.1


class Fit(Protocol):
    """What makes decisions."""

    def __call__(self, boundary: int, cuts: list[Committed], earlier: list[FitRecord]) -> FitRecord:
        """This boundary's decision, failure included."""

    def abandon(self) -> None:
        """Make the fit that another thread runs end at once, whatever comes of it."""

    def close(self) -> None:
        """Let go of what is kept between fits."""


Begin = Callable[[Fit, int, list[Committed], list[FitRecord]], Future[FitRecord]]


def begun_in_thread(
    fit: Fit, boundary: int, cuts: list[Committed], earlier: list[FitRecord]
) -> Future[FitRecord]:
    """A fit beside its caller."""
    return in_thread(lambda: fit(boundary, cuts, earlier), "fit")


class Trainer:
    """Decides boundary after boundary; the only writer of `models`.

    A fit runs beside it, so that scoring goes on. What is decided is read from the
    log, so a trainer that was killed goes on where it was.

    Args:
        log: Holds `snapshots`, `models` and `alerts`; the last partition of `alerts` is training's.
        published: The decisions.
        fit: Makes one.
        stop: Set, it makes `finish` abandon the fit that runs; a later trainer makes it again.
        begin: Runs a fit beside the caller.
    """

    def __init__(
        self,
        log: Log,
        published: ModelRegistry,
        fit: Fit,
        stop: threading.Event,
        begin: Begin = begun_in_thread,
    ) -> None:
        self._log, self._published, self._fit, self._stop = log, published, fit, stop
        self._begin = begin
        # Ends the trainer before: what it has under way must not come after what is read now.
        log.append_all(0, {MODELS: (None, ())})
        self._snapshots = TrainingCuts(log)
        self._running: Future[FitRecord] | None = None
        self._tell()

    def poll(self) -> bool:
        """Publish a fit that has ended, start one that is due; whether one is running.

        Raises:
            Exception: Whatever a fit raised that is not a failed fit.
        """
        if self._running is not None:
            if not self._running.done():
                return True
            self._published.publish(self._running.result(), unless_decided=True)
            self._tell()
            self._running = None
        self._snapshots.refresh()
        boundary = self._snapshots.due(self._published.decided())
        if boundary:
            cuts = self._snapshots.of(boundary)
            earlier = self._published.history()
            self._running = self._begin(self._fit, boundary, cuts, earlier)
        return self._running is not None

    def finish(self) -> None:
        """Wait until nothing is due any more, or a stop is asked for."""
        while not self._stop.is_set() and self.poll():
            assert self._running is not None
            wait([self._running], _WATCH_S)
        if self._running is not None:
            self._fit.abandon()
            wait([self._running])
        self._fit.close()

    def _tell(self) -> None:
        """Write the alerts that are missing: they follow from the decisions, one by one."""
        partition = self._log.partitions(ALERTS) - 1
        told = self._log.end(ALERTS, partition)
        bad = [r for r in self._published.records() if r.status in {"failed", "rejected"}]
        entries = [Entry(r.boundary, b"", msgspec.json.encode(_alert(r))) for r in bad[told:]]
        if entries:
            self._log.append(ALERTS, partition, entries, sequence=told)


def _alert(decision: FitRecord) -> Alert:
    kind: Literal["fit_failed", "fit_rejected"] = (
        "fit_failed" if decision.status == "failed" else "fit_rejected"
    )
    return Alert(kind, decision.boundary, f"the champion stays: {decision.reason}")
