import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest

from state.log import Entry, LogError, OffsetError
from state.sqlite_log import SqliteLog
from tests.state.log_contract import LogContract, TrimContract, child, entries, values


@pytest.fixture
def root(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def opening(root):
    return f"""
from pathlib import Path
from state.sqlite_log import SqliteLog
log = SqliteLog(Path({str(root)!r}))
"""


class TestSqliteLog(LogContract, TrimContract):
    @pytest.fixture
    def opening(self, opening):
        return opening


@pytest.fixture
def log(root):
    log = SqliteLog(root)
    log.create("t", 1)
    yield log
    log.close()


def test_writers_in_several_processes_keep_each_append_whole(opening, log):
    script = "for _ in range(30): log.append('t', 0, [Entry(0, b'', b'{}')] * 100)"
    with child(opening, script.format("one")) as one, child(opening, script.format("two")) as two:
        assert (one.wait(), two.wait()) == (0, 0)
    stored = values(log.read("t", 0, 0, max_records=10_000))
    appends = [set(stored[i : i + 100]) for i in range(0, len(stored), 100)]
    assert sorted(map(sorted, appends)) == [[b"one"]] * 30 + [[b"two"]] * 30


def test_many_processes_may_create_a_topic_at_once(root):
    code = (
        "import sys; from pathlib import Path; from state.sqlite_log import SqliteLog\n"
        "log = SqliteLog(Path(sys.argv[1])); log.create('u', 5); print(log.partitions('u'))"
    )
    command = [sys.executable, "-c", code, str(root)]
    makers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    assert [maker.communicate()[0] for maker in makers] == [b"5\n"] * 4
    assert sorted(path.name for path in root.iterdir()) == ["u"]


def test_history_cut_off_at_the_beginning_is_an_error_not_a_skip(root, log):
    log.append("t", 0, entries(b"a", b"b", b"c"))
    with closing(sqlite3.connect(root / "t" / "0.db")) as database, database:
        database.execute("DELETE FROM records WHERE offset < 2")
    assert log.start("t", 0) == 2
    assert values(log.read("t", 0, 2)) == [b"c"]
    with pytest.raises(OffsetError, match="starts at offset 2, asked for 1"):
        log.read("t", 0, 1)
    with pytest.raises(OffsetError, match="starts at offset 2, asked for 1"):
        log.append("t", 0, entries(b"b"), sequence=1)


def size(root):
    return sum(path.stat().st_size for path in (root / "t").glob("0.db*"))


def test_trimming_gives_the_space_back(root, log):
    for _ in range(20):
        log.append("t", 0, [Entry(0, b"", bytes(1000))] * 1000)
    before = size(root)
    assert before > 20_000_000
    log.trim("t", 0, 18_000)
    assert size(root) < before / 5
    assert log.check("t", 0) == range(18_000, 20_000)


def test_a_writer_and_a_reader_go_on_while_the_log_is_trimmed(opening, log):
    script = """
    for batch in range(60):
        log.append("t", 0, [Entry(0, b"", b"%d" % (batch * 1000 + i)) for i in range(1000)])
    """
    offset, trimmed = 0, 0
    with child(opening, script) as writer:
        while offset < 60_000:
            records = log.read("t", 0, offset)
            assert values(records) == [b"%d" % i for i in range(offset, offset + len(records))]
            offset += len(records)
            if offset - trimmed > 5000:
                trimmed = log.trim("t", 0, offset - 2000)
        assert writer.wait() == 0
    assert trimmed > 50_000
    assert log.check("t", 0) == range(trimmed, 60_000)


def test_kill_minus_nine_amid_a_trim_leaves_the_newest_records_whole(opening, log):
    for _ in range(8):
        log.append("t", 0, [Entry(0, b"", bytes(500))] * 5000)
    script = """
    import state.sqlite_log
    state.sqlite_log._TRIM_RECORDS, state.sqlite_log._TRIM_PAGES = 500, 10
    print("trimming", flush=True)
    log.trim("t", 0, {})
    """
    starts = []
    for before, wait in ((10_000, 0.0), (20_000, 0.03), (39_000, 0.1)):
        with child(opening, script.format(before)) as trimmer:
            trimmer.stdout.readline()
            with suppress(subprocess.TimeoutExpired):
                trimmer.wait(timeout=wait)
        held = log.check("t", 0)
        assert held.start <= before
        assert held.stop == 40_000
        starts.append(held.start)
    assert starts == sorted(starts)
    assert log.trim("t", 0, 39_000) == 39_000
    assert log.check("t", 0) == range(39_000, 40_000)


def test_a_file_that_is_no_database_is_named(root, log):
    path = root / "t" / "0.db"
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(LogError, match=r"not a database.* in .*0\.db"):
        log.read("t", 0, 0)


def test_a_lost_file_is_named_and_not_made_anew(root, log):
    path = root / "t" / "0.db"
    path.unlink()
    with pytest.raises(LogError, match=r"unable to open .* in .*0\.db"):
        log.end("t", 0)
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b'{"format":9,"partitions":1}', "log format must be 1; got 9"), (b"{", "readable; got")],
)
def test_a_topic_of_another_format_is_refused(root, log, content, message):
    (root / "t" / "topic.json").write_bytes(content)
    with pytest.raises(LogError, match=rf"{message}.*topic\.json"):
        log.partitions("t")


def test_a_full_disk_names_the_file_and_leaves_the_log_whole(opening, root, log):
    log.append("t", 0, entries(b"a"))
    code = f"""{opening}
import resource
from state.log import Entry, LogError
log.end("t", 0)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
try:
    log.append("t", 0, [Entry(0, b"", bytes(1000))] * 5000)
except LogError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.append("t", 0, [Entry(0, b"", b"b")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("log file must be readable and writable; got '")
    assert done.stdout.endswith(f"in {root / 't' / '0.db'}\n")
    assert values(log.read("t", 0, 0)) == [b"a", b"b"]


def test_a_log_may_lie_at_a_relative_path_with_odd_letters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = SqliteLog(Path("a b?#%é"))
    log.create("t", 1)
    assert log.append("t", 0, [Entry(0, b"", b"a")]) == 1
    log.close()
