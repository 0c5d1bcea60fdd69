"""One order of events, boundaries and activations, whoever reads it and however often."""

import math
import sqlite3
from pathlib import Path

import msgspec
import pytest

from models.judging.trust_counts import Thresholds
from models.refit.fit_record import FitRecord
from models.scorecard import Scorecard
from operators.partition.boundaries import Boundaries
from operators.partition.decider import Decider, EarlyBoundaries, NewestTimes, TrustedAnswers
from operators.partition.journal import (
    Activated,
    Configured,
    Crossed,
    Journal,
    JournalWriter,
    Quieted,
)
from operators.partition.ordered_input import EntryAheadError, OrderedInput
from operators.partition.partition_runner import PartitionRunner
from operators.shard.messages import Activation, Boundary, Configuration, Quiet, Records
from operators.shard.shard import Position, Shard
from operators.training.model_loader import ModelError, UnavailableModelError
from operators.training.model_registry import ModelRegistry, UnknownModelError
from operators.training.training_cuts import SnapshotWriter
from state.checkpoints.store import CheckpointStore
from state.durations import Duration
from state.events import MINUTE_US
from state.log import Entry, LogError, newest_append_time
from state.log.sqlite import SqliteLog
from state.settings import deciding, nested, settings_from
from tests.golden.trips import stream
from tests.golden_log import SETTINGS

WEEKLY = Boundaries(first=100, every=10)
TIMES = [95, 99, 100, 104, 109, 110, 110, 135, 136]  # the gap holds the boundaries 120 and 130


class Decided:
    """A trainer's decisions for these tests: a model or None at each boundary."""

    def __init__(self, *decided):
        self.list = list(decided)
        self.rolled_back = 0
        self.titled = None

    def title(self, boundary=None):
        del boundary
        return self.titled

    def rollbacks(self):
        return self.rolled_back

    def model_at(self, boundary):
        known = [model for at, model in self.list if at <= boundary]
        return any(at == boundary for at, _ in self.list), known[-1] if known else None

    def newest_model(self):
        return self.list[-1][1] if self.list else None


ALL = [(100, "m1"), (110, None), (130, "m2")]
READ = [
    0, 1, Boundary(100), Activation(0, "m1", "<m1>"), 2, 3, 4, Boundary(110),
    Activation(1, None, None), 5, 6, Boundary(130), Activation(2, "m2", "<m2>"), 7, 8,
]  # fmt: skip


def filled(path, *partitions):
    log = SqliteLog(path)
    log.create("events", len(partitions))
    log.create("activations", len(partitions))
    for partition, times in enumerate(partitions):
        log.append("events", partition, [Entry(time, b"", b"{}") for time in times])
    return log


@pytest.fixture
def log(tmp_path):
    log = filled(tmp_path / "log", TIMES)
    yield log
    log.close()


def reader(
    log, decisions, position=None, *, partition=0, wait=True, batch=4, wanted=lambda: None,
    boundaries=WEEKLY, newest=newest_append_time, cut=lambda: 0, settled=None, load="<{}>".format,
    tell=pytest.fail, begun=None, early=None, trust=None,
):  # fmt: skip
    """The flow of a partition, which writes nothing but its journal."""
    journal = JournalWriter(log, partition)
    source = OrderedInput(
        log,
        journal,
        position or Position(),
        settings_of=lambda values: settings_from(nested(values)),
        batch=batch,
        boundaries=boundaries,
    )
    decider = Decider(
        log,
        journal,
        source,
        decisions=decisions,
        load=load,
        wanted=wanted,
        newest=NewestTimes(lambda: newest(log, "events"), cut, settled, begun),
        wait=wait,
        tell=tell,
        early=early,
        trust=trust,
    )
    return PartitionRunner(
        Shard(stream, SETTINGS, partition),
        source,
        log,
        decider=decider,
        load=lambda model, _: load(model),
        snapshots=SnapshotWriter(log, stream, Path("not/used")),
        checkpoints=CheckpointStore(Path("not/used")),
        most_in_flight=10**9,
    )


def taken(position, message):
    """The shard's position after a message, and the message without its batch."""
    match message:
        case Records(records):
            position.offset = records[-1].offset + 1
            return [record.offset for record in records]
        case Boundary(time, number):
            position.boundary = time
            if number is not None:
                position.activations = number + 1
        case Activation(number) | Configuration(number) | Quiet(_, number):
            position.activations = number + 1
    return [message]


