"""Mistakes that newcomers make with two CSV files are reported before they cost labels."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from flows.__main__ import main
from flows.home.home import Home
from tests.settled import events_of, settle

SETTINGS = 'stream = "tests.state.ingest.test_row_type:stream"\n'
NAMES = {
    "Nr": "id",
    "Zählung": "id",
    "Zeit": "time",
    "Station": "station",
    "Bezirk": "district",
    "Räder": "bikes",
}
STATUS = ["Nr;Zeit;Station;Bezirk;Räder"] + [
    f"S{i};21.11.2026 00:{i:02}:00;Stn {i};Mitte;{i}" for i in range(20)
]
COUNTS = ["Zählung;Zeit;Station;Räder"] + [
    f"Z{i};21.11.2026 00:{i:02}:30;Stn {i};{i}" for i in range(20)
]
FORMAT = ["--time-format", "%d.%m.%Y %H:%M:%S"]


def renamed(*without):
    pairs = [f"{old}={new}" for old, new in NAMES.items() if old not in without]
    return [word for pair in pairs for word in ("--rename", pair)]


@pytest.fixture
def home(tmp_path, monkeypatch):
    settle(tmp_path, monkeypatch, SETTINGS)
    (tmp_path / "status.csv").write_text("\n".join(STATUS))
    (tmp_path / "counts.csv").write_text("\n".join(COUNTS))
    return Home(tmp_path / "home")


def test_each_file_says_the_type_that_its_rows_are_taken_for(home, capsys):
    assert main(["ingest", *renamed(), *FORMAT, "status.csv", "counts.csv"]) == 0
    said = capsys.readouterr().out
    assert "status.csv: rows are 'status' by their columns" in said
    assert "counts.csv: rows are 'counted' by their columns" in said
    assert [event["type"] for event in events_of(home)] == ["status", "counted"] * 20


def test_a_forgotten_rename_makes_no_labels_of_requests(home, capsys):
    for verb in ("ingest", "stream"):
        assert main([verb, *renamed("Bezirk"), *FORMAT, "status.csv", "counts.csv"]) == 2
        assert "but for 'district', are those of 'status' too" in capsys.readouterr().err
    assert not home.root.exists()


def test_one_of_several_files_is_given_its_type(home, capsys):
    names = renamed("Bezirk")
    files = ["./status.csv", "counts.csv", "--type", "status.csv=counted"]
    assert main(["stream", *names, *FORMAT, *files]) == 0
    assert main(["ingest", *names, *FORMAT, *files]) == 0
    assert {event["type"] for event in events_of(home)} == {"counted"}
    for wrong, rule in {
        "other.csv=counted": "must name a FILE",
        "status.csv=status": "must give a file one type",
        "trip": "type must be one of counted, status",
    }.items():
        assert main(["ingest", *names, *FORMAT, *files, "--type", wrong]) == 2
        assert rule in capsys.readouterr().err


def test_a_rename_that_changes_nothing_is_told(home, capsys):
    line = ["--dry-run", *renamed(), "--rename", "Temparatur=note", *FORMAT]
    assert main(["ingest", *line, "status.csv", "counts.csv"]) == 0
    err = capsys.readouterr().err
    assert err == (
        "--rename of 'Temparatur' changes nothing in status.csv, counts.csv: no such column or "
        "field\n"
    )
    assert main(["stream", *line[1:], "status.csv", "counts.csv"]) == 0
    assert "--rename of 'Temparatur' changes nothing" in capsys.readouterr().out


@pytest.mark.parametrize(("old", "is_told"), [("a.b", False), ("a.c", True), ("b", True)])
def test_a_rename_within_json_is_told_if_nothing_has_it(home, capsys, tmp_path, old, is_told):
    event = {"type": "counted", "id": "c", "time": 1_767_225_600_000_000, "station": "x"}
    (tmp_path / "c.jsonl").write_text(json.dumps(event | {"a": {"b": 3}}))
    line = ["ingest", "--force", "--rename", f"{old}=bikes", "c.jsonl"]
    assert main(line) == 0
    assert ("changes nothing" in capsys.readouterr().err) == is_told


def test_a_wrong_time_format_is_quoted_beside_the_time(home, capsys):
    assert main(["ingest", *renamed(), "--time-format", "%m/%d/%Y", "status.csv"]) == 2
    assert "--time-format '%m/%d/%Y' does not fit '21.11.2026 00:00:00'" in capsys.readouterr().err


@pytest.mark.parametrize("count", [20, 1_500])
def test_a_dry_run_ends_as_the_ingest_would(home, capsys, tmp_path, count):
    rows = [f"S{i};gestern;Stn;Mitte;{i}" for i in range(count)]
    (tmp_path / "bad.csv").write_text("\n".join([STATUS[0], *rows]))
    (tmp_path / "old.csv").write_text("\n".join([STATUS[0], *STATUS[:0:-1]]))
    for name in ("bad.csv", "old.csv", "status.csv"):
        ends = [
            main(["ingest", *options, *renamed(), *FORMAT, name])
            for options in (["--dry-run"], [], ["--dry-run", "--force"])
        ]
        assert ends == ([0, 0, 0] if name == "status.csv" else [2, 2, 0])
    assert "dry-run shows more" not in capsys.readouterr().err.splitlines()[0]


def test_records_that_the_run_will_refuse_are_counted_also_after_the_first(home, capsys, tmp_path):
    begin = datetime(2026, 11, 21, tzinfo=UTC)
    rows = [
        f"S{i};{begin + timedelta(seconds=i):%d.%m.%Y %H:%M:%S};Stn;Mitte;"
        f"{'viele' if i > 1_000 and i % 10 == 0 else 3}"
        for i in range(1_200)
    ]
    (tmp_path / "late.csv").write_text("\n".join([STATUS[0], *rows]))
    for options in ([], ["--sort"]):
        assert main(["ingest", *options, *renamed(), *FORMAT, "late.csv"]) == 0
        out, err = capsys.readouterr()
        said = err.splitlines()
        assert out.endswith("late.csv: 1,200 records\n")
        assert said[1:3] == [
            "late.csv: 19 of them will be dead letters of the run:",
            "  19 invalid: Expected `int`, got `str` - at `$.bikes`",
        ]
        assert json.loads(said[3])["bikes"] == "viele"


def test_advice_comes_once_and_only_where_it_helps(home, capsys, tmp_path):
    events = [
        {"type": "counted", "id": f"c{i}", "time": 1_767_225_600_000_000 + i, "station": "x"}
        | {"bikes": 3, f"extra_{'abcd'[i % 4]}": 1}
        for i in range(20)
    ]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, events)))
    assert main(["ingest", "--dry-run", "c.jsonl"]) == 2
    assert capsys.readouterr().out.count("--skip-unknown") == 1
    for event in events:
        del event["station"]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, events)))
    assert main(["ingest", "--skip-unknown", "c.jsonl"]) == 2
    err = capsys.readouterr().err
    assert "missing required field `station`: --rename OLD=NEW" in err
    assert "--skip-unknown" not in err


def test_cells_of_other_types_are_left_out_where_that_is_said(home, capsys, tmp_path):
    rows = [f"Z{i};21.11.2026 00:{i:02}:30;counted;Stn {i};Mitte;{i}" for i in range(20)]
    (tmp_path / "all.csv").write_text("\n".join(["Nr;Zeit;type;Station;Bezirk;Räder", *rows]))
    assert main(["ingest", *renamed(), *FORMAT, "all.csv"]) == 2
    assert "unknown field `district`: --rename gives" in capsys.readouterr().err
    assert main(["ingest", "--skip-unknown", *renamed(), *FORMAT, "all.csv"]) == 0
    assert "dead letters" not in capsys.readouterr().err


@pytest.mark.parametrize(("ahead", "is_told"), [(1, True), (13, True), (15, False)])
def test_local_times_that_lie_ahead_name_the_zone(home, capsys, tmp_path, ahead, is_told):
    begin = datetime.now(UTC) + timedelta(hours=ahead)
    rows = [f"S{i};{begin:%d.%m.%Y %H:%M:%S};Stn;Mitte;3" for i in range(3)]
    (tmp_path / "live.csv").write_text("\n".join([STATUS[0], *rows]))
    assert main(["ingest", *renamed(), *FORMAT, "live.csv"]) == 0
    err = capsys.readouterr().err
    assert ("--time-zone ZONE reads them" in err) == is_told
    assert "--now TIME" in err
    stamped = [f"S{i};{begin.isoformat()};Stn;Mitte;3" for i in range(3)]
    (tmp_path / "live.csv").write_text("\n".join([STATUS[0], *stamped]))
    assert main(["ingest", *renamed(), *FORMAT, "live.csv"]) == 0
    assert "--time-zone" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("day", "word"), [("25.10.2026", "comes twice"), ("29.03.2026", "clocks skip")]
)
@pytest.mark.parametrize("options", [[], ["--sort"]])
def test_times_that_are_two_moments_or_none_are_counted(home, capsys, tmp_path, day, word, options):
    rows = [f"S{i};{day} 0{i}:30:00;Stn;Mitte;3" for i in range(5)]
    (tmp_path / "dst.csv").write_text("\n".join([STATUS[0], *rows]))
    line = [*renamed(), *FORMAT, "--time-zone", "Europe/Berlin", "dst.csv"]
    assert main(["ingest", *options, *line]) == 0
    said = capsys.readouterr().err
    assert f"dst.csv: 1 time in Europe/Berlin lies in the hour that {word}" in said
    assert main(["stream", *line]) == 0
    assert word in capsys.readouterr().out


def test_a_time_that_says_utc_is_not_in_the_zone_of_the_others(home, capsys, tmp_path):
    rows = ["S1;2026-07-01 02:00:00 UTC;Stn;Mitte;3", "S2;2026-07-01 05:00:00;Stn;Mitte;3"]
    (tmp_path / "utc.csv").write_text("\n".join([STATUS[0], *rows]))
    assert main(["ingest", *renamed(), "--time-zone", "Europe/Berlin", "utc.csv"]) == 0
    first, second = events_of(home)
    assert second["time"] - first["time"] == 3_600_000_000


def test_a_table_without_ids_is_told_how_they_are_made(home, capsys, tmp_path):
    rows = [line.partition(";")[2] for line in COUNTS]
    (tmp_path / "counts.csv").write_text("\n".join(rows))
    assert main(["ingest", *renamed(), *FORMAT, "counts.csv"]) == 2
    said = capsys.readouterr().err
    assert "--id '{file}-{row}' makes one of the row's number" in said
    assert main(["ingest", *renamed(), *FORMAT, "--id", "{file}-{row}", "counts.csv"]) == 0
    assert [event["id"] for event in events_of(home)] == [f"counts-{i}" for i in range(1, 21)]


def test_an_id_of_two_types_is_told_before_the_run_drops_the_label(home, capsys, tmp_path):
    for name, lines in {"status.csv": STATUS, "counts.csv": COUNTS}.items():
        (tmp_path / name).write_text("\n".join([lines[0], *(line[1:] for line in lines[1:])]))
    line = [*renamed(), *FORMAT, "status.csv", "counts.csv"]
    said = "20 ids are those of events of two types, such as '0' of status and counted"
    assert main(["stream", *line]) == 0
    out = capsys.readouterr().out
    assert said in out
    assert "20 duplicate: 0: an earlier event, of whatever type, has this id" in out
    for options in (["--dry-run"], []):
        assert main(["ingest", *options, *line]) == 0
        assert said in capsys.readouterr().err


def test_ids_of_one_type_each_are_not_told(home, capsys):
    assert main(["ingest", *renamed(), *FORMAT, "status.csv", "counts.csv"]) == 0
    assert capsys.readouterr().err == ""


def test_an_id_of_two_types_is_told_however_late_it_comes_in_its_file(home, capsys, tmp_path):
    begin = datetime(2026, 11, 21, tzinfo=UTC)
    for name, lines, row in (
        ("status.csv", STATUS, "{id};{at};Stn;Mitte;3"),
        ("counts.csv", COUNTS, "{id};{at};Stn;3"),
    ):
        ids = [f"{name}{i}" if i < 1_200 else f"x{i}" for i in range(1_201)]
        at = [f"{begin + timedelta(seconds=i):%d.%m.%Y %H:%M:%S}" for i in range(1_201)]
        rows = [row.format(id=ids[i], at=at[i]) for i in range(1_201)]
        (tmp_path / name).write_text("\n".join([lines[0], *rows]))
    for options in ([], ["--sort"]):
        assert main(["ingest", *options, *renamed(), *FORMAT, "status.csv", "counts.csv"]) == 0
        said = "1 id is that of events of two types, such as 'x1200' of status and counted"
        assert capsys.readouterr().err.count(said) == 1


BEGIN = datetime(2026, 11, 21, tzinfo=UTC)


def hourly(name, count, row, tmp_path):
    lines = [
        row.format(i=i, at=f"{BEGIN + timedelta(hours=i):%d.%m.%Y %H:%M:%S}") for i in range(count)
    ]
    header = STATUS[0] if name == "status.csv" else COUNTS[0]
    (tmp_path / name).write_text("\n".join([header, *lines]))


def test_labels_that_are_ingested_after_later_requests_are_told(home, capsys, tmp_path):
    hourly("status.csv", 20, "S{i};{at};Stn;Mitte;3", tmp_path)
    hourly("counts.csv", 18, "Z{i};{at};Stn;3", tmp_path)
    line = [*renamed(), *FORMAT]
    assert main(["ingest", *line, "status.csv", "counts.csv"]) == 0
    assert "older than the newest in the log" not in capsys.readouterr().err
    assert main(["ingest", *line, "counts.csv"]) == 0
    told = capsys.readouterr().err
    # The newest status is of 19:00; what is an hour older still counts.
    assert (
        "counts.csv: 18 of the first 18 events are older than the newest in the log, "
        "2026-11-21 19:00, by up to 19h: the run takes such labels for too late"
    ) in told
    assert main(["ingest", "--dry-run", *line, "counts.csv"]) == 0
    assert capsys.readouterr().err.count("18 of the first 18 events are older") == 1


def test_later_files_and_exports_are_not_told_to_be_late(home, capsys, tmp_path):
    hourly("status.csv", 20, "S{i};{at};Stn;Mitte;3", tmp_path)
    assert main(["ingest", *renamed(), *FORMAT, "status.csv"]) == 0
    at = f"{BEGIN + timedelta(hours=18):%d.%m.%Y %H:%M:%S}"
    (tmp_path / "counts.csv").write_text("\n".join([COUNTS[0], f"Z1;{at};Stn;3"]))
    assert main(["export", "events", "--out", "events.jsonl"]) == 0
    capsys.readouterr()
    assert main(["ingest", *renamed(), *FORMAT, "counts.csv"]) == 0
    assert main(["ingest", "events.jsonl"]) == 0
    assert "older than the newest in the log" not in capsys.readouterr().err


def test_times_without_a_zone_are_told_to_be_taken_for_utc(home, capsys):
    note = "status.csv: times without a zone were taken for UTC: --time-zone says which it is"
    for zone, is_told in ([], True), (["--time-zone", "UTC"], False):
        for verb in (["ingest"], ["ingest", "--dry-run"], ["stream"]):
            assert main([*verb, *renamed(), *FORMAT, *zone, "status.csv"]) == 0
            assert (note in capsys.readouterr().out) == is_told
    rows = [f"S{i};2026-11-21T00:{i:02}:00+01:00;Stn;Mitte;{i}" for i in range(9)]
    (home.root.parent / "status.csv").write_text("\n".join([STATUS[0], *rows]))
    assert main(["ingest", "--dry-run", *renamed(), "status.csv"]) == 0
    assert "zone" not in capsys.readouterr().out


def test_an_empty_file_is_told_to_hold_no_records(home, capsys, tmp_path):
    (tmp_path / "empty.csv").write_text("")
    assert main(["ingest", "--dry-run", *renamed(), "empty.csv"]) == 0
    assert capsys.readouterr() == ("empty.csv: no records\n", "")
    assert main(["ingest", *renamed(), "empty.csv"]) == 0
    assert capsys.readouterr() == ("empty.csv: 0 records\n", "")


@pytest.mark.parametrize(
    ("text", "likely"),
    [
        ("21.11.2026 00:05:00", ", perhaps as '%d.%m.%Y %H:%M:%S'"),
        ("3/4/2026 11:59 PM", ", perhaps as '%d/%m/%Y %I:%M %p' or '%m/%d/%Y %I:%M %p'"),
        ("11/21/2026", ", perhaps as '%m/%d/%Y'"),
        ("yesterday", ", as in"),
    ],
)
def test_the_likely_form_of_a_time_is_told(home, capsys, tmp_path, text, likely):
    (tmp_path / "one.csv").write_text(f"{STATUS[0]}\nS1;{text};Stn;Mitte;3\n")
    assert main(["ingest", *renamed(), "one.csv"]) == 2
    assert f"--time-format must say how it is written{likely}" in capsys.readouterr().err
