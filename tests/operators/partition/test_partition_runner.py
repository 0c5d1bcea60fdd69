"""A partition at work: outputs, then the cut, then the checkpoint, with little in between."""

import sqlite3

import msgspec
import pytest

from operators.partition.boundaries import Boundaries
from operators.partition.decider import Decider, NewestTimes
from operators.partition.journal import JournalWriter
from operators.partition.ordered_input import OrderedInput
from operators.partition.partition_runner import PartitionRunner
from operators.partition.recovery import recover
from operators.shard.messages import Finish
from operators.shard.shard import TOPICS
from operators.training.model_registry import ModelRegistry
from operators.training.training_cuts import SnapshotWriter, newest_boundary
from state.checkpoints.store import CheckpointStore
from state.log import Entry, SequenceConflictError, newest_append_time
from state.log.sqlite import SqliteLog
from tests.fixed_pace import FixedPace
from tests.operators.shard_runs import Run, feed, rides_shard
from tests.rides import HOUR_US, START_US, records, stream

RECORDS = records(150)
OUTPUTS = (*TOPICS, "snapshots", "activations")


@pytest.fixture
def root(tmp_path):
    log = SqliteLog(tmp_path / "log")
    for topic in ("events", "models", *OUTPUTS):
        log.create(topic, 1)
    log.append("events", 0, [Entry(*record[1:]) for record in RECORDS])
    log.close()
    return tmp_path


@pytest.fixture
def log(root):
    log = SqliteLog(root / "log")
    yield log
    log.close()


def live(root, log, *, every=5, batch=20, most_in_flight=10**9):
    """A partition that checkpoints after so many messages, without a wait for training."""
    store = CheckpointStore(root / "checkpoints")
    shard = recover(lambda _: rides_shard(), 0, store, log, lambda model, _: pytest.fail(model))
    journal = JournalWriter(log, 0)
    source = OrderedInput(
        log,
        journal,
        shard.position,
        settings_of=pytest.fail,
        batch=batch,
        boundaries=Boundaries(START_US, HOUR_US),
    )
    decider = Decider(
        log,
        journal,
        source,
        decisions=ModelRegistry(log),
        load=pytest.fail,
        wanted=lambda: None,
        newest=NewestTimes(lambda: newest_append_time(log, "events"), lambda: newest_boundary(log)),
        wait=False,
        tell=pytest.fail,
    )
    count = iter(range(1, 10**9))
    return PartitionRunner(
        shard,
        source,
        log,
        decider=decider,
        load=lambda model, _: pytest.fail(model),
        snapshots=SnapshotWriter(log, stream, root / "snapshots"),
        checkpoints=store,
        pace=FixedPace(lambda: next(count) % every == 0),
        most_in_flight=most_in_flight,
    )


def write(partition, message):
    processed = partition.process(message)
    partition.commit(processed)
    partition.settle(processed)


def run(partition, most=10**9):
    done = 0
    while done < most and (message := partition.poll()) is not None:
        write(partition, message)
        done += 1
    return done


def stored(log, topic):
    return [record[2:] for record in log.read(topic, 0, 0, max_records=10**6)]