def drained(reading, position=None):
    position = position or Position()
    seen = []
    while (message := reading.poll()) is not None:
        seen += taken(position, message)
    return seen


def journal(log, partition=0):
    return Journal(log, partition).entries


def test_a_boundary_comes_before_the_first_record_appended_at_or_after_it(log):
    assert drained(reader(log, Decided(*ALL))) == READ


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 100])
def test_the_order_does_not_depend_on_the_batch(log, batch):
    assert drained(reader(log, Decided(*ALL), batch=batch)) == READ


def test_every_decision_is_in_the_journal_before_it_is_handed_on(log):
    reading = reader(log, Decided(*ALL))
    while (message := reading.poll()) is not None:
        if isinstance(message, Activation):
            entry = journal(log)[message.number]
            assert entry.model == message.model
    assert journal(log) == [
        Activated(2, "m1", 100), Activated(5, None, 110), Activated(7, "m2", 130)
    ]  # fmt: skip


def test_waiting_holds_at_a_boundary_until_it_is_decided(log):
    decisions = Decided()
    reading = reader(log, decisions)
    assert drained(reading) == [0, 1, Boundary(100)]
    assert (reading.holding, reading.at_end(), journal(log)) == (100, False, [])
    decisions.list = [(90, "m0")]  # decided, but not this boundary
    assert drained(reading) == []
    decisions.list = ALL[:1]
    assert drained(reading) == READ[3:8]
    decisions.list = ALL
    assert drained(reading) == READ[8:]
    assert reading.at_end()


def test_a_model_decided_at_a_later_boundary_is_not_taken_at_an_earlier_one(log):
    drained(reader(log, Decided((100, "m1"), (110, "m2"), (130, "m3"))))
    assert [entry.model for entry in journal(log)] == ["m1", "m2", "m3"]


def test_without_waiting_it_goes_on_with_the_champion_of_the_moment(log):
    reading = reader(log, Decided(), wait=False)
    without = [
        x if not isinstance(x, Activation) else Activation(x.number, None, None) for x in READ
    ]
    assert drained(reading) == without
    assert [entry.boundary for entry in journal(log)] == [100, 110, 130]
    assert reading.at_end()


def test_without_waiting_a_model_is_taken_when_it_comes_idle_or_not(log):
    decisions = Decided()
    reading = reader(log, decisions, wait=False, batch=2)
    drained(reading)
    decisions.list = [(130, "m2")]
    assert drained(reading) == [Activation(3, "m2", "<m2>")]
    log.append("events", 0, [Entry(137, b"", b"{}")] * 6)
    position = Position()
    assert taken(position, reading.poll()) == [9, 10]
    decisions.list.append((130, "m3"))
    assert drained(reading, position) == [Activation(4, "m3", "<m3>"), 11, 12, 13, 14]
    assert journal(log)[3:] == [Activated(9, "m2", None), Activated(11, "m3", None)]
    assert drained(reader(log, Decided((999, "other"))))[-8:] == [
        Activation(3, "m2", "<m2>"), 9, 10, Activation(4, "m3", "<m3>"), 11, 12, 13, 14
    ]  # fmt: skip


def test_where_an_earlier_run_may_have_passed_no_model_is_taken_but_at_a_boundary(log):
    reading = reader(log, Decided((90, "m0")), wait=False, batch=1)
    assert drained(reading)[:4] == [0, 1, Boundary(100), Activation(0, "m0", "<m0>")]


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("batch", [1, 4, 100])
def test_a_journal_is_followed_exactly_whatever_training_says_now(log, wait, batch):
    drained(reader(log, Decided(*ALL)))
    before = journal(log)
    for decisions in (Decided(), Decided(*ALL), Decided((100, "x"), (110, "y"), (120, "z"))):
        reading = reader(log, decisions, wait=wait, batch=batch)
        seen = []
        while len(seen) < len(READ):
            seen += taken(Position(), reading.poll())
        assert seen == READ
        assert journal(log)[: len(before)] == before


