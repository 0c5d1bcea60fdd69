"""The flow, the what-if, the audit and the scorer's replica read one order."""

import time
from pathlib import Path

import msgspec
import pytest

from operators.partition.boundaries import Boundaries
from operators.partition.decider import Decider, NewestTimes
from operators.partition.journal import Activated, Journal, JournalWriter
from operators.partition.ordered_input import EntryAheadError, OrderedInput, with_model
from operators.partition.partition_runner import PartitionRunner
from operators.replica.follower import Follower
from operators.shard.messages import Boundary
from operators.shard.shard import Position, Shard
from operators.training.training_cuts import SnapshotWriter
from state.checkpoints.store import CheckpointStore
from state.log import Entry, LogError
from state.outputs.records import Prediction
from state.settings import deciding, nested, settings_from
from tests.golden.trips import stream
from tests.golden_log import SETTINGS
from tests.once_unreadable import OnceUnreadableLog
from tests.operators.partition.ordered_input_contract import (
    ENTRIES,
    ORDER,
    OTHERS,
    TIMES,
    OrderedInputContract,
    all_of,
    recorded,
)

PREDICTED = Prediction(
    id="a", event_time=1, key="", probability=0.5, online=0.5, offline=None, residual=None,
    decision=False, model=None, partition=0, offset=len(TIMES) - 1,
)  # fmt: skip
EVERY_10 = Boundaries(first=100, every=10)


class NothingNew:
    """Champions of which none is new: the last entry's."""

    def model_at(self, boundary):
        del boundary
        return False, None

    def newest_model(self):
        return "m4"

    def title(self, boundary=None):
        del boundary

    def rollbacks(self):
        return 1


def settings_of(values):
    return settings_from(nested(values))


def source(log, journal, position, batch, boundaries=EVERY_10):
    return OrderedInput(
        log, journal, position, settings_of=settings_of, batch=batch, boundaries=boundaries
    )


def runner(log, source, decider):
    nowhere = Path("not/used")
    return PartitionRunner(
        Shard(stream, SETTINGS, 0),
        source,
        log,
        decider=decider,
        load=lambda model, _: model,
        snapshots=SnapshotWriter(log, stream, nowhere),
        checkpoints=CheckpointStore(nowhere),
        most_in_flight=10**9,
    )


class TestFlow(OrderedInputContract):
    @pytest.fixture(params=[True, False], ids=["waits", "goes on"])
    def opened(self, request):
        def poll(log, position, batch=4):
            journal = JournalWriter(log, 0)
            reading = source(log, journal, position, batch)
            decider = Decider(
                log,
                journal,
                reading,
                decisions=NothingNew(),
                load=str,
                wanted=lambda: deciding(OTHERS),
                newest=NewestTimes(lambda: 136, lambda: 130),
                wait=request.param,
                tell=pytest.fail,
            )
            return runner(log, reading, decider).poll

        return poll


class TestWhatIf(OrderedInputContract):
    @pytest.fixture
    def opened(self):
        def poll(log, position, batch=4):
            return runner(log, source(log, Journal(log, 0), position, batch), None).poll

        return poll


class TestAudit(OrderedInputContract):
    @pytest.fixture
    def opened(self):
        """Up to the end of the log, as of its range."""

        def poll(log, position, batch=4):
            reading, end = source(log, Journal(log, 0), position, batch), log.end("events", 0)
            return lambda: reading.poll(end)

        return poll