def everything(root, log):
    files = {p.name: p.read_bytes() for p in (root / "snapshots").rglob("*.parquet")}
    return {topic: stored(log, topic) for topic in OUTPUTS}, files


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The outputs of an uninterrupted run."""
    other = tmp_path_factory.mktemp("whole")
    log = SqliteLog(other / "log")
    for topic in ("events", "models", *OUTPUTS):
        log.create(topic, 1)
    log.append("events", 0, [Entry(*record[1:]) for record in RECORDS])
    run(live(other, log))
    written = everything(other, log)
    log.close()
    return written


def test_what_is_written_is_what_the_shard_emits(root, log, whole):
    written, files = whole
    alone = feed(Run(rides_shard()), RECORDS)
    assert len(files) > 3
    for topic in TOPICS:
        assert written[topic] == [entry[1:] for entry in alone.written[topic]]


@pytest.mark.parametrize("every_s", [0.0, 0.002, 3_600.0])
def test_commits_beside_the_processing_write_the_same_bytes(root, log, whole, every_s):
    partition = live(root, log, every=3)
    partition.commit_beside(every_s)
    run(partition)
    write(partition, Finish())
    assert everything(root, log) == whole
    assert live(root, log).at_end()
    assert next(CheckpointStore(root / "checkpoints").newest_first(0)).offset == len(RECORDS)


def test_commits_beside_the_processing_bound_what_is_in_flight(root, log):
    partition = live(root, log, most_in_flight=1)
    partition.commit_beside(3_600.0)
    for _ in range(3):  # the first commit may begin at once, the second waits for its time
        run(partition)
    assert 0 < partition.shard.position.offset <= 2 * 20
    assert not partition.at_end()


def test_an_error_of_a_commit_beside_the_processing_stops_the_partition(root, log):
    wanted = live(root, log)
    log.append("predictions", 0, [Entry(1, b"", b"of another run")])
    wanted.commit_beside(0.0)
    with pytest.raises(SequenceConflictError, match="key must equal the stored"):
        run(wanted)


@pytest.mark.parametrize("stop", [0, 1, 4, 9, 17, 26])
@pytest.mark.parametrize("lost", ["nothing", "append", "checkpoint"])
def test_a_run_killed_anywhere_and_started_again_writes_the_same_bytes(
    root, log, whole, stop, lost
):
    partition = live(root, log, every=3)
    run(partition, stop)
    message = partition.poll()
    if lost != "append" and message is not None:
        processed = partition.process(message)
        if lost == "checkpoint":
            processed = processed._replace(checkpoint=None)
        partition.commit(processed)
    again = live(root, log, every=7, batch=33)
    run(again)
    assert again.at_end()
    assert everything(root, log) == whole


def test_an_append_torn_between_topics_is_completed(root, log, whole):
    partition = live(root, log, every=1000)
    run(partition, 6)
    emitted = next(
        e for e in iter(lambda: partition.process(partition.poll()).emitted, None) if e.entries
    )
    topic, (sequence, entries) = next(iter(emitted.entries.items()))
    log.append(topic, 0, entries[: len(entries) // 2 + 1], sequence=sequence)
    run(live(root, log))
    assert everything(root, log) == whole


def test_a_run_without_its_checkpoints_arrives_at_the_same_bytes(root, log, whole):
    run(live(root, log))
    for path in (root / "checkpoints").rglob("*.ckpt"):
        path.unlink()
    run(live(root, log, batch=7))
    assert everything(root, log) == whole


def test_what_a_crash_left_of_a_file_goes_with_the_next_of_its_kind(root, log):
    left = [root / kind / "0" / ".5.x.77.part" for kind in ("snapshots", "checkpoints")]
    for path in left:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"half")
    run(live(root, log))
    assert not any(path.exists() for path in left)


def test_a_journal_that_lost_its_last_record_gets_it_again(root, log, whole):
    run(live(root, log))
    with sqlite3.connect(root / "log" / "activations" / "0.db") as database:
        database.execute("DELETE FROM records WHERE offset = (SELECT max(offset) FROM records)")
    database.close()
    run(live(root, log))
    assert everything(root, log) == whole


def test_a_clock_that_was_set_back_moves_no_boundary_and_a_killed_run_repeats_it(tmp_path):
    def back_by(us):
        return [
            Entry(append_time - us * (offset >= 75), key, value)
            for offset, append_time, key, value in RECORDS
        ]

    written = {}
    for name, stops in (("alone", []), ("killed", [2, 5, 9])):
        home = tmp_path / name
        log = SqliteLog(home / "log")
        for topic in ("events", "models", *OUTPUTS):
            log.create(topic, 1)
        log.append("events", 0, back_by(2 * HOUR_US))
        for stop in stops:
            run(live(home, log, every=3), stop)
        run(live(home, log))
        written[name] = everything(home, log)
        cuts = [msgspec.json.decode(value)["boundary"] for _, value in stored(log, "snapshots")]
        assert cuts == sorted(set(cuts))
        log.close()
    assert written["killed"] == written["alone"]


def test_checkpoints_are_made_when_due_at_every_boundary_and_at_the_end(root, log):
    partition = live(root, log, every=10**6)
    run(partition)
    write(partition, Finish())
    kept = list(CheckpointStore(root / "checkpoints").newest_first(0))
    boundaries = [msgspec.json.decode(value)["boundary"] for _, value in stored(log, "snapshots")]
    assert [c.boundary for c in kept if c.at_boundary] == boundaries[::-1]
    assert kept[0].offset == len(RECORDS)
    assert not kept[0].at_boundary
    assert live(root, log).shard.position.offset == len(RECORDS)


def test_reading_waits_while_too_much_is_on_its_way(root, log):
    partition = live(root, log, batch=10, most_in_flight=5_000)
    sizes, waiting = [], []
    while (message := partition.poll()) is not None:
        waiting.append(partition.process(message))
        sizes.append(waiting[-1].size)
    assert 5_000 <= sum(sizes) < 5_000 + max(sizes)
    assert not partition.at_end()
    while (message := partition.poll()) is None:
        partition.commit(waiting.pop(0))
    assert waiting
    waiting.append(partition.process(message))
    for processed in waiting:
        partition.commit(processed)
    while (message := partition.poll()) is not None:
        partition.commit(partition.process(message))
    assert partition.at_end()


def test_one_record_larger_than_the_bound_still_passes(root, log):
    assert run(live(root, log, batch=1, most_in_flight=1)) >= len(RECORDS)


def test_what_came_last_is_in_a_checkpoint_soon_though_nothing_follows(root, log):
    due = False
    partition = live(root, log)
    partition._pace = FixedPace(lambda: due)
    run(partition)
    store = CheckpointStore(root / "checkpoints")
    end = log.end("events", 0)
    assert store.newest_offset(0) < end
    assert partition.poll() is None
    due = True
    run(partition)
    assert store.newest_offset(0) == end
    assert partition.poll() is None  # and only once