@pytest.mark.parametrize("done", range(len(READ) + 1))
def test_a_run_resumed_anywhere_reads_what_an_unbroken_one_reads(log, done):
    """As of its whole journal, and as of the journal at that moment."""
    position = Position()
    reading = reader(log, Decided(*ALL), batch=1)
    for _ in range(done):
        taken(position, reading.poll())
    again = READ[done - 1 : done] if isinstance(READ[done - 1], Boundary) and done else []
    resumed = reader(log, Decided(*ALL), msgspec.structs.replace(position))
    assert drained(resumed) == again + READ[done:]
    whole = reader(log, Decided(), msgspec.structs.replace(position))
    assert drained(whole) == READ[done:]
    assert whole.at_end()


def test_a_run_resumed_while_it_held_cuts_again_and_holds_again(log):
    position = Position()
    drained(reader(log, Decided()), position)
    assert position == Position(2, 100, 0)
    decisions = Decided()
    reading = reader(log, decisions, position)
    assert reading.holding == 100
    assert drained(reading) == [Boundary(100)]
    assert not reading.at_end()
    decisions.list = ALL
    assert drained(reading) == READ[3:]


def test_a_run_that_never_saw_a_checkpoint_reads_all_again(log):
    drained(reader(log, Decided(*ALL[:2])))
    assert drained(reader(log, Decided(*ALL))) == READ


def test_an_idle_partition_crosses_with_the_others(tmp_path):
    log = filled(tmp_path / "log", [95, 131], [96], [])
    try:
        idle, empty = (reader(log, Decided((130, "m")), partition=p) for p in (1, 2))
        crossed = [Boundary(130, 0), Activation(1, "m", "<m>")]
        assert drained(idle) == [0, *crossed]
        assert drained(empty) == crossed
        assert journal(log, 1) == [Crossed(1, 130), Activated(1, "m", 130)]
        assert journal(log, 2) == [Crossed(0, 130), Activated(0, "m", 130)]
        log.append("events", 1, [Entry(132, b"", b"{}"), Entry(141, b"", b"{}")])
        assert drained(idle) == [1, Boundary(140)]
        assert drained(empty) == [Boundary(140, 2)]
        again = reader(log, Decided(), partition=1)
        assert drained(again) == [0, *crossed, 1, Boundary(140)]
    finally:
        log.close()


def test_a_partition_crosses_at_its_end_what_another_has_cut_at(tmp_path):
    log = filled(tmp_path / "log", [95, 131], [96, 97])
    try:
        rarely = {"partition": 1, "boundaries": Boundaries(100, 1_000), "cut": lambda: 130}
        decisions = Decided((100, None), (130, "m"))
        seen = [0, 1, Boundary(130, 0), Activation(1, "m", "<m>")]
        assert drained(reader(log, decisions, **rarely)) == seen
        log.append("events", 1, [Entry(140, b"", b"{}")])
        assert drained(reader(log, decisions, **rarely)) == [*seen, 2]
        assert drained(reader(log, decisions, **rarely | {"cut": lambda: 0})) == [*seen, 2]
        assert journal(log, 1) == [Crossed(2, 130), Activated(2, "m", 130)]
    finally:
        log.close()


def test_what_is_appended_while_the_others_are_asked_comes_before_their_boundary(tmp_path):
    log = filled(tmp_path / "log", [95], [96])

    def appended_meanwhile(log, topic):
        if log.end("events", 1) == 1:
            log.append("events", 1, [Entry(time, b"", b"{}") for time in (97, 112, 131)])
            log.append("events", 0, [Entry(131, b"", b"{}")])
        return newest_append_time(log, topic)

    try:
        decisions = Decided((110, None), (130, "m"))
        reading = reader(log, decisions, partition=1, newest=appended_meanwhile)
        assert drained(reading) == [0]
        boundaries = [Boundary(110), Activation(0, None, None), 2]
        assert drained(reading) == [1, *boundaries, Boundary(130), Activation(1, "m", "<m>"), 3]
    finally:
        log.close()


