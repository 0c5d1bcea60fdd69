"""`headwater ingest` looks at what it is given before it appends anything."""

import json
import sys
from io import BytesIO, TextIOWrapper
from itertools import islice

import polars as pl
import pytest

from flows.__main__ import main
from flows.home.home import Home
from flows.streams.quotes_market import Market
from tests.settled import settle

EVENTS = list(islice(Market(seed=3, rate_per_s=1.0).events(1.0), 300))
US = 1_767_225_600_000_000
TRADES = [
    {"id": f"t{i}", "time": US + i * 10**6, "account": "a", "symbol": f"s{i}", "amount": i + 0.5}
    for i in range(20)
]


@pytest.fixture
def home(tmp_path, monkeypatch):
    settle(tmp_path, monkeypatch, 'stream = "quotes"\n')
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(EVENTS))
    return Home(tmp_path / "home")


def refused(capsys, *argv):
    """The one line that a refusal puts on stderr; nothing was made."""
    capsys.readouterr()
    assert main(["ingest", *argv]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def stored(home):
    log = home.log()
    ends = [log.end("events", p) for p in range(log.partitions("events"))]
    held = [
        r.value for p, n in enumerate(ends) for r in log.read("events", p, 0, max_records=n or 1)
    ]
    log.close()
    return held


def write_json(path, values):
    path.write_text("\n".join(map(json.dumps, values)))


def test_one_file_in_no_form_keeps_all_from_being_appended(home, capsys, tmp_path):
    (tmp_path / "wide.jsonl").write_bytes(b"\n".join(EVENTS).decode().encode("utf-16"))
    assert "got UTF-16" in refused(capsys, "events.jsonl", "wide.jsonl")
    assert not home.root.exists()


@pytest.mark.parametrize("count", [1, 1_000, 1_500])
def test_a_file_that_begins_with_bad_records_only_stops_unless_forced(
    home, capsys, tmp_path, count
):
    bad = [{"type": "tolled", "id": f"x{i}", "time": US} for i in range(count)]
    write_json(tmp_path / "bad.jsonl", bad)
    said = refused(capsys, "events.jsonl", "bad.jsonl")
    several = f"first {min(count, 1_000):,} records are all refused"
    assert ("whose record is refused" if count == 1 else several) in said
    assert f"{min(count, 1_000):,} unknown_type: Invalid value 'tolled'" in said
    assert "the types are " in said
    assert '"id": "x0"' in said
    assert not home.root.exists()
    assert main(["ingest", "--force", "bad.jsonl"]) == 0
    assert len(stored(home)) == count


def test_bad_records_are_appended_where_a_good_one_is_among_the_first(home, capsys, tmp_path):
    write_json(tmp_path / "mixed.jsonl", [{"type": "tolled"}] * 999)
    with (tmp_path / "mixed.jsonl").open("ab") as file:
        file.write(b"\n" + EVENTS[0])
    assert main(["ingest", "mixed.jsonl"]) == 0
    assert len(stored(home)) == 1_000


def test_of_very_many_columns_the_first_are_named(home, capsys, tmp_path):
    pl.DataFrame([TRADES[0] | {f"c{i:04}": 1 for i in range(3_000)}]).write_csv(tmp_path / "t.csv")
    assert main(["ingest", "--type", "trade", "t.csv"]) == 0
    (told,) = (line for line in capsys.readouterr().out.splitlines() if "skipped" in line)
    assert told.startswith("t.csv: skipped columns that no event has: c0000, c0001, ")
    assert told.endswith(", c0049 and 2,950 more")


def test_a_dry_run_shows_events_and_reasons_and_makes_no_home(home, capsys, tmp_path):
    rows = [trade | {"note": "x"} for trade in TRADES]
    rows[3]["amount"] = rows[4]["amount"] = None
    pl.DataFrame(rows).write_csv(tmp_path / "trades.csv")
    assert main(["ingest", "--dry-run", "--type", "trade", "trades.csv"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [
        "trades.csv: skipped columns that no event has: note",
        "trades.csv: 18 of the first 20 records are events",
    ]
    first = {"type": "trade", **TRADES[0]}
    assert json.loads(said[2]) == first
    assert said[7] == "  2 invalid: Object missing required field `amount`"
    assert json.loads(said[8]) == {
        k: v for k, v in {"type": "trade", **rows[4]}.items() if k not in {"note", "amount"}
    }
    assert len(said) == 9
    assert not home.root.exists()


def test_a_type_is_named_for_records_that_have_none(home, capsys, tmp_path):
    write_json(tmp_path / "trades.jsonl", [*TRADES, json.loads(EVENTS[0])])
    write_json(tmp_path / "untyped.jsonl", TRADES)
    said = refused(capsys, "untyped.jsonl")
    assert "20 unknown_type: Object missing required field `type`: the types are " in said
    assert main(["ingest", "--type", "trade", "trades.jsonl"]) == 0
    kept = {event["id"]: event for event in map(json.loads, stored(home))}
    for trade in TRADES:
        assert kept[trade["id"]] == {"type": "trade", **trade}
    assert kept[json.loads(EVENTS[0])["id"]] == json.loads(EVENTS[0])
    assert "type must be one of " in refused(capsys, "--type", "tirade", "trades.jsonl")


@pytest.mark.parametrize("option", [["--dry-run"], ["--force"], ["--type", "trade"]])
def test_options_for_files_need_a_file(home, capsys, option):
    assert f"{option[0]} must go with a FILE" in refused(capsys, *option)


def test_times_in_seconds_stop_the_ingest_with_the_unit_and_nothing_is_appended(
    home, capsys, tmp_path
):
    write_json(tmp_path / "s.jsonl", [t | {"time": t["time"] // 10**6} for t in TRADES])
    said = refused(capsys, "--type", "trade", "events.jsonl", "s.jsonl")
    assert "got 1767225600: it looks like seconds" in said
    assert "s.jsonl record 1" in said
    assert not home.root.exists()


def test_standard_input_may_be_of_any_form(home, capsys, monkeypatch):
    written = BytesIO()
    pl.DataFrame(TRADES).write_parquet(written)
    written.seek(0)
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(written))
    assert main(["ingest", "--type", "trade", "-"]) == 0
    assert capsys.readouterr().out == "-: 20 records\n"


def test_brackets_in_a_name_are_printed(home, capsys, tmp_path):
    (tmp_path / "a[x] [bold]b.jsonl").write_bytes(EVENTS[0])
    assert main(["ingest", "a[x] [bold]b.jsonl"]) == 0
    assert capsys.readouterr().out == "a[x] [bold]b.jsonl: 1 record\n"
    (tmp_path / "[red]c").write_bytes(b"hello")
    assert "in [red]c" in refused(capsys, "[red]c")
