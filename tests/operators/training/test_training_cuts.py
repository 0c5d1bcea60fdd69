"""A cut is a pure function of the outcomes: the same file with the same name, however often."""

import hashlib
import subprocess
import sys
from pathlib import Path

import msgspec
import polars as pl
import pyarrow.parquet as pq
import pytest

from operators.shard.messages import Boundary, Cut
from operators.training.training_cuts import (
    SnapshotError,
    SnapshotWriter,
    TrainingCut,
    TrainingCuts,
    newest_boundary,
)
from state.log import Entry, LogError
from state.log.sqlite import SqliteLog
from tests.operators.shard_runs import Run, feed, rides_shard
from tests.rides import START_US, records, stream

RECORDS = records(150)
FIRST, SECOND = START_US + 10**12, START_US + 2 * 10**12


@pytest.fixture
def log(tmp_path):
    log = SqliteLog(tmp_path / "log")
    log.create("outcomes", 1)
    log.create("snapshots", 1)
    yield log
    log.close()


@pytest.fixture
def run(log):
    places = {100: [Boundary(FIRST)], 200: [Boundary(SECOND)]}
    run = feed(Run(rides_shard()), RECORDS, others=places)
    log.append("outcomes", 0, run.written["outcomes"])
    return run


def committed(log):
    return [msgspec.json.decode(r.value, type=TrainingCut) for r in log.read("snapshots", 0, 0)]


def write_in_a_new_log(root):
    """Write one training cut of a small run, in folders below `root`."""
    log = SqliteLog(root / "log")
    log.create("outcomes", 1)
    log.create("snapshots", 1)
    run = feed(Run(rides_shard()), RECORDS, others={100: [Boundary(FIRST)]})
    log.append("outcomes", 0, run.written["outcomes"])
    SnapshotWriter(log, stream, root).write(0, run.cuts[0])
    assert len(committed(log)) == 1
    log.close()