def test_an_idle_partition_is_quiet_once_the_time_of_the_others_has_settled(tmp_path):
    log, settled = filled(tmp_path / "log", [95, 131], [96], []), [0]
    given = {"partition": 1, "settled": lambda: settled[0]}
    try:
        reading = reader(log, Decided((130, "m")), **given)
        crossed = [Boundary(130, 0), Activation(1, "m", "<m>")]
        assert drained(reading) == [0, *crossed]
        assert not reading.at_end()
        settled[0] = 131
        assert drained(reading) == [Quiet(130, 2)]
        assert drained(reading) == []
        assert reading.at_end()
        assert journal(log, 1)[2:] == [Quieted(1, 130, version=3)]
        log.append("events", 0, [Entry(151, b"", b"{}")])
        assert drained(reading) == [Boundary(150, 3)]
        log.append("events", 1, [Entry(152, b"", b"{}")])
        settled[0] = 151
        decided = Decided((130, "m"), (150, "m"))
        again = reader(log, decided, **given)
        seen = [0, *crossed, Quiet(130, 2), Boundary(150, 3), Activation(4, "m", "<m>"), 1]
        assert drained(again) == seen  # what came meanwhile ends the quiet
        assert again.at_end()
        assert drained(reader(log, decided, **given)) == seen
    finally:
        log.close()


@pytest.mark.parametrize("checkpointed", [True, False])
def test_where_an_idle_partition_crossed_stays_whatever_is_appended_before_it_decides(
    tmp_path, checkpointed
):
    log = filled(tmp_path / "log", [95, 131], [96])
    try:
        position = Position()
        assert drained(reader(log, Decided(), partition=1), position) == [0, Boundary(130, 0)]
        assert position == Position(1, 130, 1)
        log.append("events", 1, [Entry(time, b"", b"{}") for time in (97, 112, 129, 133)])
        log.append("events", 0, [Entry(155, b"", b"{}")])
        again = reader(log, Decided((130, "m")), position if checkpointed else None, partition=1)
        seen = [Boundary(130)] if checkpointed else [0, Boundary(130, 0)]
        rest = [Activation(1, "m", "<m>"), 1, 2, 3, 4, Boundary(150, 2)]
        assert drained(again) == [*seen, *rest]
        whole = drained(reader(log, Decided(), partition=1))
        assert whole == [0, Boundary(130, 0), *rest]
    finally:
        log.close()


def test_an_entry_of_a_later_version_is_refused_and_so_is_a_damaged_one(log):
    drained(reader(log, Decided(*ALL)))
    for value, message in (
        (b'{"type":"activated","version":6}', "must be of version 5 or older; got 6 in activ"),
        (b'{"type":"turned","offset":1}', "must be readable; got 'Invalid value 'turned'"),
    ):
        with sqlite3.connect(log._root / "activations" / "0.db") as database:
            database.execute("UPDATE records SET value = ? WHERE offset = 1", (value,))
        database.close()
        with pytest.raises(LogError, match=message):
            Journal(log, 0)


def test_at_the_end_there_is_nothing_more_until_there_is(log):
    reading = reader(log, Decided(*ALL))
    assert not reading.at_end()
    drained(reading)
    assert reading.poll() is None
    assert reading.at_end()
    log.append("events", 0, [Entry(139, b"", b"{}")])
    assert not reading.at_end()
    assert drained(reading) == [9]


def test_an_empty_log_has_no_boundaries(tmp_path):
    log = filled(tmp_path / "log", [], [])
    try:
        reading = reader(log, Decided(*ALL))
        assert reading.poll() is None
        assert reading.at_end()
        assert newest_append_time(log, "events") == 0
    finally:
        log.close()


def test_decisions_are_read_from_the_log_as_it_grows(tmp_path):
    log = SqliteLog(tmp_path / "log")
    log.create("models", 1)
    writer, other = ModelRegistry(log), ModelRegistry(log)

    def publish(boundary, status, model=""):
        writer.publish(
            FitRecord(
                boundary=boundary,
                status=status,
                reason="",
                algorithm="gbm",
                model=model,
                sha256=model,
            )
        )

    try:
        assert (other.decided(), other.newest_model(), other.model_at(5)) == (
            0,
            None,
            (False, None),
        )
        publish(5, "skipped")
        assert (other.decided(), other.model_at(5)) == (5, (True, None))
        publish(10, "promoted", "a")
        publish(15, "rejected", "b")
        publish(20, "failed")
        publish(25, "promoted", "c")
        assert [other.model_at(t) for t in (5, 10, 12, 15, 20, 25, 30)] == [
            (True, None), (True, "a"), (False, "a"), (True, "a"), (True, "a"), (True, "c"),
            (False, "c"),
        ]  # fmt: skip
        assert (other.newest_model(), other.of("a").boundary, other.of("b").boundary) == (
            "c",
            10,
            15,
        )
        with pytest.raises(UnknownModelError, match="model must be in topic 'models'; got 'x'"):
            other.of("x")
    finally:
        log.close()


