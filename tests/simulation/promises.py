"""The promises that must hold at the end, whatever faults came before."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import isfinite
from pathlib import Path

import msgspec

from flows.home.home import ALL_TOPICS, create_topics
from flows.replay.audit import job_of
from flows.replay.replay_range import span_of
from flows.replay.worker_pool import Progress
from flows.runtime.partitions import Partitions
from models.refit.fit_record import ALERTED, TITLES, FitRecord
from operators.partition.journal import Activated, Configured, Journal
from operators.shard.shard import TOPICS
from operators.training.model_registry import ModelRegistry
from operators.training.titles import unfounded
from operators.training.training_cuts import SnapshotWriter, cuts_of
from state.log import EVENTS, Record
from state.outputs.records import Alert, DeadLetter, Prediction
from state.settings import changed, nested
from state.topics import MODELS
from tests.golden.trips import Asked, stream
from tests.simulation.faults import no_faults
from tests.simulation.simulated_log import SimulatedLog, Store
from tests.simulation.system import PARTITIONS, BrokenPromiseError, System
from tests.simulation.world import SOURCES, SimulatedHome


def check(system: System, root: Path) -> dict[str, int]:
    """All promises.

    Args:
        system: At rest.
        root: An empty folder, for an undisturbed run.

    Returns:
        How many records were compared, by topic.

    Raises:
        BrokenPromiseError: One is broken.
    """
    _each_source_record_is_there_once(system)
    _decisions_are_those_of_the_models(system)
    _boundaries_come_after_all_that_was_appended_before_them(system)
    compared = _outputs_are_those_of_an_undisturbed_run(system, root)
    _probabilities_are_finite_and_scorers_said_the_same(system)
    _scorers_are_where_the_flow_is(system)
    _an_audit_finds_no_difference(system, root)
    return compared


def _records(system: System, topic: str, partition: int) -> list[Record]:
    return system.store.at(topic, partition).records


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise BrokenPromiseError(what)


def _each_source_record_is_there_once(system: System) -> None:
    there = [(r.key, r.value) for p in PARTITIONS for r in _records(system, EVENTS, p)]
    wanted = [one for s in SOURCES for one in system.sources.records[s]]
    events = [one for one in wanted if isinstance(one, tuple)]
    _must(sorted(there) == sorted(events), "each event must be in the log once")
    letters = [
        (one.topic, one.partition, one.offset) for one in wanted if isinstance(one, DeadLetter)
    ]
    buried = [
        msgspec.json.decode(r.value, type=DeadLetter)
        for r in _records(system, "dead_letters", stream.partitions)
    ]
    got = [(one.topic, one.partition, one.offset) for one in buried]
    _must(sorted(got) == sorted(letters), f"each dead letter must be there once; got {got}")


def _decisions_are_those_of_the_models(system: System) -> None:
    log = SimulatedLog(system.store)
    published = [
        msgspec.json.decode(r.value, type=FitRecord) for r in _records(system, MODELS, 0)
    ]  # fmt: skip
    boundaries = [one.boundary for one in published if one.status not in TITLES]
    _must(boundaries == sorted(set(boundaries)), f"boundaries must ascend; got {boundaries}")
    usable = {one.model for one in published if one.status == "promoted"}
    history = ModelRegistry(log)
    for p in PARTITIONS:
        for entry in Journal(log, p).entries:
            if not isinstance(entry, Activated):
                continue
            known = entry.model is None or entry.model in usable
            _must(known, f"a model in use must be promoted; got {entry}")
            if entry.boundary is not None and system.settings.training.wait:
                decided = history.model_at(entry.boundary)[0]
                _must(decided, f"a boundary must be decided before it is passed; got {entry}")
    unfounded_titles = unfounded(log, history)
    _must(not unfounded_titles, f"titles must follow from metrics; got {unfounded_titles}")
    bad = [one for one in published if one.status in ALERTED]
    alerts = [
        msgspec.json.decode(r.value, type=Alert)
        for r in _records(system, "alerts", stream.partitions)
    ]
    told = [one.time for one in alerts]
    _must(told == [one.time for one in bad], f"each such decision must be told once; got {told}")


def _boundaries_come_after_all_that_was_appended_before_them(system: System) -> None:
    if system.went_back:
        return
    for p in PARTITIONS:
        for entry in Journal(SimulatedLog(system.store), p).entries:
            boundary = 0 if isinstance(entry, Configured) else entry.boundary or 0
            after = _records(system, EVENTS, p)[entry.offset :][:1]
            later = all(record.append_time >= boundary for record in after)
            _must(later, f"a boundary must come after all before it; got {entry} in {p}, {after}")


def _copied(system: System, topics: Iterable[str]) -> SimulatedLog:
    """A log of its own that has the records of some topics, those that were trimmed too."""
    store = Store()
    log = SimulatedLog(store)
    create_topics(log, stream.partitions)
    for topic in topics:
        for of, to in zip(system.store.topics[topic], store.topics[topic], strict=True):
            to.records = list(of.records)
            to.synced = to.end
    return log


def _undisturbed(system: System, root: Path) -> Store:
    """The outputs of the same events, models and journal without faults."""
    log = _copied(system, (EVENTS, MODELS, "rollbacks", "activations"))
    home = SimulatedHome(root, faults=no_faults())
    (root / "artifacts").symlink_to(system.home.root / "artifacts")
    settings = changed(system.settings, {"reading": {"batch": 50}})
    opened = Partitions(
        settings, stream, log, home, lambda of: changed(settings, nested(of)), decides=False
    )
    for p in PARTITIONS:
        live = opened.open(p)
        while (message := live.poll()) is not None:
            live.commit(live.process(message))
    return log.store


def _outputs_are_those_of_an_undisturbed_run(system: System, root: Path) -> dict[str, int]:
    store = _undisturbed(system, root)
    compared = dict.fromkeys(ALL_TOPICS, 0)
    for topic in ("activations", *TOPICS, "snapshots"):
        for p in PARTITIONS:
            got, wanted = _records(system, topic, p), store.at(topic, p).records
            for one, other in zip(got, wanted, strict=False):
                _must(one == other, f"{topic}/{p} must be {other}; got {one}")
            _must(
                len(got) == len(wanted),
                f"{topic}/{p} must have {len(wanted)} records; got {len(got)}",
            )
            compared[topic] += len(got)
    log = SimulatedLog(system.store)
    writer = SnapshotWriter(log, stream, system.home.snapshots)
    for p in PARTITIONS:
        for cut in cuts_of(log, p) if system.tears_snapshots else ():
            writer.mend(cut)
    for path in _files(root / "snapshots"):
        other = system.home.snapshots / path.relative_to(root / "snapshots")
        _must(path.read_bytes() == other.read_bytes(), f"{other} must be as undisturbed")
    return compared


def _files(folder: Path) -> Iterator[Path]:
    return folder.rglob("*.parquet")


def _probabilities_are_finite_and_scorers_said_the_same(system: System) -> None:
    for p in PARTITIONS:
        decided_at = {entry.offset for entry in Journal(SimulatedLog(system.store), p).entries}
        for record in _records(system, "predictions", p):
            made = msgspec.json.decode(record.value, type=Prediction)
            numbers = (made.probability, made.online, made.offline, made.residual)
            finite = all(one is None or isfinite(one) for one in numbers)
            _must(finite, f"probabilities must be finite; got {made}")
            said = system.answers.get((p, made.offset, made.model))
            same = said is None or said == made.probability or made.offset in decided_at
            _must(same, f"a scorer must say {made.probability}; got {said} at {p}/{made.offset}")


def _scorers_are_where_the_flow_is(system: System) -> None:
    assert system.flow is not None
    assert system.scorer is not None
    for p in PARTITIONS:
        shard, replica = system.flow.lives[p].shard, system.scorer.replicas[p]
        end = system.store.at(EVENTS, p).end
        _must(shard.position.offset == end, f"the flow must be at {end}; got {shard.position}")
        _must(system.flow.lives[p].at_end(), f"the flow must be at its end in {p}; it is not")
        _must(replica.offset == end, f"the scorer must be at {end}; got {replica.offset} in {p}")
        for zone in "abcde":
            ask = Asked(id="probe", time=max(shard.event_time, 1), zone=zone, distance=3.0)
            answer = replica.score(ask, lambda ask=ask: ask.time)
            wanted = shard.predict(ask).probability
            _must(
                answer.blend.probability == wanted,
                f"the scorer must say {wanted} of {zone}; got {answer.blend} in {p}",
            )


def _an_audit_finds_no_difference(system: System, root: Path) -> None:
    """The product's own: it compares the states in the checkpoints too."""
    log = _copied(system, ALL_TOPICS)
    if not any(log.end(EVENTS, p) for p in PARTITIONS):
        return
    job = replace(
        job_of(system.home, log, system.settings, span_of(log, None, None)), folder=root / "audit"
    )
    for one in job.checked(PARTITIONS, system.home, log, _unheard, int):
        wanted = {topic: log.end(topic, one.partition) for topic in TOPICS}
        _must(
            one.recorded and not one.different and one.identical == wanted,
            f"an audit must find {wanted} identical; got {one}",
        )


def _unheard(step: Progress) -> None:
    del step
