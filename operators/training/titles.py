"""Decisions on the title: the offline model that is proven to be better has it.

A new model answers at once, by its weight in the mixture; the title says what is proven. Shards
compare the two models that answer, on labelled requests in request order, and publish the evidence
with their `metrics`. The mean over the partitions is evidence too, whatever they have in common.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from models.refit.fit_record import FitRecord, Status, TitleEvidence, newest_promoted, title_of
from models.refit.gate import lower_by
from operators.training.model_registry import ModelRegistry
from state.log import ReadableLog, decoded
from state.outputs.records import Metrics
from state.settings import Promotion
from state.topics import METRICS

NOTHING = 1.0
"""Evidence that says nothing: of a partition that has not compared the two models."""


class Contestants(NamedTuple):
    """Two models, one of which has the title.

    Attributes:
        newest: Id of the newest model.
        older: Id of the model before it that may have the title, or take it back.
        title: Id of the one that has it.
    """

    newest: str
    older: str
    title: str


class Titles:
    """Decides on the title from the newest `metrics`; it publishes nothing itself.

    Args:
        log: Log with `metrics`.
        published: The model registry.
        promotion: Settings of the title.
        live: Decide whenever the evidence suffices; False: only at boundaries, where all partitions
            wait, so that a run repeats exactly.
    """

    def __init__(
        self, log: ReadableLog, published: ModelRegistry, promotion: Promotion, *, live: bool
    ) -> None:
        self._log, self._published, self._promotion = log, published, promotion
        self.live = live

    def decide(self) -> FitRecord | None:
        """A decision that is due; None: the title stays where it is."""
        contestants = contestants_of(self._published.history())
        if contestants is None:
            return None
        ends = [self._log.end(METRICS, p) for p in range(self._log.partitions(METRICS))]
        evidence = evidence_of(self._log, contestants, ends, self._promotion.alpha)
        return decision(contestants, evidence, self._published.decided())

    def with_title(self, record: FitRecord) -> FitRecord:
        """Note on a promoted model that the title stays with the older of the two before it."""
        published = self._published
        title = published.title()
        open_ = title not in {None, published.newest_model(), record.model}
        if record.status == "promoted" and open_ and self._promotion.undecided == "older":
            return msgspec.structs.replace(record, title=title)
        return record


def contestants_of(history: Sequence[FitRecord]) -> Contestants | None:
    """The two models that are compared after some decisions; None: there are not two.

    After a promotion by evidence the former champion is still compared with the new one.
    """
    newest, title = newest_promoted(history), title_of(history)
    if newest is None or title is None:
        return None
    if title != newest.model:
        return Contestants(newest.model, title, title)
    last = next(one for one in reversed(history) if one.status in {"promoted", "proven"})
    return Contestants(newest.model, last.champion, title) if last.status == "proven" else None


def evidence_of(
    log: ReadableLog, contestants: Contestants, ends: Sequence[int], alpha: float
) -> TitleEvidence:
    """The mean evidence of all partitions.

    Args:
        log: Log with `metrics`.
        contestants: The models.
        ends: Number of records of each partition, the last of which is read.
        alpha: Noted with the evidence.
    """
    better, worse, labels, gains, time = [], [], 0, 0.0, 0
    for partition, end in enumerate(ends):
        found = _metrics(log, partition, end)
        if found is None or (found.model, found.older, found.champion) != contestants:
            better.append(NOTHING)
            worse.append(NOTHING)
            continue
        better.append(NOTHING if found.better is None else found.better)
        worse.append(NOTHING if found.worse is None else found.worse)
        labels += found.compared
        time = max(time, found.time)
        gains += found.compared * (found.gain or 0.0)
    return TitleEvidence(
        better=sum(better) / len(ends),
        worse=sum(worse) / len(ends),
        labels=labels,
        gain=gains / max(labels, 1),
        alpha=alpha,
        metrics=list(ends),
        time=time,
    )


def _metrics(log: ReadableLog, partition: int, end: int) -> Metrics | None:
    for record in log.read(METRICS, partition, end - 1, max_records=1) if end else ():
        return decoded(METRICS, partition, record, Metrics)
    return None


def decision(contestants: Contestants, evidence: TitleEvidence, boundary: int) -> FitRecord | None:
    """The decision that follows from the evidence; None: nothing is proven.

    Args:
        contestants: The models.
        evidence: The evidence between them.
        boundary: The newest decided boundary (µs), which is noted.
    """
    newest, older, title = contestants
    enough = 1.0 / evidence.alpha
    after = f"after {evidence.labels:,} labels; {lower_by(evidence.gain)}"
    if title == older and evidence.better >= enough:
        status: Status = "proven"
        reason = f"better than {older}, by evidence of {evidence.better:.3g} {after}"
    elif evidence.worse >= enough:
        status = "dismissed" if title == older else "returned"
        reason = f"{newest} is worse, by evidence of {evidence.worse:.3g} {after}"
    else:
        return None
    winner, loser = (newest, older) if status == "proven" else (older, newest)
    return FitRecord(
        boundary=boundary,
        status=status,
        reason=reason,
        algorithm="",
        model=winner,
        champion=loser,
        evidence=evidence,
    )


def unfounded(log: ReadableLog, published: ModelRegistry) -> list[FitRecord]:
    """The recorded decisions on the title that do not follow from the `metrics` they name.

    Decisions whose metrics the log does not hold, or no longer, are left out.
    """
    records, wrong = published.records(), []
    for i, record in enumerate(records):
        if record.evidence is None:
            continue
        ends = record.evidence.metrics
        if not all(_is_there(log, p, end) for p, end in enumerate(ends)):
            continue
        contestants = contestants_of(published.history_before(i))
        found = None
        if contestants is not None:
            evidence = evidence_of(log, contestants, ends, record.evidence.alpha)
            found = decision(contestants, evidence, record.boundary)
        if found != record:
            wrong.append(record)
    return wrong


def _is_there(log: ReadableLog, partition: int, end: int) -> bool:
    return not end or log.start(METRICS, partition) < end <= log.end(METRICS, partition)
