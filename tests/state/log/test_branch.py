"""A branch is a log like any other, and never writes below its fork."""

import pytest

from state.log import Entry, LogError, OffsetError, SequenceConflictError, offset_at
from state.log.branch import BranchLog
from state.log.sqlite import SqliteLog
from tests.state.log_contract import LogContract, entries, values


class TestBranchLogAtTheHead(LogContract):
    @pytest.fixture
    def opening(self, tmp_path):
        return f"""
from pathlib import Path
from state.log.branch import BranchLog
from state.log.sqlite import SqliteLog
root = Path({str(tmp_path)!r})
log = BranchLog(SqliteLog(root / "base"), SqliteLog(root / "own"), {{}})
"""


@pytest.fixture
def base(tmp_path):
    log = SqliteLog(tmp_path / "base")
    for topic in ("events", "t"):
        log.create(topic, 1)
        log.append(topic, 0, entries(b"a", b"b", b"c", b"d", at=10))
    yield log
    log.close()


@pytest.fixture
def own(tmp_path):
    log = SqliteLog(tmp_path / "own")
    log.create("t", 1)
    yield log
    log.close()


@pytest.fixture
def branch(base, own):
    return BranchLog(base, own, {"events": [3], "t": [2]})


def read_all(log, topic):
    found, offset = [], log.start(topic, 0)
    while records := log.read(topic, 0, offset):
        found += records
        offset += len(records)
    return found


def test_it_goes_on_from_the_fork_with_its_own_records(branch, base):
    assert branch.end("t", 0) == 2
    assert branch.append("t", 0, entries(b"x", b"y", at=20), sequence=2) == 4
    found = read_all(branch, "t")
    assert values(found) == [b"a", b"b", b"x", b"y"]
    assert [record.offset for record in found] == [0, 1, 2, 3]
    assert values(read_all(base, "t")) == [b"a", b"b", b"c", b"d"]


def test_numbered_entries_below_the_fork_must_equal_the_base_s(branch):
    assert branch.append("t", 0, entries(b"b", b"x"), sequence=1) == 3
    assert branch.append("t", 0, entries(b"a", b"b"), sequence=0) == 2
    assert values(read_all(branch, "t")) == [b"a", b"b", b"x"]
    with pytest.raises(SequenceConflictError, match="stored b'a'; got b'z'"):
        branch.append("t", 0, entries(b"z"), sequence=0)


def test_append_times_do_not_run_back_behind_the_base_s(branch):
    branch.append("t", 0, [Entry(5, b"", b"x")], sequence=2)
    assert branch.read("t", 0, 2)[0].append_time == 11


def test_events_are_the_base_s_up_to_the_end_of_the_branch(branch):
    assert branch.end("events", 0) == 3
    assert values(branch.read("events", 0, 1)) == [b"b", b"c"]
    assert branch.read("events", 0, 3) == []
    with pytest.raises(OffsetError, match="log ends at offset 3, asked for 4"):
        branch.read("events", 0, 4)
    with pytest.raises(LogError, match="events of a branch must be its base's; got 1"):
        branch.append("events", 0, entries(b"x"))


def test_errors_count_offsets_as_the_branch_does(branch):
    branch.append("t", 0, entries(b"x"), sequence=2)
    with pytest.raises(OffsetError, match="log ends at offset 3, asked for 9"):
        branch.read("t", 0, 9)


def test_a_base_that_goes_on_does_not_show(branch, base):
    base.append("t", 0, entries(b"e", at=30))
    base.append("events", 0, entries(b"e", at=30))
    assert values(read_all(branch, "t")) == [b"a", b"b"]
    assert branch.end("events", 0) == 3


@pytest.mark.parametrize(("time", "offset"), [(0, 0), (10, 0), (11, 1), (13, 3), (14, 4)])
def test_an_offset_is_found_by_append_time(base, time, offset):
    assert offset_at(base, "t", 0, time) == offset
