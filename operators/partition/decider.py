"""Make the decisions of one partition; this is the only writer of its journal.

A decision is made only where no earlier run can have passed: at a boundary without a journal entry,
or at or after the log's end at the start. It is journaled before it takes effect.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import msgspec

from models.judging.trust_counts import Thresholds
from operators.partition.journal import (
    Activated,
    Configured,
    Crossed,
    Decision,
    JournalWriter,
    Quieted,
    champion_after,
)
from operators.partition.ordered_input import OrderedInput
from operators.training.model_loader import ModelError, UnavailableModelError
from state.log import EVENTS, ReadableLog


class Decisions(Protocol):
    """The trainer's decisions so far, from the topic `models`."""

    def model_at(self, boundary: int) -> tuple[bool, str | None]:
        """Whether the boundary is decided, and the newest promoted model (None: none yet)."""

    def newest_model(self) -> str | None:
        """The newest promoted model; None: there is none."""

    def title(self, boundary: int | None = None) -> str | None:
        """The model that has the title of champion: the newest promoted one, or the one before.

        Args:
            boundary: As of the decision on this boundary; None: as of the newest one.
        """

    def rollbacks(self) -> int:
        """Number of rollbacks; each is obeyed at once, however far the next boundary is."""


class NewestTimes(NamedTuple):
    """The newest times of all partitions.

    Attributes:
        append_time: The newest append time in `events` (µs).
        cut: The newest boundary at which a partition has committed its cut (µs). That partition may
            hold there until the others have crossed it, even if their settings lack that boundary.
        settled: An `append_time` of some time ago: records appended to several partitions together
            have reached all of them since. None: no partition is declared quiet.
    """

    append_time: Callable[[], int]
    cut: Callable[[], int]
    settled: Callable[[], int] | None = None
    begun: Callable[[], int | None] | None = None


class EarlyBoundaries(NamedTuple):
    """The conditions of a boundary before its time.

    Attributes:
        wanted: Whether the shard wants a fit, as its answers have become wrong, at an offset of the
            input; None: it has not got there yet.
        rest: Least time between two of them by the shard's settings, µs.
    """

    wanted: Callable[[int], bool | None]
    rest: Callable[[], int]


class TrustedAnswers(NamedTuple):
    """The thresholds from which a shard's answers can be trusted, journaled with each activation.

    Attributes:
        offset: Offset of the next record that the shard takes; the thresholds are read once it has
            come as far as the input.
        thresholds: The thresholds by the labels so far.
    """

    offset: Callable[[], int]
    thresholds: Callable[[], Thresholds]