def test_a_cut_does_not_import_pandas(tmp_path):
    program = (
        f"import sys, pathlib; from {__name__} import write_in_a_new_log as write; "
        f"write(pathlib.Path({str(tmp_path)!r})); sys.exit('pandas' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=root).returncode == 0


def test_a_file_holds_the_outcomes_of_its_cut_as_columns(tmp_path, log, run):
    writer = SnapshotWriter(log, stream, tmp_path)
    for cut in run.cuts:
        writer.write(0, cut)
    files = [tmp_path / one.path for one in committed(log)]
    outcomes = [msgspec.json.decode(value) for value in run.values("outcomes")]
    frames = [pl.read_parquet(file) for file in files]
    assert [len(frame) for frame in frames] == [cut.end - cut.first for cut in run.cuts]
    end = run.cuts[-1].end
    assert end < len(outcomes)
    times = {"event_time": pl.Int64, "label_time": pl.Int64}
    rows = pl.concat(frames).with_columns(
        pl.col(name).dt.timestamp("us").cast(kind) for name, kind in times.items()
    )
    assert rows.to_dicts() == outcomes[:end]
    assert frames[0].schema["event_time"] == pl.Datetime("ms")
    assert frames[0].schema["car"] == pl.String
    assert frames[0].schema["fell"] == pl.Float64
    assert frames[0].schema["label"] == pl.Int64


def test_what_is_committed_tells_the_file(tmp_path, log, run):
    SnapshotWriter(log, stream, tmp_path).write(0, run.cuts[0])
    (one,) = committed(log)
    times = [
        msgspec.json.decode(v)["event_time"] for v in run.values("outcomes")[: run.cuts[0].end]
    ]
    assert one == TrainingCut(
        boundary=FIRST,
        path=f"0/{FIRST}.parquet",
        sha256=hashlib.sha256((tmp_path / f"0/{FIRST}.parquet").read_bytes()).hexdigest(),
        rows=run.cuts[0].end,
        since=min(times),
        until=max(times),
    )


def test_writing_a_cut_again_changes_nothing(tmp_path, log, run):
    writer = SnapshotWriter(log, stream, tmp_path)
    for cut in (*run.cuts, run.cuts[1], *run.cuts):
        writer.write(0, cut)
    first = (tmp_path / f"0/{FIRST}.parquet").read_bytes()
    (tmp_path / f"0/{FIRST}.parquet").unlink()
    SnapshotWriter(log, stream, tmp_path).write(0, run.cuts[0])
    assert (tmp_path / f"0/{FIRST}.parquet").read_bytes() == first
    assert [one.boundary for one in committed(log)] == [FIRST, SECOND]


def test_a_file_that_is_gone_or_altered_is_made_again_from_the_outcomes(tmp_path, log, run):
    writer = SnapshotWriter(log, stream, tmp_path)
    for cut in run.cuts:
        writer.write(0, cut)
    cuts = committed(log)
    files = {tmp_path / one.path: (tmp_path / one.path).read_bytes() for one in cuts}
    (tmp_path / cuts[0].path).unlink()
    (tmp_path / cuts[1].path).write_bytes(b"PAR1 and then nothing PAR1")
    assert [writer.mend(one) for one in cuts] == list(files)
    assert {path: path.read_bytes() for path in files} == files


def test_where_its_outcomes_are_gone_or_are_others_that_is_told(tmp_path, log, run):
    writer = SnapshotWriter(log, stream, tmp_path)
    for cut in run.cuts:
        writer.write(0, cut)
    first, second = committed(log)
    (tmp_path / second.path).unlink()
    with pytest.raises(SnapshotError, match=f"must have sha256 0.*{second.path}"):
        writer._made_again(msgspec.structs.replace(second, sha256="0"), run.cuts[1].first)
    (tmp_path / second.path).unlink()
    log.trim("outcomes", 0, first.rows + 1)
    with pytest.raises(SnapshotError, match=f"or its outcomes must exist; got .*{second.path}"):
        writer.mend(second)


def test_a_long_cut_is_written_group_by_group(tmp_path, log, run, monkeypatch):
    monkeypatch.setattr("operators.training.training_cuts._GROUP_ROWS", 7)
    SnapshotWriter(log, stream, tmp_path).write(0, run.cuts[0])
    (one,) = committed(log)
    with pq.ParquetFile(tmp_path / one.path) as file:
        assert file.num_row_groups == -(-one.rows // 7)
    rows = [msgspec.json.decode(value)["id"] for value in run.values("outcomes")[: one.rows]]
    assert pl.read_parquet(tmp_path / one.path)["id"].to_list() == rows


def test_a_cut_without_outcomes_is_an_empty_file(tmp_path, log):
    SnapshotWriter(log, stream, tmp_path).write(0, Cut(0, FIRST, 0, 0))
    (one,) = committed(log)
    frame = pl.read_parquet(tmp_path / one.path)
    assert (one.rows, one.since, one.until, len(frame)) == (0, FIRST, 0, 0)
    assert frame.columns[-1] == "since_ride"


def test_odd_letters_and_absurd_numbers_survive_the_file(tmp_path, log, run):
    outcome = msgspec.json.decode(run.values("outcomes")[0])
    odd = {"id": '\0"\\\n😀\u2028', "car": "é", "price": 1.7976931348623157e308, "wind": 5e-324}
    outcome |= odd
    log2 = SqliteLog(tmp_path / "log2")
    log2.create("outcomes", 1)
    log2.create("snapshots", 1)
    log2.append("outcomes", 0, [Entry(0, b"", msgspec.json.encode(outcome))])
    SnapshotWriter(log2, stream, tmp_path).write(0, Cut(0, FIRST, 0, 1))
    log2.close()
    row = pl.read_parquet(tmp_path / f"0/{FIRST}.parquet").row(0, named=True)
    assert [row[name] for name in odd] == list(odd.values())


def cut(boundary, rows=1, partition=0):
    return TrainingCut(boundary, f"{partition}/{boundary}.parquet", "", rows, START_US, START_US)


@pytest.fixture
def several(tmp_path):
    log = SqliteLog(tmp_path / "several")
    log.create("snapshots", 3)

    def commit(partition, *boundaries):
        cuts = [cut(b, partition=partition) for b in boundaries]
        entries = [Entry(one.boundary, b"", msgspec.json.encode(one)) for one in cuts]
        log.append("snapshots", partition, entries)

    yield TrainingCuts(log), commit
    log.close()


def due(snapshots, decided):
    snapshots.refresh()
    return snapshots.due(decided)


def test_a_boundary_is_due_once_every_partition_has_passed_it(several):
    snapshots, commit = several
    assert due(snapshots, 0) == 0
    commit(0, 10, 20)
    commit(1, 10)
    assert due(snapshots, 0) == 0
    commit(2, 20)  # without events it skipped 10
    assert due(snapshots, 0) == 10
    assert due(snapshots, 10) == 0
    commit(1, 20)
    assert due(snapshots, 10) == 20
    assert due(snapshots, 20) == 0


def test_the_newest_boundary_is_that_of_the_partition_that_is_furthest(several):
    snapshots, commit = several
    log = snapshots._log
    assert newest_boundary(log) == 0
    commit(1, 10, 20)
    commit(2, 10)
    assert newest_boundary(log) == 20
    commit(0, 20, 30)
    assert newest_boundary(log) == 30


def test_boundaries_are_decided_one_after_the_other(several):
    snapshots, commit = several
    for partition in range(3):
        commit(partition, 10, 20, 30)
    assert [due(snapshots, decided) for decided in (0, 10, 20, 30)] == [10, 20, 30, 0]


def test_a_boundary_has_all_cuts_up_to_the_first_that_reaches_it(several):
    snapshots, commit = several
    commit(0, 10, 20, 30)
    commit(1, 20)
    commit(2, 10, 30)
    snapshots.refresh()
    assert [c.boundary for c in snapshots.of(10)] == [10, 10, 20]
    assert [c.boundary for c in snapshots.of(20)] == [10, 10, 20, 20, 30]
    assert [c.boundary for c in snapshots.of(30)] == [10, 10, 20, 20, 30, 30]


@pytest.mark.parametrize("path", ["0/../../../elsewhere.parquet", "/elsewhere", "1/10.parquet", ""])
def test_a_cut_whose_file_would_lie_elsewhere_is_refused(several, path):
    snapshots, commit = several
    commit(0, 10)
    odd = msgspec.structs.replace(cut(20), path=path)
    snapshots._log.append("snapshots", 0, [Entry(20, b"", msgspec.json.encode(odd))])
    message = r"path of a cut must be '0/20.parquet'; got .* in snapshots/0 at offset 1"
    with pytest.raises(LogError, match=message):
        snapshots.refresh()
