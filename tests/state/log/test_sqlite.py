import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from state.log import Entry, LogError, OffsetError
from state.log.sqlite import SqliteLog
from tests.other_user import AS_OTHER, let_all_read, need_another_user, run_as_other
from tests.state.log_contract import LogContract, TrimContract, child, entries, values


@pytest.fixture
def root(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def opening(root):
    return f"""
from pathlib import Path
from state.log.sqlite import SqliteLog
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
        "import sys; from pathlib import Path; from state.log.sqlite import SqliteLog\n"
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
    import state.log.sqlite
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


@pytest.mark.parametrize("count", [-1, 0, 10_002, 10**9, 2**63])
def test_a_topic_of_an_impossible_number_of_partitions_is_refused(root, log, count):
    (root / "t" / "topic.json").write_text(f'{{"format":1,"partitions":{count}}}')
    with pytest.raises(LogError, match="topic file must be readable; got 'Expected `int`"):
        log.partitions("t")


def test_a_topic_file_that_leaves_out_partitions_is_told_and_hides_none(root, log):
    log.create("u", 3)
    for count in (1, 2):
        (root / "u" / "topic.json").write_text(f'{{"format":1,"partitions":{count}}}')
        with pytest.raises(
            LogError, match=rf"got {count} in .*topic.json, but {count}.db is there"
        ):
            log.partitions("u")


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


def delete(root, rows):
    with closing(sqlite3.connect(root / "t" / "0.db")) as database, database:
        database.execute(f"DELETE FROM records WHERE {rows}")


@pytest.mark.parametrize("lost", [1, 3, 4])
def test_a_record_that_was_lost_in_the_middle_is_named_and_nothing_is_read_twice(root, log, lost):
    log.append("t", 0, entries(b"a", b"b", b"c", b"d", b"e", b"f"))
    delete(root, f"offset = {lost}")
    for first in (0, lost):
        with pytest.raises(LogError, match=rf"got no record {lost} in t/0: it was lost"):
            log.read("t", 0, first)
    assert [record.offset for record in log.read("t", 0, 0, max_records=1)] == [0]
    assert [record.offset for record in log.read("t", 0, 5)] == [5]


def test_what_was_written_by_hand_as_text_is_read_as_bytes(root, log):
    log.append("t", 0, entries(b"a", b"b"))
    with closing(sqlite3.connect(root / "t" / "0.db")) as database, database:
        database.execute("UPDATE records SET value = 'x', key = 7, append_time = 'soon'")
    assert [record[1:] for record in log.read("t", 0, 0)] == [(0, b"7", b"x")] * 2
    assert log.append("t", 0, entries(b"c")) == 3


def test_a_lost_topic_file_is_named(root, log):
    (root / "t" / "topic.json").unlink()
    with pytest.raises(LogError, match=r"got none in .*topic\.json: restore it"):
        log.partitions("t")


@pytest.mark.parametrize("done", ["moved", "removed", "replaced"])
def test_a_file_that_is_no_longer_in_its_place_is_an_error_for_readers_and_writers(root, log, done):
    path = root / "t" / "0.db"
    log.append("t", 0, entries(b"a"))
    path.rename(path.with_name("elsewhere"))
    if done == "removed":
        path.with_name("elsewhere").unlink()
    if done == "replaced":
        path.write_bytes(b"")
    with pytest.raises(LogError, match=rf"while it is (in use|read); got .*{path}"):
        log.append("t", 0, entries(b"b"))
    with pytest.raises(LogError, match=rf"while it is (in use|read); got .*{path}"):
        log.end("t", 0)


@pytest.mark.parametrize("content", [None, b""])
def test_lost_files_are_made_anew_where_that_is_asked_for_and_others_stay(root, log, content):
    log.create("u", 3)
    for partition in range(3):
        log.append("u", partition, entries(b"a"))
    log.close()
    path = root / "u" / "1.db"
    with closing(sqlite3.connect(path)) as database, database:
        # Files left by a killed writer must not be used with the new file.
        database.execute("UPDATE records SET value = 'b'")
        left = path.with_name("1.db-wal").read_bytes()
    path.unlink()
    path.with_name("1.db-wal").write_bytes(left)
    if content is not None:
        path.write_bytes(content)
    (root / "u" / "topic.json").unlink()
    assert log.remake("u", 3) == [1]
    assert [log.end("u", partition) for partition in range(3)] == [1, 0, 1]
    assert log.append("u", 1, entries(b"c")) == 1
    assert log.remake("u", 3) == []
    assert sorted(p.name for p in root.iterdir()) == ["t", "u"]


@pytest.mark.parametrize(
    ("made", "said"), [("nothing", "it is lost"), ("folder", "a folder"), ("empty", "is empty")]
)
def test_what_is_there_in_place_of_a_file_is_said(root, log, made, said):
    path = root / "t" / "0.db"
    path.unlink()
    if made == "folder":
        path.mkdir()
    if made == "empty":
        path.touch()
    with pytest.raises(LogError, match=rf"{said}.*0\.db|0\.db: .*{said}"):
        log.end("t", 0)


@pytest.fixture
def public():
    """A folder that other users may enter."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def written_and_killed(root):
    """A log whose writer has left its newest record in the WAL."""
    code = f"""
import os
from pathlib import Path
from state.log import Entry
from state.log.sqlite import SqliteLog
log = SqliteLog(Path({str(root)!r}))
log.create("t", 1)
log.append("t", 0, [Entry(0, b"", b"a")])
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (root / "t" / "0.db-wal").stat().st_size > 0


READ = """
import sys
from pathlib import Path
from state.log import Entry
from state.log.sqlite import SqliteLog
log = SqliteLog(Path(sys.argv[1]))
print(log.start("t", 0), log.end("t", 0), [r.value for r in log.read("t", 0, 0)], log.check("t", 0))
try:
    log.append("t", 0, [Entry(0, b"", b"b")])
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize("left", ["closed", "killed", "killed, index lost", "at work"])
def test_who_may_not_write_reads_all_that_there_is_and_cannot_append(public, left):
    root = public / "log"
    written_and_killed(root)
    writer = SqliteLog(root)
    if left in {"closed", "at work"}:
        writer.end("t", 0)
    if left == "closed":
        writer.close()
        assert not (root / "t" / "0.db-wal").exists()
    if left == "killed, index lost":
        (root / "t" / "0.db-shm").unlink()
    let_all_read(root)
    before = sorted(path.name for path in (root / "t").iterdir())
    done = run_as_other(["-c", READ, str(root)], public)
    writer.close()
    said, refused = done.stdout.splitlines()
    assert (said, done.stderr) == ("0 1 [b'a'] range(0, 1)", "")
    assert refused.startswith("log file must be readable and writable; got 'attempt to write a rea")
    assert f"in {root}/t/0.db" in refused
    if left != "at work":
        assert sorted(path.name for path in (root / "t").iterdir()) == before


def test_who_may_not_write_sees_what_a_writer_adds_that_comes_later(public):
    need_another_user()
    root = public / "log"
    log = SqliteLog(root)
    log.create("t", 1)
    log.append("t", 0, entries(b"a"))
    log.close()
    read = """
import sys
from pathlib import Path
from state.log.sqlite import SqliteLog
log = SqliteLog(Path(sys.argv[1]))
for _ in sys.argv:
    print(log.end("t", 0), flush=True)
    sys.stdin.readline()
"""
    let_all_read(root)
    with subprocess.Popen(
        [*AS_OTHER, sys.executable, "-c", read, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdout.readline() == "1\n"
        (root / "t").chmod(0o755)
        (root / "t" / "0.db").chmod(0o644)
        assert log.append("t", 0, entries(b"b")) == 2
        reader.stdin.write("\n")
        reader.stdin.flush()
        assert reader.stdout.readline() == "2\n"
        reader.kill()
    log.close()


def test_many_processes_may_make_lost_files_anew_at_once(opening, root, log):
    log.create("u", 4)
    for partition in range(4):
        (root / "u" / f"{partition}.db").unlink()
    script = "log.remake('u', 4); [log.append('u', p, [Entry(0, b'', b'a')]) for p in range(4)]"
    with child(opening, script) as one, child(opening, script) as two, child(opening, script) as it:
        assert [process.wait() for process in (one, two, it)] == [0, 0, 0]
    assert [log.end("u", partition) for partition in range(4)] == [3] * 4


def test_an_offset_that_no_append_gave_is_told(root, log):
    log.append("t", 0, entries(b"a", b"b"))
    with closing(sqlite3.connect(root / "t" / "0.db")) as database, database:
        database.execute("INSERT INTO records VALUES (?, 0, x'', x'')", (2**63 - 1,))
    with pytest.raises(LogError, match="every offset"):
        log.read("t", 0, 0)
    with pytest.raises(LogError, match="every offset"):
        log.check("t", 0)
