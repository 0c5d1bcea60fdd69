"""The training step: one fit for each boundary that every partition's snapshot has passed."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import msgspec

from models.registry import Published
from operators.decisions import PublishedModels
from operators.snapshots import Committed, Snapshots
from state.log import Entry, Log
from state.outputs import Alert

Fit = Callable[[int, list[Committed], list[Published]], Published]
"""From boundary, cuts and earlier decisions to this boundary's decision, failure included."""


class Trainer:
    """Decides boundary after boundary; the only writer of `models`.

    A fit runs in a thread of its own, so that scoring goes on. What is decided is read from the
    log, so a trainer that was killed goes on where it was.

    Args:
        log: Holds `snapshots`, `models` and `alerts`; the last partition of `alerts` is training's.
        published: The decisions.
        fit: Makes one.
    """

    def __init__(self, log: Log, published: PublishedModels, fit: Fit) -> None:
        self._log, self._published, self._fit = log, published, fit
        self._snapshots = Snapshots(log)
        self._thread = ThreadPoolExecutor(1, "fit")
        self._running: Future[Published] | None = None
        self._tell()

    def poll(self) -> bool:
        """Publish a fit that has ended, start one that is due; whether one is running.

        Raises:
            Exception: Whatever a fit raised that is not a failed fit.
        """
        if self._running is not None:
            if not self._running.done():
                return True
            self._published.publish(self._running.result())
            self._tell()
            self._running = None
        self._snapshots.refresh()
        boundary = self._snapshots.due(self._published.decided())
        if boundary:
            cuts = self._snapshots.of(boundary)
            earlier = self._published.records()
            self._running = self._thread.submit(self._fit, boundary, cuts, earlier)
        return self._running is not None

    def finish(self) -> None:
        """Wait until nothing is due any more."""
        while self.poll():
            assert self._running is not None
            self._running.exception()
        self._thread.shutdown()

    def _tell(self) -> None:
        """Write the alerts that are missing: they follow from the decisions, one by one."""
        partition = self._log.partitions("alerts") - 1
        told = self._log.end("alerts", partition)
        bad = [r for r in self._published.records() if r.status in {"failed", "rejected"}]
        entries = [Entry(r.boundary, b"", msgspec.json.encode(_alert(r))) for r in bad[told:]]
        if entries:
            self._log.append("alerts", partition, entries, sequence=told)


def _alert(decision: Published) -> Alert:
    kind: Literal["fit_failed", "fit_rejected"] = (
        "fit_failed" if decision.status == "failed" else "fit_rejected"
    )
    return Alert(kind, decision.boundary, f"the champion stays: {decision.reason}")
