"""Several files come into the log as if their events had come together."""

import random

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.__main__ import main
from flows.home.home import environment_home
from flows.ingest import File, ingest_merged
from flows.intake.event_files import read_lines
from flows.intake.merged_files import MOST_OPEN, TimedFile, merged
from operators.shard.shard import Shard
from state.log.sqlite import SqliteLog
from state.settings import Settings
from tests.asks import ask, encode, minute, plain, tell
from tests.operators.shard_runs import Run, feed


@pytest.fixture
def log(tmp_path):
    log = SqliteLog(tmp_path / "log")
    log.create("events", 1)
    yield log
    log.close()


def file(folder, name, *events):
    path = folder / name
    path.write_bytes(b"".join(encode(event) + b"\n" for event in events))
    return File(name, lambda: read_lines(path))


def taken(log, *files, **changes):
    counts = ingest_merged(log, files, plain.peek(), now=minute(10_000), **changes)
    return counts, log.read("events", 0, 0, max_records=10**6)


def ids(records):
    return [msgspec.json.decode(record.value)["id"] for record in records]


def test_labels_in_another_file_come_after_their_requests(log, tmp_path):
    asks = [ask(f"a{n}", n) for n in range(0, 90, 3)]
    tells = [tell(f"a{n}", n + 2, name=f"t{n}") for n in range(0, 90, 3)]
    counts, records = taken(log, file(tmp_path, "t", *tells), file(tmp_path, "a", *asks))
    assert counts == [30, 30]
    assert ids(records) == [f"{kind}{n}" for n in range(0, 90, 3) for kind in "at"]
    assert [one.append_time for one in records] == [
        minute(n + x) for n in range(0, 90, 3) for x in (0, 2)
    ]


def test_events_of_one_time_come_in_the_order_of_the_files_and_in_each_in_its_own(log, tmp_path):
    files = [file(tmp_path, x, *(ask(f"{x}{n}", n // 3) for n in range(9))) for x in "cab"]
    _, records = taken(log, *files)
    wanted = [
        f"{x}{n}" for third in range(3) for x in "cab" for n in range(3 * third, 3 * third + 3)
    ]
    assert ids(records) == wanted


def test_one_file_is_as_it_was_alone_and_files_that_do_not_overlap_are_one_after_the_other(
    log, tmp_path
):
    jumpy = [ask(f"a{n}", n if n % 7 else n + 60) for n in range(60)]
    later = [ask(f"b{n}", 200 + n) for n in range(20)]
    _, records = taken(log, file(tmp_path, "b", *later), file(tmp_path, "a", *jumpy))
    alone = SqliteLog(tmp_path / "alone")
    alone.create("events", 1)
    for name, events in (("x", jumpy), ("y", later)):
        taken(alone, file(tmp_path, name, *events))
    assert alone.read("events", 0, 0, max_records=99) == records
    alone.close()


def test_what_the_log_holds_already_lifts_append_times_and_leaves_the_order(log, tmp_path):
    taken(log, file(tmp_path, "new", ask("new", 500)))
    asks = file(tmp_path, "a", ask("a", 1), ask("b", 5))
    tells = file(tmp_path, "t", tell("a", 2, name="ta"), tell("b", 6, name="tb"))
    _, records = taken(log, asks, tells)
    assert ids(records) == ["new", "a", "ta", "b", "tb"]
    assert {record.append_time for record in records} == {minute(500)}


def test_lines_that_are_no_events_stay_behind_the_line_before_them(log, tmp_path):
    path = tmp_path / "odd"
    path.write_bytes(b"x\n" + encode(ask("a", 5)) + b"\ny\n" + encode(ask("c", 9)) + b"\nz")
    odd = File("odd", lambda: read_lines(path))
    counts, records = taken(log, file(tmp_path, "b", ask("b", 6)), odd, file(tmp_path, "none"))
    assert counts == [1, 5, 0]
    names = [r.value if len(r.value) == 1 else ids([r])[0] for r in records]
    assert names == [b"x", "a", b"y", "b", "c", b"z"]


def test_a_value_from_the_future_is_told_once_and_of_its_file(log, tmp_path):
    told = []
    odd = file(tmp_path, "odd", ask("far", 20_000), ask("near", 3))
    odd = odd._replace(on_ahead=lambda value, time: told.append((ids_of(value), time)))
    taken(log, odd, file(tmp_path, "other", ask("other", 1)))
    assert told == [("far", minute(20_000))]


def ids_of(value):
    return msgspec.json.decode(value)["id"]


def test_any_files_give_what_a_sort_by_time_gives():
    chance = random.Random(3)
    for _ in range(50):
        files = [sorted(chance.choices(range(20), k=chance.randrange(9))) for _ in range(5)]
        given = [
            TimedFile(str(n), times[0] if times else 0, lambda times=times, n=n: made(times, n))
            for n, times in enumerate(files)
        ]
        everything = [One(time, n, i) for n, f in enumerate(files) for i, time in enumerate(f)]
        wanted = sorted(everything, key=lambda one: (one.append_time, one.file, one.place))
        assert [one for _, one in merged(given)] == wanted


class One(msgspec.Struct, frozen=True):
    append_time: int
    file: int
    place: int


def made(times, n):
    return (One(time, n, i) for i, time in enumerate(times))


def test_a_file_is_open_only_while_it_is_its_turn_and_too_many_at_once_are_refused():
    is_open, most = set(), 0

    def opened(number, times):
        nonlocal most
        is_open.add(number)
        most = max(most, len(is_open))
        try:
            yield from made(times, number)
        finally:
            is_open.remove(number)

    def files(count, length):
        return [
            TimedFile(f"f{n}", n, lambda n=n: opened(n, range(n, n + length))) for n in range(count)
        ]

    assert len(list(merged(files(200, 3)))) == 600
    assert most <= 4
    told = f"at most {MOST_OPEN} files may overlap in time; got one more, f32"
    with pytest.raises(ValueError, match=told):
        list(merged(files(MOST_OPEN + 1, 1_000)))
    assert not is_open


def test_the_command_merges_its_files_whatever_their_form(tmp_path, monkeypatch, capsys):
    (tmp_path / "headwater.toml").write_text('stream = "tests.asks:plain"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    asks = [ask(f"a{n}", n) for n in range(0, 300, 3)]
    tells = [tell(f"a{n}", n + 1, yes=n % 2 == 0) for n in range(0, 300, 3)]
    file(tmp_path, "tells.jsonl", *tells)
    rows = [msgspec.to_builtins(one) for one in asks]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "asks.parquet")
    assert main(["ingest", "tells.jsonl", "asks.parquet"]) == 0
    said = capsys.readouterr().out
    assert "tells.jsonl: 100 records" in said
    assert "200 records in all" in said
    log = environment_home().log()
    run = feed(Run(Shard(plain, Settings(), 0)), log.read("events", 0, 0, max_records=999))
    log.close()
    assert run.values("dead_letters") == []
    labels = [msgspec.json.decode(value)["label"] for value in run.values("outcomes")]
    assert labels == [1 - n % 2 for n in range(0, 300, 3)]
