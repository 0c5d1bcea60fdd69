"""The training step: one fit for each boundary that every partition has passed."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Literal, Protocol

import msgspec

from models.refit.fit_record import ALERTED, FitRecord
from operators.training.model_registry import ModelRegistry
from operators.training.titles import Titles
from operators.training.training_cuts import TrainingCut, TrainingCuts
from state.in_thread import in_thread
from state.log import Entry, Log
from state.outputs.records import Alert
from state.topics import ALERTS, MODELS

_WATCH_S = 0.1
_LOOK_EVERY_S = 1.0


class Fit(Protocol):
    """Makes a decision at a boundary."""

    def __call__(
        self, boundary: int, cuts: list[TrainingCut], earlier: list[FitRecord]
    ) -> FitRecord:
        """Decide a boundary; a failed fit is a decision too."""

    def abandon(self) -> None:
        """End the fit that another thread runs at once."""

    def close(self) -> None:
        """Release what is kept between fits."""


Begin = Callable[[Fit, int, list[TrainingCut], list[FitRecord]], Future[FitRecord]]


def begun_in_thread(
    fit: Fit, boundary: int, cuts: list[TrainingCut], earlier: list[FitRecord]
) -> Future[FitRecord]:
    """A fit beside its caller."""
    return in_thread(lambda: fit(boundary, cuts, earlier), "fit")


class Trainer:
    """Decides boundary after boundary; the only writer of `models`.

    A fit runs in another thread, so that scoring continues. Decisions are read from the log, so a
    trainer that was killed resumes.

    Args:
        log: Log with `snapshots`, `models` and `alerts`; the trainer owns the last partition of
            `alerts`.
        published: The model registry.
        fit: Makes a decision.
        stop: If set, `finish` abandons the running fit; a later trainer repeats it.
        begin: Runs a fit in another thread.
        titles: Decides on the title; None: it is not decided on.
        clock: Seconds, by which evidence is looked at; no decision depends on it.
    """

    def __init__(
        self,
        log: Log,
        published: ModelRegistry,
        fit: Fit,
        stop: threading.Event,
        begin: Begin = begun_in_thread,
        titles: Titles | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._published, self._fit, self._stop = log, published, fit, stop
        self._begin, self._titles = begin, titles
        self._clock, self._look_at = clock, 0.0
        # Fences off an earlier trainer first: its records must not come after what is read now.
        log.append_all(0, {MODELS: (None, ())})
        self._snapshots = TrainingCuts(log)
        self._running: Future[FitRecord] | None = None
        self._tell()

    def poll(self) -> bool:
        """Publish a finished fit and start one that is due; return whether one is running.

        Raises:
            Exception: An error of a fit that is not a failed fit.
        """
        if self._running is not None:
            if not self._running.done():
                return True
            record = self._running.result()
            if self._titles is not None:
                record = self._titles.with_title(record)
            self._published.publish(record, unless_decided=True)
            self._tell()
            self._running = None
        self._snapshots.refresh()
        boundary = self._snapshots.due(self._published.decided())
        self._decide_title(at_boundary=boundary > 0)
        if boundary:
            cuts = self._snapshots.of(boundary)
            earlier = self._published.history()
            self._running = self._begin(self._fit, boundary, cuts, earlier)
        return self._running is not None

    @property
    def is_live(self) -> bool:
        """Whether `poll` has to be called every second or so, though no boundary is due."""
        return self._titles is not None and self._titles.live

    def _decide_title(self, *, at_boundary: bool) -> None:
        """Publish a decision on the title that is due."""
        now = self._clock()
        if self._titles is None or not (at_boundary or (self.is_live and now >= self._look_at)):
            return
        self._look_at = now + _LOOK_EVERY_S
        decision = self._titles.decide()
        if decision is not None:
            self._published.publish(decision)
            self._tell()

    def finish(self) -> None:
        """Wait until no boundary is due, or until a stop is requested."""
        while not self._stop.is_set() and self.poll():
            assert self._running is not None
            wait([self._running], _WATCH_S)
        if self._running is not None:
            self._fit.abandon()
            wait([self._running])
        self._fit.close()

    def _tell(self) -> None:
        """Write the missing alerts, which follow from the decisions one by one."""
        partition = self._log.partitions(ALERTS) - 1
        told = self._log.end(ALERTS, partition)
        bad = [r for r in self._published.records() if r.status in ALERTED]
        entries = [Entry(r.boundary, b"", msgspec.json.encode(_alert(r))) for r in bad[told:]]
        if entries:
            self._log.append(ALERTS, partition, entries, sequence=told)


_Kind = Literal["fit_failed", "fit_rejected", "model_dismissed", "title_returned"]
_KINDS: dict[str, tuple[_Kind, str]] = {
    "failed": ("fit_failed", "the champion stays"),
    "rejected": ("fit_rejected", "the champion stays"),
    "dismissed": ("model_dismissed", "stays champion"),
    "returned": ("title_returned", "is champion again"),
}
"""Kind and consequence of each decision that makes an alert."""


def _alert(decision: FitRecord) -> Alert:
    kind, consequence = _KINDS[decision.status]
    who = f"{decision.model} " if decision.evidence is not None else ""
    return Alert(kind, decision.time, f"{who}{consequence}: {decision.reason}")