@pytest.mark.parametrize("wait", [True, False])
def test_a_rollback_is_journaled_and_handed_on_once_with_the_next_message(tmp_path, wait):
    log = filled(tmp_path / "log", [])
    decided = Decided((100, "m1"), (110, "m2"))
    one = reader(log, decided, wait=wait)
    assert one.poll() is None or not wait
    log.append("events", 0, [Entry(time, b"", b"{}") for time in (101, 112)])
    while one.poll() is not None:
        pass
    decided.list.append((110, "m1"))
    decided.rolled_back = 1
    log.append("events", 0, [Entry(113, b"", b"{}")])
    message = one.poll()
    number = len(Journal(log, 0).entries) - 1
    assert message == Activation(number, "m1", "<m1>", alone=True)
    assert Journal(log, 0).entries[-1] == Activated(2, "m1", None, 1)
    assert [r.offset for r in one.poll().records] == [2]
    assert one.poll() is None
    log.close()


def test_a_title_is_named_at_a_boundary_only_where_it_is_not_the_model_before(log):
    decided = Decided(*ALL[:1])
    decided.titled = "m1"
    reading = reader(log, decided)
    drained(reading)
    decided.list.append((110, "m2"))
    drained(reading)
    decided.list.append((130, "m3"))
    seen = drained(reading)
    assert journal(log) == [
        Activated(2, "m1", 100),
        Activated(5, "m2", 110),
        Activated(7, "m3", 130, champion="m1", version=5),
    ]
    assert seen[0] == Activation(2, "m3", "<m3>", champion="m1")
    assert drained(reader(log, Decided()))[-3] == seen[0]


def test_a_title_that_was_won_between_boundaries_is_journaled_once(log):
    decided = Decided((100, "m1"), (110, "m2"))
    decided.titled = "m1"
    reading = reader(log, decided, wait=False)
    drained(reading)
    before = len(journal(log))
    decided.titled = "m2"
    assert drained(reading) == [Activation(before, "m2", "<m2>", champion="m2")]
    assert drained(reading) == []
    assert journal(log)[before:] == [Activated(9, "m2", None, champion="m2", version=5)]


@pytest.mark.parametrize("wait", [True, False])
def test_a_model_that_has_the_title_again_comes_with_it(log, wait):
    decided = Decided((100, "m1"), (110, "m2"))
    decided.titled = "m1"
    reading = reader(log, decided, wait=wait)
    drained(reading)
    decided.list.append((130, "m1"))
    drained(reading)
    assert journal(log)[-1].model == "m1"
    assert journal(log)[-1].champion == "m1"
    assert Journal(log, 0).champion() == "m1"


MINUTES = [0, 30, 70, 110, 115, 130, 200, 260, 265]
BEGIN_US = 100 * 60 * MINUTE_US


class Wanting:
    """A shard that wants a fit as of these offsets."""

    def __init__(self, *offsets, rest="2h"):
        self.offsets, self.asked, self.reached = offsets, [], 10**9
        self.early = EarlyBoundaries(self.wanted, lambda: int(Duration.parse(rest)))

    def wanted(self, offset):
        self.asked.append(offset)
        return offset in self.offsets if offset <= self.reached else None


def early(path, wanting, *, log=None, batch=4, position=None, decided=(), **given):
    log = log or filled(path / "log", [BEGIN_US + m * MINUTE_US for m in MINUTES])
    rarely = Boundaries(BEGIN_US + 10 * 60 * MINUTE_US, 10**15)
    at = Decided(*decided)
    given = {"boundaries": rarely, "early": wanting.early} | given
    return log, reader(log, at, position, batch=batch, **given)


