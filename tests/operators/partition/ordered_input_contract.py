"""The contract of every user of the ordered input: inherit it and provide the fixture `opened`.

`opened(log, position)` gives a function that returns the next message of partition 0 or None, as
the user reads it from there on.
"""

import pytest

from operators.partition.journal import Activated, Configured, Crossed, JournalWriter
from operators.partition.ordered_input import EntryBehindError
from operators.shard.messages import Activation, Boundary, Configuration, Records
from operators.shard.shard import Position
from state.log import Entry
from state.log.sqlite import SqliteLog
from state.settings import deciding, settings_from
from tests.golden.trips import stream

TIMES = [95, 99, 100, 104, 109, 110, 110, 135, 136]
OTHERS = settings_from({"decision": {"threshold": 0.6}, "training": {"every": "1h"}})
TOPICS = ("events", "activations", "predictions", "models", "snapshots")
ENTRIES = [
    Configured(0, deciding(OTHERS), version=2),
    Activated(2, "m1", 100),
    Activated(2, "m2", None),
    Activated(5, None, 110),
    Crossed(7, 130),
    Activated(7, "m3", 130),
    Activated(9, "m4", None, 1),
]
ORDER = [
    ("configuration", 0), 0, 1, ("boundary", 100, None), ("activation", 1, "m1"),
    ("activation", 2, "m2"), 2, 3, 4, ("boundary", 110, None), ("activation", 3, None), 5, 6,
    ("boundary", 130, 4), ("activation", 5, "m3"), 7, 8, ("activation", 6, "m4"),
]  # fmt: skip


def recorded(root, entries=ENTRIES, times=TIMES):
    """A log whose partition 0 has these records and entries."""
    log = SqliteLog(root / "log")
    for topic in TOPICS:
        log.create(topic, stream.partitions)
    log.append("events", 0, [Entry(time, b"", b"{}") for time in times])
    journal = JournalWriter(log, 0)
    for entry in entries:
        journal.write(entry, 0)
    return log


def told(message, position):
    """The steps of a message, and where a shard stands after it."""
    match message:
        case Records(records):
            position.offset = records[-1].offset + 1
            return [record.offset for record in records]
        case Boundary(time, number):
            position.boundary = time
            if number is not None:
                position.activations = number + 1
            return [("boundary", time, number)]
        case Activation(number, model):
            position.activations = number + 1
            return [("activation", number, model)]
        case Configuration(number):
            position.activations = number + 1
            return [("configuration", number)]
    return pytest.fail(f"{message} must be one of these")


def all_of(poll, position=None):
    position, steps = position or Position(), []
    while (message := poll()) is not None:
        steps += told(message, position)
    return steps


class OrderedInputContract:
    @pytest.fixture
    def log(self, tmp_path):
        log = recorded(tmp_path)
        yield log
        log.close()

    @pytest.mark.parametrize("batch", [1, 2, 3, 100])
    def test_what_is_recorded_is_read_in_one_order_whatever_the_batch(self, log, opened, batch):
        assert all_of(opened(log, Position(), batch=batch)) == ORDER

    @pytest.mark.parametrize("done", range(len(ORDER) + 1))
    def test_from_any_place_the_rest_is_read(self, log, opened, done):
        position, poll = Position(), opened(log, Position(), batch=1)
        for _ in range(done):
            told(poll(), position)
        assert all_of(opened(log, position)) == ORDER[done:]

    def test_settings_come_whole(self, log, opened):
        poll = opened(log, Position())
        assert poll() == Configuration(0, OTHERS)

    @pytest.mark.parametrize("entry", [Activated(3, "m", None), Crossed(3, 200)])
    def test_an_entry_behind_what_was_read_is_an_error(self, tmp_path, opened, entry):
        log = recorded(tmp_path, [Activated(5, "m1", None), entry])
        poll = opened(log, Position())
        with pytest.raises(EntryBehindError, match=r"entry 1 of offset 3 .* read up to 5"):
            all_of(poll)
        log.close()

    def test_a_position_beyond_an_entry_that_it_does_not_count_is_an_error(self, log, opened):
        with pytest.raises(EntryBehindError, match=r"entry 1 of offset 2 .* read up to 3"):
            all_of(opened(log, Position(3, 100, 1)))

    def test_nothing_is_written(self, log, opened):
        poll = opened(log, Position())
        before = [log.end(topic, 0) for topic in TOPICS]
        all_of(poll)
        assert [log.end(topic, 0) for topic in TOPICS] == before
