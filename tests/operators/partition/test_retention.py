"""Deleted records are never needed: recovery and replay of the rest write the same bytes."""

from itertools import islice

import pytest

from operators.partition.retention import first_kept
from operators.shard.shard import TOPICS
from state.checkpoints.store import Checkpoint, CheckpointStore
from state.log import EVENTS, Entry
from state.log.sqlite import SqliteLog
from tests.operators.partition.test_partition_runner import OUTPUTS, live, run
from tests.operators.shard_runs import rides_shard
from tests.rides import records

RECORDS = records(300)
SHAPE = rides_shard().shape
END = RECORDS[-1].append_time + 1


def filled(root):
    log = SqliteLog(root / "log")
    for topic in (EVENTS, "models", *OUTPUTS):
        log.create(topic, 1)
    log.append(EVENTS, 0, [Entry(*record[1:]) for record in RECORDS])
    return log


def files(root):
    return {path.name: path.read_bytes() for path in (root / "snapshots").rglob("*.parquet")}


@pytest.fixture
def log(tmp_path):
    log = filled(tmp_path)
    yield log
    log.close()


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints")


def outputs(log):
    return {
        topic: {r.offset: r[2:] for r in log.read(topic, 0, log.start(topic, 0), max_records=10**6)}
        for topic in OUTPUTS
    }


def trim(log, kept):
    for topic, first in kept.items():
        log.trim(topic, 0, first)


def test_without_a_checkpoint_all_is_kept(log, store):
    assert first_kept(log, store, SHAPE, END) == [{}]


def test_checkpoints_of_another_shape_do_not_count(log, store, tmp_path):
    run(live(tmp_path, log))
    assert first_kept(log, store, "other", END) == [{}]


def test_a_single_checkpoint_is_not_relied_on_as_it_may_be_lost(log, store, tmp_path):
    run(live(tmp_path, log))
    newest, *others = sorted((tmp_path / "checkpoints" / "0").iterdir(), reverse=True)
    assert first_kept(log, store, SHAPE, END) != [{}]
    for path in others:
        path.unlink()
    assert [newest] == [*(tmp_path / "checkpoints" / "0").iterdir()]
    assert first_kept(log, store, SHAPE, END) == [{}]


def test_what_came_after_the_time_is_kept_and_all_since_the_boundary_before(log, store, tmp_path):
    run(live(tmp_path, log, every=1))
    boundaries = list(store.newest_first(0, at_boundary=True))
    assert len(boundaries) > 4
    for time in (RECORDS[i].append_time for i in range(50, len(RECORDS) - 100, 40)):
        (kept,) = first_kept(log, store, SHAPE, time)
        first = next(record.offset for record in RECORDS if record.append_time >= time)
        newest = max(c.offset for c in boundaries if c.offset <= first)
        assert kept[EVENTS] == newest
        fork = next(c for c in boundaries if c.offset == newest)
        for topic in TOPICS:
            assert kept[topic] <= fork.counters[topic]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Outputs and files of an uninterrupted run."""
    root = tmp_path_factory.mktemp("whole")
    log = filled(root)
    run(live(root, log))
    written = outputs(log)
    log.close()
    return written, files(root)


@pytest.mark.parametrize(("stop", "lost"), [(30, 0), (31, 2), (34, 1), (38, 2), (10**9, 2)])
def test_a_run_goes_on_after_a_trim_even_if_the_newest_checkpoints_are_lost(
    log, store, tmp_path, whole, stop, lost
):
    run(live(tmp_path, log), stop)
    (kept,) = first_kept(log, store, SHAPE, END)
    assert kept[EVENTS] > 0
    trim(log, kept)
    newest = sorted((tmp_path / "checkpoints" / "0").iterdir(), reverse=True)
    for path in islice(newest, lost):
        path.write_bytes(b"torn")
    run(live(tmp_path, log))
    for topic, written in outputs(log).items():
        first = log.start(topic, 0)
        assert written == {n: value for n, value in whole[0][topic].items() if n >= first}
    assert files(tmp_path) == whole[1]


def test_partitions_keep_what_follows_from_a_boundary_that_all_have(tmp_path, store):
    """One is far behind: what the other needs for a replay from there stays."""
    log = SqliteLog(tmp_path / "log")
    for topic in (EVENTS, *OUTPUTS):
        log.create(topic, 2)
    for partition in (0, 1):
        log.append(EVENTS, partition, [Entry(i, b"", b"{}") for i in range(100)])
        for topic in OUTPUTS:
            if topic not in {"snapshots", "activations"}:
                log.append(topic, partition, [Entry(i, b"", b"{}") for i in range(100)])

    def save(partition, offset, boundary):
        counters = dict.fromkeys(TOPICS, offset)
        store.save(Checkpoint(SHAPE, partition, offset, counters, boundary, True, shard=b""))

    for offset, boundary in ((20, 2), (40, 4), (60, 6), (80, 8)):
        save(0, offset, boundary)
    for offset, boundary in ((25, 2), (45, 4)):
        save(1, offset, boundary)
    kept = first_kept(log, store, SHAPE, 90)
    assert [of[EVENTS] for of in kept] == [20, 25]
    assert [of["metrics"] for of in kept] == [20, 25]
    assert [of["outcomes"] for of in kept] == [0, 0], "no cut was committed"
    log.close()
