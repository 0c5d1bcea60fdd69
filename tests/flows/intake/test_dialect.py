"""Files that are written otherwise than events are, read as they say or with a hint refused."""

import json
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.__main__ import main
from flows.intake.dialect import Dialect
from flows.intake.file_forms import FormError
from flows.intake.stream_events import read_events
from state.event_times import TimeTexts
from tests.settled import settle
from tests.state.ingest.test_rows import US, stream

SETTINGS = 'stream = "tests.state.ingest.test_rows:stream"\n'
ASKED = {"type": "asked", "id": "a", "time": US, "text": "x", "number": 1.5}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    settle(tmp_path, monkeypatch, SETTINGS)
    return tmp_path


def read(path, dialect):
    return [json.loads(line.value) for line in read_events(path, stream, dialect=dialect)]


def refused(capsys, *argv):
    """The one line that a refusal puts on stderr; nothing was made."""
    capsys.readouterr()
    assert main(["ingest", *argv]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("1,5", 1.5),
        ("-0,25", -0.25),
        (",5", 0.5),
        ("1.299,95", 1299.95),
        ("12.345.678,9", 12345678.9),
        ("7", 7.0),
        ("7.25", 7.25),
        ("1.299", "1.299"),  # may be a thousand or one and a little
        ("12.34,5", "12.34,5"),
        ("1,2,3", "1,2,3"),
        ("", None),
    ],
)
def test_a_decimal_comma_is_read_where_it_is_said(tmp_path, cell, number):
    path = tmp_path / "t.csv"
    path.write_text(f"id;time;text;number\na;{US};1,5;{cell}\n")
    (event,) = read(path, Dialect(decimal=","))
    assert (event["number"], event["text"]) == (number, "1,5")


@pytest.mark.parametrize(
    ("cell", "whole"), [("3", 3), ("3,0", 3), ("1.000", "1.000"), ("1.000,0", 1000), ("3,5", "3,5")]
)
def test_a_whole_number_has_no_thousands_taken_for_decimals(tmp_path, cell, whole):
    path = tmp_path / "t.csv"
    path.write_text(f"id;time;text;number;whole\na;{US};x;1;{cell}\n")
    (event,) = read(path, Dialect(decimal=","))
    assert event["whole"] == whole


