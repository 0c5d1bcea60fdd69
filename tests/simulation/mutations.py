"""Deliberate faults of the product or of what it stands on: the simulator must find each."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from flows.runtime.partitions import Partitions
from operators.partition import recovery
from operators.partition.decider import Decider
from operators.partition.journal import Crossed
from operators.partition.partition_runner import PartitionRunner, Processed
from operators.replica.follower import Follower
from state.admission.early_labels import EarlyLabels
from state.ingest import positions as ingested
from state.settings import deciding
from tests.simulation.simulated_log import SimulatedLog, Store

Patch = Callable[[pytest.MonkeyPatch], None]


def sequences_are_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SimulatedLog, "left", lambda _self, _topic, _at, _sequence, entries: entries)


def nobody_is_fenced_off(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Store, "is_current", lambda *_: True)


def a_new_run_does_not_fence_off_the_one_before(patch: pytest.MonkeyPatch) -> None:
    append_all = SimulatedLog.append_all

    def lazily(self: SimulatedLog, partition: int, parts: Any) -> dict[str, int]:
        if not any(entries for _, entries in parts.values()):
            return {topic: self.end(topic, partition) for topic in parts}
        return append_all(self, partition, parts)

    patch.setattr(SimulatedLog, "append_all", lazily)


def the_journal_is_not_synced(patch: pytest.MonkeyPatch) -> None:
    sync = SimulatedLog.sync

    def partly(self: SimulatedLog, topic: str, partition: int) -> None:
        if topic != "activations":
            sync(self, topic, partition)

    patch.setattr(SimulatedLog, "sync", partly)


def the_own_end_is_not_looked_at_again(patch: pytest.MonkeyPatch) -> None:
    """Undo commit 3f68c1a."""

    def decide_at_end(self: Decider) -> bool:
        source, newest = self._source, self._newest
        due = max(source.newest_boundary(newest.append_time()), newest.cut())
        if due <= source.boundary or source.holding:
            return False
        self._write(Crossed(source.offset, due), due)
        return True

    patch.setattr(Decider, "decide_at_end", decide_at_end)


def decisions_are_taken_where_an_earlier_run_has_passed(patch: pytest.MonkeyPatch) -> None:
    make = Decider.__init__

    def anywhere(self: Decider, *given: Any, **named: Any) -> None:
        make(self, *given, **named)
        self._free_from = 0

    patch.setattr(Decider, "__init__", anywhere)


def settings_change_before_what_was_written_is_made_up(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Partitions, "_wanted", lambda self, _: lambda: deciding(self._settings))


def checkpoints_are_saved_before_the_output_and_trusted(patch: pytest.MonkeyPatch) -> None:
    commit = PartitionRunner.commit

    def hastily(self: PartitionRunner, processed: Processed) -> None:
        if processed.checkpoint is not None:
            self._checkpoints.save(processed.checkpoint)
        commit(self, processed)

    patch.setattr(PartitionRunner, "commit", hastily)
    patch.setattr(recovery, "reached", lambda *_: True)


def scorers_look_at_the_journal_before_the_flow(patch: pytest.MonkeyPatch) -> None:
    look = Follower._look

    def hastily(self: Follower) -> None:
        self._journal.refresh()
        refresh, self._journal.refresh = self._journal.refresh, lambda: None
        try:
            look(self)
        finally:
            self._journal.refresh = refresh

    patch.setattr(Follower, "_look", hastily)


def scorers_follow_the_log_and_not_the_flow(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Follower, "_predicted", lambda self: self.end)


def ingest_trusts_what_it_announced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ingested, "_counts", lambda *_: True)


def early_labels_are_not_in_checkpoints(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(EarlyLabels, "snapshot", lambda _: msgspec.msgpack.encode([]))


FOUND_BY: dict[Patch, int] = {
    sequences_are_ignored: 1,
    nobody_is_fenced_off: 4,
    a_new_run_does_not_fence_off_the_one_before: 28,
    the_journal_is_not_synced: 2,
    the_own_end_is_not_looked_at_again: 50,
    decisions_are_taken_where_an_earlier_run_has_passed: 15,
    settings_change_before_what_was_written_is_made_up: 5,
    checkpoints_are_saved_before_the_output_and_trusted: 29,
    scorers_look_at_the_journal_before_the_flow: 354,
    scorers_follow_the_log_and_not_the_flow: 1,
    ingest_trusts_what_it_announced: 2,
    early_labels_are_not_in_checkpoints: 1,
}
"""Each fault, and a seed that finds it."""