def minutes(of):
    return [
        (m.time - BEGIN_US) // MINUTE_US if isinstance(m, Boundary) else m
        for m in of
        if not isinstance(m, Activation)
    ]


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_a_fit_that_is_wanted_comes_at_the_next_look_whatever_the_batches(tmp_path, batch):
    wanting = Wanting(4, 5)
    log, reading = early(tmp_path, wanting, batch=batch)
    # A twelfth of two hours: a look before each ten minutes in which a record comes.
    assert minutes(drained(reading)) == [0, 1, 2, 3, 4, 130]
    assert wanting.asked == [1, 2, 3, 5]
    assert journal(log) == [Crossed(5, BEGIN_US + 130 * MINUTE_US, early=True, version=5)]
    log.close()


def test_after_an_early_boundary_there_is_none_for_the_rest(tmp_path):
    wanting = Wanting(2, 3, 7)
    decided = [(BEGIN_US + 70 * MINUTE_US, "m"), (BEGIN_US + 260 * MINUTE_US, "m")]
    log, reading = early(tmp_path, wanting, decided=decided)
    assert minutes(drained(reading)) == [0, 1, 70, 2, 3, 4, 5, 6, 260, 7, 8]
    again = early(tmp_path, Wanting(), log=log)[1]
    assert minutes(drained(again)) == [0, 1, 70, 2, 3, 4, 5, 6, 260, 7, 8]
    log.close()


def test_a_look_waits_for_the_shard_and_is_made_again_after_a_restart(tmp_path):
    wanting, position = Wanting(3), Position()
    wanting.reached = 2
    log, reading = early(tmp_path, wanting, position=position)
    assert minutes(drained(reading, position)) == [0, 1, 2]
    assert (reading.at_end(), journal(log)) == (False, [])
    resumed = early(tmp_path, Wanting(3), log=log, position=msgspec.structs.replace(position))[1]
    assert minutes(drained(resumed)) == [110]
    log.close()


TWO_HOURS = deciding(settings_from({"drift": {"rest": "2h"}}))


@pytest.mark.parametrize("entry", [Activated(4, "m", None), Configured(4, TWO_HOURS, version=2)])
def test_looks_come_where_they_came_before_a_restart_also_after_a_journal_entry(tmp_path, entry):
    log = filled(tmp_path / "log", [BEGIN_US + m * MINUTE_US for m in MINUTES])
    JournalWriter(log, 0).write(entry, 0)
    looks = []
    for read in range(9):
        wanting, position = Wanting(), Position(offset=read, activations=int(read > 4))
        drained(early(tmp_path, wanting, log=log, position=position)[1], position)
        looks.append(wanting.asked)
    # None where the journal says what comes next, then before each ten minutes with a record.
    assert looks[0] == [5, 6, 7]
    assert looks == [[one for one in looks[0] if one >= read] for read in range(9)]
    log.close()


def test_looks_are_as_frequent_as_the_journal_says_wherever_the_run_begins(tmp_path):
    log = filled(tmp_path / "log", [BEGIN_US + m * MINUTE_US for m in MINUTES])
    rarely = deciding(settings_from({"drift": {"rest": "1d"}}))
    JournalWriter(log, 0).write(Configured(2, rarely, version=2), 0)
    for read in (0, 1, 2, 3):
        wanting, position = Wanting(), Position(offset=read, activations=int(read > 2))
        rest = Wanting(rest="1d" if read > 2 else "2h").early.rest
        given = EarlyBoundaries(wanting.wanted, rest)
        drained(early(tmp_path, wanting, log=log, position=position, early=given)[1], position)
        assert wanting.asked == [5, 7]  # each two hours: 02:10 and 04:20
    log.close()


def test_a_boundary_before_its_time_is_crossed_where_it_was_given(tmp_path):
    at = [BEGIN_US + m * MINUTE_US for m in (60, 200, 202)]
    given = Boundaries(10**17, 10**15, 0, tuple(at))
    decided = [(one, "m") for one in at]
    log, reading = early(tmp_path, Wanting(), early=None, boundaries=given, decided=decided)
    found = minutes(drained(reading))
    assert found == [0, 1, 60, 2, 3, 4, 5, 200, 6, 202, 7, 8]
    assert not any(isinstance(one, Crossed) for one in journal(log))
    log.close()


