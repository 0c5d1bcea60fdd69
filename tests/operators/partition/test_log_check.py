"""A log that lost what was read of it, or holds something else, is refused before it is used."""

import re
import sqlite3
from contextlib import closing

import msgspec
import pytest

from operators.partition.journal import Activated, JournalWriter
from operators.partition.log_check import LogAlteredError, LogCutError, check_log, verify
from operators.partition.recovery import checkpoint_of, recover
from operators.shard.messages import Activation, Boundary
from operators.shard.shard import TOPICS
from state.checkpoints.store import CheckpointStore
from state.log import Entry, LogError
from state.log.sqlite import SqliteLog
from tests.operators.shard_runs import Run, feed, rides_shard
from tests.rides import records

RECORDS = records(120)
MANY = 10_000


def written(root, some=RECORDS):
    log = SqliteLog(root)
    for topic in ("events", "activations", "snapshots", *TOPICS):
        log.create(topic, 1)
    log.append("events", 0, [Entry(*record[1:]) for record in some])
    return log


@pytest.fixture
def root(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def log(root):
    log = written(root)
    yield log
    log.close()


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints")


@pytest.fixture
def run(store, log):
    """Read up to offset 110, with checkpoints at 40, 80 and there, and one journal entry."""
    run = Run(rides_shard())
    feed(run, RECORDS[:40], others={20: [Activation(0, None, None)]})
    store.save(checkpoint_of(run.shard, at_boundary=False))
    for offset in (80, 110):
        feed(run, RECORDS[:offset], cut_at=(offset - 3,))
        store.save(checkpoint_of(run.shard, at_boundary=False))
    for topic, entries in run.written.items():
        log.append(topic, 0, entries)
    JournalWriter(log, 0).write(Activated(20, None, None), 0)
    return run


def check(log, store, most=MANY, outputs=True):
    check_log(log, store, 0, most=most, outputs=outputs)


def change(log, root, statement, topic="events"):
    log.close()
    with closing(sqlite3.connect(root / topic / "0.db")) as database, database:
        database.execute(statement)


@pytest.mark.parametrize("most", [0, 1, 45, MANY])
def test_a_log_that_is_as_it_was_read_passes(run, log, store, most):
    check(log, store, most)
    assert verify(log, store, 0) == range(110)


@pytest.mark.parametrize("left", [109, 40, 0])
@pytest.mark.parametrize("most", [0, MANY])
def test_a_lost_end_of_the_events_is_told_with_the_place(run, log, store, root, left, most):
    change(log, root, f"DELETE FROM records WHERE offset >= {left}")
    with pytest.raises(LogCutError) as caught:
        check(log, store, most)
    said = str(caught.value)
    assert "must reach offset 110" in said
    assert f"an end of {left} in events/0 ({root}/events/0.db)" in said
    assert f"it was cut at offset {left}, or" in said
    assert str(store.folder(0)) in said


def test_a_lost_end_is_known_by_the_outputs_where_there_is_no_checkpoint(run, log, store, root):
    for path in store.folder(0).iterdir():
        path.unlink()
    check(log, store)
    newest = max(
        msgspec.json.decode(entry.value)["offset"]
        for topic in ("predictions", "dead_letters")
        for entry in run.written[topic]
    )
    change(log, root, f"DELETE FROM records WHERE offset >= {newest}")
    check(log, store, outputs=False)
    with pytest.raises(LogCutError, match=rf"reach offset {newest + 1}.*an end of {newest} in"):
        check(log, store)


def test_a_lost_end_of_the_journal_is_told_with_the_place(run, log, store, root):
    change(log, root, "DELETE FROM records", topic="activations")
    with pytest.raises(LogCutError, match=r"reach offset 1, .* activations/0 \(.*0.db"):
        check(log, store)


def test_an_altered_entry_of_the_journal_is_seen_and_later_ones_are_not_looked_at(
    run, log, store, root
):
    journal = JournalWriter(log, 0)
    newest = next(store.newest_first(0))
    store.save(msgspec.structs.replace(newest, journal=journal.digest(1)))
    journal.write(Activated(offset=115, model=None, boundary=None), 5)
    check(log, store)
    change(log, root, "UPDATE records SET append_time = 6", topic="activations")
    check(log, store)
    entry = '{"type":"activated","offset":21,"model":null,"boundary":null}'
    change(log, root, f"UPDATE records SET value = '{entry}' WHERE offset = 0", topic="activations")
    with pytest.raises(LogAlteredError, match=r"among the first 1 in activations/0 \(.*0.db"):
        check(log, store)
    store.save(newest)  # of an earlier version, which says nothing of the journal
    check(log, store)


@pytest.mark.parametrize("offset", [0, 40, 79, 109])
@pytest.mark.parametrize(
    "change_to",
    [
        "append_time = append_time + 1",
        "key = key || x'20'",
        "value = value || x'20'",
        # Nothing but where the one ends and the other begins.
        "key = key || substr(value, 1, 1), value = substr(value, 2)",
    ],
)
def test_an_altered_record_is_seen_and_its_span_told(run, log, store, root, offset, change_to):
    change(log, root, f"UPDATE records SET {change_to} WHERE offset = {offset}")
    with pytest.raises(LogAlteredError, match=r"others between offset 0 and 110 in events/0 \(/"):
        check(log, store)
    ends = [0, 40, 80, 110]
    begin = max(end for end in ends if end <= offset)
    end = min(end for end in ends if end > offset)
    with pytest.raises(LogAlteredError, match=f"between offset {begin} and {end} in events/0"):
        verify(log, store, 0)


@pytest.mark.parametrize("most", [1, 45])
def test_what_is_near_the_end_is_always_looked_at(run, log, store, root, most):
    change(log, root, "UPDATE records SET value = 'x' WHERE offset = 108")
    with pytest.raises(LogAlteredError):
        check(log, store, most)
    change(log, root, "UPDATE records SET value = 'x' WHERE offset = 39")
    with pytest.raises(LogAlteredError):
        verify(log, store, 0)


def test_a_missing_record_is_named(run, log, store, root):
    change(log, root, "DELETE FROM records WHERE offset = 57")
    for look in (check, lambda log, store: verify(log, store, 0)):
        with pytest.raises(LogError, match="got no record 57 in events/0: it was lost"):
            look(log, store)


@pytest.mark.parametrize("most", [1, MANY])
def test_the_log_of_another_stream_or_time_is_refused_however_long(tmp_path, run, store, most):
    with closing(written(tmp_path / "other", records(130, seed=8))) as other:
        JournalWriter(other, 0).write(Activated(20, None, None), 0)
        with pytest.raises(LogAlteredError, match="another partition, stream or time"):
            check(other, store, most, outputs=False)


def test_what_follows_from_the_events_is_no_loss(run, log, store, root):
    for topic in TOPICS:
        change(log, root, "DELETE FROM records", topic=topic)
    check(log, store)


def test_of_a_trimmed_log_what_is_left_is_compared(run, log, store, root):
    log.trim("events", 0, 50)
    check(log, store)
    assert verify(log, store, 0) == range(80, 110)
    change(log, root, "UPDATE records SET value = 'x' WHERE offset = 85")
    for look in (check, lambda log, store: verify(log, store, 0)):
        with pytest.raises(LogAlteredError, match="between offset 80 and 110"):
            look(log, store)


def test_checkpoints_of_an_earlier_version_tell_nothing_and_later_ones_begin_there(log, store):
    run = feed(Run(rides_shard()), RECORDS[:40])
    old = msgspec.structs.replace(checkpoint_of(run.shard, at_boundary=False), hashed=None)
    store.save(old)
    for topic, entries in run.written.items():
        log.append(topic, 0, entries)
    check(log, store)
    assert not verify(log, store, 0)
    shard = recover(lambda _: rides_shard(), 0, store, log, lambda *_: None)
    rest = Run(shard)
    rest.written = run.written
    feed(rest, RECORDS[:90])
    store.save(checkpoint_of(shard, at_boundary=False))
    for topic, entries in rest.written.items():
        log.append(topic, 0, entries, sequence=0)
    check(log, store)
    assert verify(log, store, 0) == range(40, 90)


@pytest.mark.parametrize(
    "odd", [{"end": 10**12}, {"near": -5}, {"near": 10**12}, {"first": -1}, {"first": 111}]
)
def test_a_hash_that_contradicts_its_checkpoint_tells_nothing(run, log, store, odd):
    (newest, *_) = store.newest_first(0)
    hashed = msgspec.structs.replace(newest.hashed, **odd)
    store.save(msgspec.structs.replace(newest, hashed=hashed))
    check(log, store)
    assert verify(log, store, 0) == range(80)


def test_where_messages_were_cut_and_where_it_went_on_means_nothing(store, log):
    whole = feed(Run(rides_shard()), RECORDS)
    parts = feed(Run(rides_shard()), RECORDS[:50], cut_at=(1, 2, 17))
    store.save(checkpoint_of(parts.shard, at_boundary=False))
    for topic, entries in parts.written.items():
        log.append(topic, 0, entries)
    shard = recover(lambda _: rides_shard(), 0, store, log, lambda *_: None)
    rest = Run(shard)
    rest.written = parts.written
    rest.take(Boundary(RECORDS[0].append_time))
    feed(rest, RECORDS, cut_at=(60, 61))
    assert shard.hashed.hash == whole.shard.hashed.hash
    assert (shard.hashed.first, shard.hashed.end) == (0, len(RECORDS))


def test_a_checkpoint_of_a_store_says_nothing_of_this_log(run, log, store, root):
    (newest, *_) = store.newest_first(0)
    for path in store.folder(0).iterdir():
        path.unlink()
    store.save(msgspec.structs.replace(newest, foreign=True))
    change(log, root, "DELETE FROM records WHERE offset >= 50")
    check(log, store, outputs=False)


def test_a_file_in_place_of_the_folder_is_named(run, log, store, root):
    log.close()
    path = root / "events" / "0.db"
    path.unlink()
    path.mkdir()
    with pytest.raises(LogError, match=re.escape(f"got a folder in {path}")):
        check(log, store)