class Decider:
    """Decides what a partition's events leave open: hold, cross, activate, configure.

    A model that is not as certified is not used: the previous one stays, and `tell` gets a line.
    Any other decision that cannot be obeyed is not written.

    Args:
        log: Log with `events`.
        journal: Journal of the partition, which the input reads too.
        source: Input of the partition; decisions are made at its position.
        decisions: The trainer's decisions.
        load: Loads the offline model of an id; raises `ModelError` if it is not as certified, and
            `UnavailableModelError` if it cannot be loaded now.
        wanted: Returns the settings to apply from here on, in a journal entry's form; None until
            the earlier run's output has been re-emitted.
        newest: Returns the newest times of all partitions.
        wait: Hold at a boundary until training has decided it; False: continue with the current
            model, and activate a later one when it comes.
        tell: Called with a line if a model is not used.
        early: Conditions of early boundaries; None: there are none.
        trust: Thresholds to mark the answers by; None: they are not marked.
    """

    def __init__(  # noqa: PLR0913 - a name for each part that it asks
        self,
        log: ReadableLog,
        journal: JournalWriter,
        source: OrderedInput,
        *,
        decisions: Decisions,
        load: Callable[[str], object],
        wanted: Callable[[], dict[str, Any] | None],
        newest: NewestTimes,
        wait: bool,
        tell: Callable[[str], object],
        early: EarlyBoundaries | None = None,
        trust: TrustedAnswers | None = None,
    ) -> None:
        self._journal, self._source, self._decisions = journal, source, decisions
        self._load, self._wanted, self._newest, self._wait = load, wanted, newest, wait
        self._tell, self._trust = tell, trust
        self._refused: str | None = None
        self._free_from = log.end(EVENTS, journal.partition)
        self._is_configured = False
        self._early, self._is_alone = early, log.partitions(EVENTS) == 1
        if early is not None:
            source.look(early.rest())

    def decide(self) -> bool:
        """Write what is to be decided where the input stands, if anything is.

        Returns:
            Whether the input may go on: not before the log's first event has been seen.
        """
        source = self._source
        if not source.is_open:
            return True
        if source.holding:
            self._activate_at_boundary(source.holding)
            return True
        if source.looking:
            return self._decide_early(source.looking)
        begun = self._begun()
        if begun is None:
            return False
        if not self._configure(begun) and source.offset >= self._free_from:
            return self._activate()
        return True

    def decide_at_end(self) -> bool:
        """Write a decision that depends on other partitions: a crossing, or a quiet partition.

        Call it when the input has no more records; before that, its own events decide.

        Returns:
            Whether an entry was written.
        """
        source, newest = self._source, self._newest
        if not source.is_open or source.holding:
            return False
        due = max(source.newest_boundary(newest.append_time()), newest.cut())
        quiet = self._quiet_at()
        is_settled = quiet and newest.settled is not None and newest.settled() >= quiet
        # Read after the others' times: records that this partition got meanwhile come first.
        if not source.at_end():
            return False
        if due > source.boundary:
            self._write(Crossed(source.offset, due), due)
            return True
        if is_settled:
            self._write(Quieted(source.offset, quiet, version=3), quiet)
            return True
        return False

    def awaits_quiet(self) -> bool:
        """Whether a partition without new events will soon be declared quiet."""
        quiet = self._quiet_at()
        return bool(quiet) and self._newest.append_time() >= quiet

    def _quiet_at(self) -> int:
        """The boundary since which no record has come, if that is not journaled yet; else 0."""
        says = self._newest.settled is not None
        return self._journal.quiet_at(self._source.offset) if says else 0

    def _activate_at_boundary(self, boundary: int) -> None:
        decided, model = self._decisions.model_at(boundary)
        if (not decided and self._wait) or self._is_shard_behind():
            return
        if not decided:
            model = self._decisions.newest_model()
        title = self._decisions.title(boundary if decided else None)
        self._activated(model, title, boundary)

    def _decide_early(self, time: int) -> bool:
        """Cross a boundary before its time, if the shard wants a fit; whether the input may go on.

        All partitions of a log must cross it, which they do at their ends: so where there are
        several, none is crossed in a part of the log that an earlier run may have passed.
        """
        early, source = self._early, self._source
        wanted = early is not None and early.wanted(source.offset)
        if wanted is None:
            return False
        is_free = self._is_alone or source.offset >= self._free_from
        if early is not None and wanted and is_free and self._has_rested(time, early.rest()):
            self._write(Crossed(source.offset, time, early=True, version=5), time)
        else:
            source.look_on()
        return True

    def _has_rested(self, time: int, rest: int) -> bool:
        source = self._source
        crossed = (e.boundary for e in self._journal.entries if isinstance(e, Crossed))
        # Also those that another partition has asked for.
        early = (at for at in crossed if source.newest_boundary(at) < at)
        return time > source.boundary and time - max(early, default=-rest) >= rest

    def _begun(self) -> int | None:
        """Append time of the log's first event, for the first entry; None: no event yet."""
        asked = self._newest.begun
        if asked is None or self._journal.entries:
            return 0
        return asked()

    def _configure(self, begun: int) -> bool:
        """Write the settings that are wanted, if they are others; whether they are."""
        settings = None if self._is_configured else self._wanted()
        if settings is None:
            return False
        self._is_configured = True
        if settings == self._journal.settings(self._source.next_entry):
            return False
        version = 4 if begun else 2
        entry = Configured(self._source.offset, settings, begun, version=version)
        self._write(entry, self._source.boundary)
        return True

    def _is_shard_behind(self) -> bool:
        """Whether thresholds cannot be read yet."""
        return self._trust is not None and self._trust.offset() != self._source.offset

    def _activate(self) -> bool:
        """Write an activation between boundaries: of a model that came late, or by a rollback.

        Returns:
            Whether the input may go on.
        """
        decisions, boundary = self._decisions, self._source.boundary
        rollbacks = decisions.rollbacks()
        if self._wait:
            if rollbacks <= self._journal.rollbacks:
                return True
            _, model = decisions.model_at(boundary)
            title = decisions.title(boundary)
        else:
            model, title = decisions.newest_model(), decisions.title()
            untold = title not in {None, self._journal.champion()}
            if (model == self._active() and not untold) or (model and model == self._refused):
                return True
        if self._is_shard_behind():
            return False
        usable = self._usable(model)
        if usable == model or rollbacks > self._journal.rollbacks:
            self._activated(model, title, None, rollbacks)
        return True

    def _activated(
        self, model: str | None, title: str | None, boundary: int | None, rollbacks: int = 0
    ) -> None:
        """Write an activation; it names the model with the title only if it would be another."""
        journal = self._journal
        usable = self._usable(model)
        entry = Activated(self._source.offset, usable, boundary, rollbacks)
        alone = rollbacks > journal.rollbacks
        untold = champion_after(entry, self._active(), journal.champion(), alone=alone)
        if usable is not None and usable == model and title not in {None, untold}:
            entry = msgspec.structs.replace(entry, champion=title, version=5)
        if self._trust is not None:
            entry = msgspec.structs.replace(entry, trust=self._trust.thresholds(), version=5)
        self._write(entry, self._source.boundary if boundary is None else boundary)

    def _active(self) -> str | None:
        active = self._journal.active
        return active.model if active else None

    def _usable(self, model: str | None) -> str | None:
        """The model, or the active one if it is not as certified.

        Raises:
            UnavailableModelError: It cannot be loaded now, which does not speak against it.
        """
        if model is None:
            return None
        try:
            self._load(model)
        except UnavailableModelError:
            raise
        except ModelError as error:
            active = self._active()
            if model != self._refused:
                self._tell(f"{error}; {active or 'no offline model'} stays in use")
            self._refused = model
            return active
        return model

    def _write(self, decision: Decision, append_time: int) -> None:
        if isinstance(decision, Configured):
            self._source.settings_of(decision.settings)
        self._journal.write(decision, append_time)