class TestFollower(OrderedInputContract):
    @pytest.fixture
    def opened(self, tmp_path):
        """Behind a flow that has predicted the last record."""

        def poll(log, position, batch=4):
            value = msgspec.json.encode(PREDICTED)
            log.append("predictions", 0, [Entry(0, b"", value)], sequence=0)
            shard = Shard(stream, SETTINGS, 0)
            shard.position = position
            store = CheckpointStore(tmp_path / "checkpoints")
            return Follower(log, shard, store, settings_of, batch, time.monotonic).poll

        return poll

    @pytest.mark.parametrize("reads", range(14))
    def test_a_log_that_cannot_be_read_once_is_followed_in_the_same_order(self, tmp_path, reads):
        recorded(tmp_path, []).close()
        log, shard = OnceUnreadableLog(tmp_path / "log"), Shard(stream, SETTINGS, 0)
        store = CheckpointStore(tmp_path / "checkpoints")
        follower = Follower(log, shard, store, settings_of, 2, time.monotonic)
        journal = JournalWriter(log, 0)
        for entry in ENTRIES:
            journal.write(entry, 0)
        log.append("predictions", 0, [Entry(0, b"", msgspec.json.encode(PREDICTED))])
        log.reads_left = reads

        def poll():
            try:
                return follower.poll()
            except LogError:
                return follower.poll()

        assert all_of(poll) == ORDER
        assert log.reads_left < 0
        log.close()


@pytest.mark.parametrize("until", range(10))
def test_no_record_at_or_beyond_a_limit_is_read(tmp_path, until):
    log = recorded(tmp_path)
    reading = source(log, Journal(log, 0), Position(), 3)
    steps = all_of(lambda: reading.poll(until))
    assert steps == ORDER[: len(steps)]
    assert [step for step in steps if isinstance(step, int)] == list(range(until))
    log.close()


def test_without_boundaries_of_its_own_it_reads_those_of_the_journal_alone(tmp_path):
    log = recorded(tmp_path, ENTRIES[:2])
    steps = all_of(source(log, Journal(log, 0), Position(), 4, None).poll)
    assert steps == [*ORDER[:5], *range(2, 9)]
    log.close()


def test_an_entry_that_is_added_is_read_and_ends_a_hold(tmp_path):
    log = recorded(tmp_path, [])
    journal = JournalWriter(log, 0)
    reading = source(log, journal, Position(), 4)
    assert all_of(reading.poll) == [0, 1, ("boundary", 100, None)]
    assert (reading.holding, reading.is_open, reading.at_end()) == (100, True, False)
    journal.write(Activated(2, None, 100), 100)
    assert not reading.is_open
    steps = [("activation", 0, None), 2, 3, 4, ("boundary", 110, None)]
    assert all_of(reading.poll) == steps
    log.close()


def test_nothing_can_be_decided_between_a_record_and_the_boundary_right_after_it(tmp_path):
    log = recorded(tmp_path, [])
    reading = source(log, JournalWriter(log, 0), Position(), 100)
    assert [record.offset for record in reading.poll().records] == [0, 1]
    assert (reading.is_open, reading.holding) == (False, 0)
    assert reading.poll() == Boundary(100)
    assert (reading.is_open, reading.holding) == (True, 100)
    log.close()


def test_an_entry_whose_settings_are_unusable_is_not_passed_over(tmp_path):
    log = recorded(tmp_path)

    def unusable(values):
        msg = f"settings in the journal must be usable; got {len(values)}"
        raise LogError(msg)

    reading = OrderedInput(log, Journal(log, 0), Position(), settings_of=unusable, batch=4)
    for _ in range(2):
        with pytest.raises(LogError, match="must be usable"):
            reading.poll()
    log.close()


def test_an_entry_ahead_of_the_log_is_an_error(tmp_path):
    log = recorded(tmp_path, [Activated(12, "m", None)])
    reading = source(log, Journal(log, 0), Position(), 4)
    with pytest.raises(EntryAheadError, match="offset 12 where events/0 ends at 9"):
        all_of(reading.poll)
    log.close()


def test_an_activation_gets_its_model_and_nothing_else_does(tmp_path):
    log = recorded(tmp_path)
    shard = Shard(stream, SETTINGS, 0)
    reading, bound = source(log, Journal(log, 0), Position(), 4), []
    while (message := reading.poll()) is not None:
        made = with_model(message, shard, lambda model, of: (model, of is shard))
        bound += [made.offline] if made != message else []
    assert bound == [("m1", True), ("m2", True), ("m3", True), ("m4", True)]
    log.close()