@pytest.mark.parametrize(
    ("written", "time_format"),
    [
        ("01.01.2026 00:00:00", "%d.%m.%Y %H:%M:%S"),
        ("1/1/26 12:00 AM", "%m/%d/%y %I:%M %p"),
        ("01.01.2026 01:00 +0100", "%d.%m.%Y %H:%M %z"),
        ("2026-01-01T00:00:00Z", "%d.%m.%Y"),  # of another file: as ever
        (str(US), "%d.%m.%Y"),
        ("20260101", "%Y%d%m"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_times_in_text_have_the_format_that_is_said(tmp_path, written, time_format, form):
    path = tmp_path / "t"
    if form == "csv":
        path.write_text(f'id,time,text,number\na,"{written}",x,1.5\n')
    else:
        path.write_text(json.dumps(ASKED | {"time": written}))
    assert read(path, Dialect(texts=TimeTexts(time_format))) == [ASKED]


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2026-01-01 01:00:00", "2026-01-01T00:00:00"),
        ("2026-07-01T02:00", "2026-07-01T00:00:00"),
        ("01.07.2026 02:00", "2026-07-01T00:00:00"),
        ("20260101", "2025-12-31T23:00:00"),
        ("2026-10-25 02:30", "2026-10-25T00:30:00"),  # comes twice: the earlier one
        ("2026-10-25 02:30+01:00", "2026-10-25T01:30:00"),
        ("2026-07-01T02:00Z", "2026-07-01T02:00:00"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_times_without_a_zone_are_in_the_zone_that_is_said(folder, capsys, written, utc, form):
    if form == "csv":
        (folder / "t").write_text(f"id,time,text,number\na,{written},x,1.5\n")
    else:
        (folder / "t").write_text(json.dumps(ASKED | {"time": written}))
    options = ["--time-zone", "Europe/Berlin", "--time-format", "%d.%m.%Y %H:%M"]
    assert main(["ingest", "--dry-run", *options, "t"]) == 0
    us = round(datetime.fromisoformat(f"{utc}Z").timestamp()) * 10**6
    assert f'"time":{us},' in capsys.readouterr().out


@pytest.mark.parametrize("wrong", ["Mars/Phobos", "../etc/passwd", "", "berlin time"])
def test_a_zone_must_be_one(folder, capsys, wrong):
    (folder / "t").write_text(json.dumps(ASKED))
    with pytest.raises(SystemExit):
        main(["ingest", "--time-zone", wrong, "t"])
    assert "must be an IANA time zone, such as Europe/Berlin" in capsys.readouterr().err


NESTED = {"no": "a", "meta": {"at": US, "tags": ["x", "y"]}, "n": {"v": 1.5}, "type": "asked"}
PATHS = {"no": "id", "meta.at": "time", "meta.tags.0": "text", "n.v": "number"}


@pytest.mark.parametrize("form", ["jsonl", "json", "parquet"])
def test_a_name_leads_into_nested_values(tmp_path, form):
    path = tmp_path / "t"
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist([NESTED, NESTED | {"no": "b"}]), path)
    else:
        both = [NESTED, NESTED | {"no": "b"}]
        path.write_text("\n".join(map(json.dumps, both)) if form == "jsonl" else json.dumps(both))
    assert read(path, Dialect(PATHS)) == [ASKED, ASKED | {"id": "b"}]


def test_a_point_may_be_part_of_a_name(tmp_path):
    path = tmp_path / "t"
    path.write_text(json.dumps(ASKED | {"n.v": 2.5, "n": {"v": 9}}).replace('"number": 1.5, ', ""))
    (event,) = read(path, Dialect({"n.v": "number"}, skips_unknown=True))
    assert event["number"] == 2.5


def test_files_of_one_ingest_may_name_a_field_each_in_its_way(folder, capsys):
    (folder / "one.csv").write_text(f"Nr;Zeit;text;number\na;{US};x;1\n")
    (folder / "two.json").write_text(json.dumps({"no": "b", "at": US, "text": "x", "number": 2}))
    other = pa.table({"key": ["c"], "time": [US], "text": ["x"], "number": [3.0]})
    pq.write_table(other, folder / "three.parquet")
    names = {"Nr": "id", "Zeit": "time", "no": "id", "at": "time", "key": "id"}
    options = [word for old, new in names.items() for word in ("--rename", f"{old}={new}")]
    files = ["one.csv", "two.json", "three.parquet"]
    assert main(["ingest", "--dry-run", *options, "--type", "asked", *files]) == 0
    assert capsys.readouterr().out.count("its record is an event") == 3
    (folder / "four.csv").write_text(f"Nr;no;Zeit;text;number\na;b;{US};x;1\n")
    assert "columns must be distinct; got 'id' more than once" in refused(
        capsys, *options, "four.csv"
    )


def test_two_fields_of_an_object_may_change_names(tmp_path):
    path = tmp_path / "t"
    path.write_text(json.dumps(ASKED | {"maybe": "y"}))
    (event,) = read(path, Dialect({"maybe": "text", "text": "maybe"}))
    assert (event["text"], event["maybe"]) == ("y", "x")


def test_fields_that_no_event_has_are_left_out_where_it_is_said(folder, capsys):
    odd = ASKED | {"extra": {"a": [1]}, "more": None}
    (folder / "t").write_text("\n".join(json.dumps(odd | {"id": i}) for i in range(3)))
    assert "--skip-unknown leaves out such fields" in refused(capsys, "t")
    events = read(folder / "t", Dialect(skips_unknown=True))
    assert events == [ASKED | {"id": str(i)} for i in range(3)]
    assert main(["ingest", "--skip-unknown", "t"]) == 0


COMMAS = "id;time;text;number\n" + "".join(f"c{i};{US + i};x;{i},5\n" for i in range(9))


def test_decimal_commas_are_told_before_anything_is_appended(folder, capsys):
    (folder / "t.csv").write_text("id;time;text;number\na;1767225600000000;x;1\n" + COMMAS[20:])
    said = refused(capsys, "t.csv")
    assert "of whose first 10 records 9 are not, invalid: Expected `float | null`" in said
    assert "if '0,5' has a decimal comma, --decimal , reads it" in said
    assert not (folder / "home").exists()
    assert main(["stream", "t.csv"]) == 0
    assert "has a decimal comma, --decimal , reads it" in capsys.readouterr().out
    assert main(["ingest", "--dry-run", "--decimal", ",", "t.csv"]) == 0
    assert "10 of the first 10 records are events" in capsys.readouterr().out
    assert main(["ingest", "--decimal", ",", "t.csv"]) == 0
    assert main(["ingest", "--force", "t.csv"]) == 0


def test_one_bad_record_among_good_ones_stops_nothing(folder):
    rows = "id,time,text,number\n" + "".join(f"c{i},{US + i},x,{i}\n" for i in range(150))
    (folder / "t.csv").write_bytes(rows.encode() + f'b,{US},x,"1,5"\n'.encode())
    assert main(["ingest", "t.csv"]) == 0
    (folder / "u.csv").write_bytes(rows.encode() + f"b,{US},\xfc,1\n".encode("latin-1"))
    assert main(["ingest", "u.csv"]) == 0


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_letters_of_windows_are_told_before_anything_is_appended(folder, capsys, form):
    texts = ["plain"] * 20 + ["Zürich", "Köln"]
    if form == "csv":
        rows = [f"c{i},{US + i},{text},1" for i, text in enumerate(texts)]
        content = "\n".join(["id,time,text,number", *rows])
    else:
        some = [ASKED | {"id": f"c{i}", "text": text} for i, text in enumerate(texts)]
        content = "\n".join(json.dumps(one, ensure_ascii=False) for one in some)
    (folder / "t").write_bytes(content.encode("cp1252"))
    said = refused(capsys, "t")
    assert "of whose first 22 records 2 are not, malformed" in said
    assert "iconv -f WINDOWS-1252 -t UTF-8 may convert it" in said
    (folder / "t").write_bytes(content.encode())
    assert main(["ingest", "t"]) == 0


def test_a_head_of_csv_in_letters_of_windows_is_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("id;time;text;Stück\na;1;x;1\n".encode("cp1252"))
    with pytest.raises(FormError, match=r"columns must be in UTF-8; got 'Stück', .*iconv") as told:
        list(read_events(path, stream))
    assert str(told.value).isprintable()
    path.write_bytes("Bestellnr;Stück\na;1\n".encode("cp1252"))
    with pytest.raises(FormError, match="text that is not UTF-8"):
        list(read_events(path, stream))


@pytest.mark.parametrize("many", [1, 200])
def test_a_list_within_an_object_is_named(folder, capsys, many):
    (folder / "t.json").write_text(json.dumps({"count": many, "data": [ASKED] * many}, indent=1))
    said = refused(capsys, "t.json")
    assert "the records seem to be in its list 'data'; jq -c '.data[]' gives them" in said


@pytest.mark.parametrize("wrong", ["%H:%M", "dd.mm.yyyy", "%d.%m.", "%Q", "%Y-%m-%d%"])
def test_a_format_of_times_must_have_a_day(folder, capsys, wrong):
    (folder / "t").write_text(json.dumps(ASKED))
    with pytest.raises(SystemExit):
        main(["ingest", "--time-format", wrong, "t"])
    assert "must be like %d.%m.%Y %H:%M:%S" in capsys.readouterr().err