class Labelled:
    """A shard with thresholds, as far as it has come."""

    def __init__(self):
        self.offset, self.read = 10**9, []
        self.trust = TrustedAnswers(lambda: self.offset, self.thresholds)

    def thresholds(self):
        self.read.append(self.offset)
        return Thresholds(negatives=len(self.read))


def test_each_activation_has_the_thresholds_of_its_place(log):
    shard, position = Labelled(), Position()
    reading = reader(log, Decided(*ALL), trust=shard.trust)
    while True:
        shard.offset = position.offset
        message = reading.poll()
        if message is None:
            break
        taken(position, message)
    entries = [entry for entry in journal(log) if isinstance(entry, Activated)]
    assert [entry.offset for entry in entries] == shard.read == [2, 5, 7]
    assert [entry.trust.negatives for entry in entries] == [1, 2, 3]
    assert {entry.version for entry in entries} == {5}


def test_a_boundary_is_not_decided_before_the_shard_has_come_there(log):
    shard = Labelled()
    shard.offset = 0
    reading, position = reader(log, Decided(*ALL), trust=shard.trust), Position()
    seen = drained(reading, position)
    assert seen == [0, 1, Boundary(100)]
    assert journal(log) == []
    shard.offset = position.offset
    assert drained(reading, position)[0] == Activation(
        0, "m1", "<m1>", trust=Thresholds(negatives=1)
    )


def test_without_wanting_there_is_no_other_message_than_without_looks(tmp_path):
    log, reading = early(tmp_path, Wanting())
    assert minutes(drained(reading)) == list(range(9))
    assert journal(log) == []
    log.close()


def test_of_several_partitions_none_crosses_early_where_an_earlier_run_may_have_passed(tmp_path):
    log = filled(tmp_path / "log", [BEGIN_US + m * MINUTE_US for m in MINUTES], [])
    wanting = Wanting(*range(1, 20))
    _, reading = early(tmp_path, wanting, log=log, newest=lambda *_: 0)
    assert minutes(drained(reading)) == list(range(9))
    log.append("events", 0, [Entry(BEGIN_US + 300 * MINUTE_US, b"", b"{}")])
    assert minutes(drained(reading)) == [300]
    log.close()


def test_settings_are_journaled_before_the_first_record_and_not_again(log):
    settings = settings_from({"decision": {"threshold": 0.6}})
    first = drained(reader(log, Decided(), wanted=lambda: deciding(settings)))
    assert first[:3] == [Configuration(0, settings), 0, 1]
    assert journal(log) == [Configured(0, deciding(settings), version=2)]
    assert drained(reader(log, Decided(), wanted=lambda: deciding(settings))) == first
    assert drained(reader(log, Decided())) == first
    assert len(journal(log)) == 1


def often(**decision):
    """Settings by which a boundary is due each millisecond, as the journal has them."""
    return deciding(settings_from({"training": {"every": "1ms"}, "decision": decision}))


def test_boundaries_are_those_of_the_settings_in_the_journal(tmp_path):
    log = filled(tmp_path / "log", [95, 1_100, 1_150, 2_150])
    seen = drained(reader(log, Decided((1_100, "m"), (2_100, "m")), wanted=often))
    assert [m.time for m in seen if isinstance(m, Boundary)] == [1_100, 2_100]
    log.close()


def test_other_settings_wait_until_what_a_run_before_wrote_is_made_up(tmp_path):
    log = filled(tmp_path / "log", [95, 1_100, 1_150, 2_150, 2_160])
    decided = Decided((1_100, "m"), (2_100, "n"))
    drained(reader(log, decided, wanted=often))
    before, new = journal(log), often(threshold=0.1)
    made_up = iter([None])
    given = {"batch": 1, "boundaries": Boundaries(100, 1_000)}

    def resumed(wanted):
        return drained(reader(log, decided, Position(3, 2_100, 3), wanted=wanted, **given))

    seen = [3, Configuration(3, settings_from(nested(new))), 4]
    assert resumed(lambda: next(made_up, new)) == seen
    assert journal(log) == [*before, Configured(4, new, version=2)]
    assert resumed(lambda: None) == seen
    log.close()


def test_a_journal_that_is_ahead_of_its_events_is_told(log):
    JournalWriter(log, 0).write(Activated(12, "m", None), 0)
    with pytest.raises(
        EntryAheadError, match=r"offset 12 where events/0 ends at 9: was the log cut"
    ):
        drained(reader(log, Decided()))


def test_a_decision_that_cannot_be_read_back_is_not_published(tmp_path):
    log = SqliteLog(tmp_path / "log")
    log.create("models", 1)
    published = ModelRegistry(log)
    card = Scorecard(
        rows=1, positives=1, log_loss=math.nan, auc=None, brier=0.0, f1=0.0, threshold=0.5
    )
    record = FitRecord(boundary=5, status="promoted", reason="", algorithm="gbm", metrics=card)
    with pytest.raises(LogError, match=r"decision must be readable; got .* in models at 5"):
        published.publish(record)
    assert log.end("models", 0) == 0
    assert published.records() == []
    log.close()


def as_command_errors(*models):
    """Loads any model but these, which are not what was certified."""

    def load(model):
        if model in models:
            msg = f"model {model} must be usable: predictions must be H2O's"
            raise ModelError(msg)
        return f"<{model}>"

    return load


def test_a_model_that_is_not_what_was_certified_is_not_taken_and_said(log):
    said = []
    seen = drained(reader(log, Decided(*ALL), load=as_command_errors("m2"), tell=said.append))
    assert seen == [*READ[:12], Activation(2, None, None), *READ[13:]]
    assert journal(log)[-1] == Activated(7, None, 130)
    assert said == [
        "model m2 must be usable: predictions must be H2O's; no offline model stays in use"
    ]
    whole = drained(reader(log, Decided(), load=as_command_errors("m2")))
    assert whole == seen


@pytest.mark.parametrize("wait", [True, False])
def test_the_model_before_stays_and_each_refusal_is_said_once(log, wait):
    said, decided = [], Decided((100, "m1"), (110, "bad"))
    given = {"load": as_command_errors("bad"), "tell": said.append, "wait": wait}
    one = reader(log, decided, **given)
    while one.poll() is not None:
        pass
    decided.list.append((130, "bad"))
    log.append("events", 0, [Entry(139, b"", b"{}")])
    while one.poll() is not None:
        pass
    models = [entry.model for entry in journal(log)]
    assert models == ["m1"] * 3
    assert len(said) == 1
    decided.list.append((140, "m3"))
    log.append("events", 0, [Entry(141, b"", b"{}")])
    while one.poll() is not None:
        pass
    assert journal(log)[-1].model == "m3"


def test_a_rollback_to_one_that_is_not_is_done_with(log):
    said, decided = [], Decided((100, "m1"), (110, "m2"), (130, "m2"))
    one = reader(log, decided, load=as_command_errors("m1"), tell=said.append)
    while one.poll() is not None:
        pass
    decided.list.append((130, "m1"))
    decided.rolled_back = 1
    for _ in range(3):
        one.poll()
    assert journal(log)[-1] == Activated(9, "m2", None, 1)
    assert len(journal(log)) == 4
    log.append("events", 0, [Entry(137, b"", b"{}")])
    assert [record.offset for record in one.poll().records] == [9]


def test_a_model_that_cannot_be_had_just_now_is_waited_for_by_stopping(log):
    def load(model):
        msg = f"model {model} must be usable: store is not there"
        raise UnavailableModelError(msg)

    with pytest.raises(UnavailableModelError, match="store is not there"):
        drained(reader(log, Decided(*ALL), load=load))
    assert journal(log) == []
    assert drained(reader(log, Decided(*ALL))) == READ


def test_a_decision_that_cannot_be_obeyed_is_not_written(log):
    def lacking(model):
        msg = f"model {model} is lost"
        raise LogError(msg)

    reading = reader(log, Decided(*ALL), load=lacking)
    with pytest.raises(LogError, match="model m1 is lost"):
        drained(reading)
    assert journal(log) == []
    assert drained(reader(log, Decided(*ALL))) == READ


@pytest.mark.parametrize(
    "wrong", [{"decision.threshold": 9.0}, {"decision.threshold": None}, {"no.key": 1}]
)
def test_settings_that_cannot_be_used_are_not_written(log, wrong):
    with pytest.raises(ValueError, match=r"Expected|unknown field"):
        drained(reader(log, Decided(*ALL), wanted=lambda: wrong))
    assert journal(log) == []
