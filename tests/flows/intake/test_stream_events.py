"""Files as people bring them: told by their first bytes, read as events or refused by name."""

import bz2
import decimal
import gzip
import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.intake.dialect import Dialect
from flows.intake.file_forms import FormError
from flows.intake.stream_events import read_events
from state.admission.no_event import Judge, Refused
from state.event_times import TimeUnitError
from tests.flows.intake.test_ingest_bombs import measured
from tests.rides import stream
from tests.state.ingest.test_rows import stream as tables

US = 1_767_225_600_000_000
START = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS = [
    {"type": "rain", "id": f"r{i}", "time": US + i * 10**6, "city": "ber", "fell": i / 4, "wind": 2}
    for i in range(9)
]
LINES = [json.dumps(event).encode() for event in EVENTS]
JSONL = b"\n".join(LINES)
CSV = b"id,time,city,fell,wind\n" + b"".join(
    b"r%d,2026-01-01T00:00:%02dZ,ber,%s,2\n" % (i, i, str(i / 4).encode()) for i in range(9)
)


def read(path, **options):
    return [line.value for line in read_events(path, stream, **options)]


def decoded(path, **options):
    decode = stream.decoder().decode
    return [decode(value) for value in read(path, **options)]


def wanted():
    decode = stream.decoder().decode
    return list(map(decode, LINES))


PACKED = {
    "gzip": gzip.compress,
    "gzip with zeros": lambda content: gzip.compress(content) + bytes(700),
    "two gzips": lambda content: gzip.compress(content[:40]) + gzip.compress(content[40:]),
    "zstd": lambda content: pa.Codec("zstd").compress(content, asbytes=True),
    "bz2": bz2.compress,
    "lz4": lambda content: pa.Codec("lz4").compress(content, asbytes=True),
    "none": bytes,
}
TEXTS = {
    "json lines": JSONL,
    "json lines of Windows": JSONL.replace(b"\n", b"\r\n"),
    "a BOM": b"\xef\xbb\xbf" + JSONL,
    "an array": b"[" + b",".join(LINES) + b"]\n",
    "an array in many lines": json.dumps(EVENTS, indent=2).encode(),
    "an array after a BOM": b"\xef\xbb\xbf \n[" + b",\n".join(LINES) + b"]",
    "csv": CSV,
    "csv with a BOM": b"\xef\xbb\xbf" + CSV,
    "csv with semicolons": CSV.replace(b",", b";"),
    "csv with tabs and \\r\\n": CSV.replace(b",", b"\t").replace(b"\n", b"\r\n"),
    "csv with quotes": CSV.replace(b"ber", b'"ber"').replace(b"id,", b'"id",'),
    "csv of pandas": b"".join(
        b"%s,%s\n" % (b"" if i == 0 else b"%d" % i, line) for i, line in enumerate(CSV.splitlines())
    ),
}


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("text", TEXTS)
def test_the_first_bytes_say_what_a_text_is(tmp_path, text, packed):
    for name in ("events.jsonl", "EVENTS.CSV", "events"):
        path = tmp_path / name
        path.write_bytes(PACKED[packed](TEXTS[text]))
        assert decoded(path, kind="rain") == wanted()


@pytest.mark.parametrize("name", ["events.parquet", "EVENTS.PARQUET", "events.pq", "events.jsonl"])
def test_the_first_bytes_say_what_is_parquet(tmp_path, name):
    pq.write_table(pa.Table.from_pylist(EVENTS), tmp_path / name)
    assert decoded(tmp_path / name) == wanted()


@pytest.mark.parametrize("quote", [b"", b'"'])
def test_spaces_after_the_commas_of_csv_are_no_part_of_its_cells(tmp_path, quote):
    path = tmp_path / "t.csv"
    path.write_bytes(CSV.replace(b",ber", b",%bber%b" % (quote, quote)).replace(b",", b", "))
    assert decoded(path, kind="rain") == wanted()
    path.write_bytes(CSV.replace(b"ber", b" ber"))
    assert {event.city for event in decoded(path, kind="rain")} == {" ber"}


def test_lines_of_space_are_no_records(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_bytes(b" \n\t\r\n" + JSONL.replace(b"\n", b"\n   \n") + b"\n  ")
    assert decoded(path) == wanted()


def test_a_nan_of_python_is_null(tmp_path):
    path = tmp_path / "t.jsonl"
    row = {
        "type": "asked",
        "id": "NaN",
        "time": "2026-01-01",
        "text": 'a "NaN" \\',
        "number": math.nan,
    }
    path.write_text(json.dumps(row) + "\n" + json.dumps(row | {"number": math.inf}))
    mended, kept = (line.value for line in read_events(path, tables))
    assert json.loads(mended) == row | {"time": US, "number": None}
    assert isinstance(Judge(tables).event(kept), Refused)


def test_json_objects_stay_as_they_are_byte_for_byte(tmp_path):
    path = tmp_path / "events.jsonl"
    odd = [b'{ "type":"rain",  "time":%d, "x":1.50 }' % US, b"junk", b'{"time":"noon"}', *LINES]
    path.write_bytes(b"\n".join([LINES[0], *odd]))
    assert read(path) == [LINES[0], *odd]
    path.write_bytes(b"junk\n" + JSONL)
    assert read(path) == [b"junk", *LINES]


FOREIGN = {
    "UTF-16": (JSONL.decode().encode("utf-16"), "UTF-16"),
    "UTF-16 without a mark": (CSV.decode().encode("utf-16-be"), "UTF-16"),
    "UTF-32": (JSONL.decode().encode("utf-32"), "UTF-16 or UTF-32"),
    "a spreadsheet": (b"PK\x03\x04" + bytes(99), "a ZIP archive or a spreadsheet"),
    "xz": (b"\xfd7zXZ\x00" + bytes(99), "XZ"),
    "html": (b"<!DOCTYPE html><p>404", "XML or HTML"),
    "a tar archive": (gzip.compress(bytes(257) + b"ustar" + bytes(250)), "a tar archive"),
    "csv of an old Mac": (CSV.replace(b"\n", b"\r"), "CSV whose lines end in CR alone"),
    "JSON in a line of a log": (
        b'09:00 INFO {"id": 1, "time": 2}\n',
        "text that begins '09:00 INFO",
    ),
    "texts of JSON": (json.dumps(JSONL.decode()).encode(), "text that begins"),
    "arrow": (b"ARROW1\0\0" + bytes(99), "an Arrow file"),
    "sqlite": (b"SQLite format 3\x00" + bytes(99), "SQLite"),
    "bytes": (b"\x00\x93\xff\x10" * 40, "bytes that begin"),
    "a letter": (b"Dear all,\nplease find", "CSV must have the columns id and time; got only Dear"),
    "one word": (b"hello", "text that begins 'hello'"),
    "csv without a time": (b"id,when,city\n1,2,3\n", "the column time; got only id, when, city"),
    "an array of numbers": (b"[1,2,3]", "columns id and time"),
    "parquet in gzip": (gzip.compress(b"PAR1" + bytes(99)), "Parquet within gzip"),
    "gzip in gzip": (gzip.compress(gzip.compress(JSONL)), "bytes that begin"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_in_no_form_is_refused_by_name(tmp_path, name):
    content, said = FOREIGN[name]
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    with pytest.raises(FormError, match=said) as told:
        read_events(path, stream)
    assert "\n" not in str(told.value)
    hint = ": --rename OLD=NEW gives columns other names"
    assert str(told.value).removesuffix(hint).endswith(f" in {path}")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.gz", gzip.compress(JSONL)[:-20]),
        ("a.gz", gzip.compress(JSONL) + b"rubbish"),
        ("a.parquet", b"PAR1" + bytes(99)),
        ("a.json", b"[" + LINES[0] + b","),
        ("a.json", b"[" + LINES[0] + b"] and more"),
        ("a.csv", CSV + b'r9,"not closed'),
        ("a.csv", CSV.replace(b"city", b"time")),
        ("a.csv", CSV + b"x" * 2**21),
    ],
)
def test_a_broken_file_is_named_in_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises((OSError, FormError), match=name) as told:
        read(tmp_path / name)
    assert "\n" not in str(told.value)


def test_a_bad_row_of_csv_is_one_bad_record(tmp_path):
    path = tmp_path / "rain.csv"
    rows = CSV.splitlines(keepends=True)
    bad = [
        b"r1,2026-01-01\n",
        b"r2,2026-01-01,Z\xfcrich,1,2\n",
        b"r3,2026-01-01,ber,1,2,3\n",
        b"\n",
    ]
    path.write_bytes(b"".join([*rows[:3], *bad, *rows[3:]]))
    values = read(path, kind="rain")
    assert len(values) == 12
    refused = values[2:5]
    assert b'"2 cells of 5":"in this row"' in refused[0]
    assert b"Z\xfcrich" in refused[1]
    assert b'"6 cells of 5"' in refused[2]
    for value in refused:
        with pytest.raises(ValueError, match=r"unknown field|utf-8"):
            stream.decoder().decode(value)


def test_a_comma_and_a_line_break_in_quotes_belong_to_the_text(tmp_path):
    path = tmp_path / "asked.csv"
    head = "id,time,city,driver,pickup,arrive,price,car\n"
    path.write_text(f'{head}a,{US},ber,1,{US},{US},3,"a ""van"", or\nso"\n')
    (event,) = decoded(path)
    assert event.car == 'a "van", or\nso'
    assert type(event) is stream.request


def test_columns_of_no_event_are_told(tmp_path):
    path, told = tmp_path / "rain.csv", []
    path.write_bytes(CSV.replace(b"wind", b"wind,gusts").replace(b",2\n", b",2,9\n"))
    assert decoded(path, kind="rain", on_left_out=told.append) == wanted()
    assert told == [["gusts"]]


def table(**columns):
    base = {"type": ["rain"], "id": ["r1"], "time": [US], "city": ["ber"], "wind": [2.0]}
    return pa.table(base | {"fell": [1.0]} | columns)


TABLES = {
    "texts as bytes": {
        "type": pa.array([b"rain"]),
        "id": pa.array([b"r1"], pa.large_binary()),
        "city": pa.array([b"ber"], pa.binary(3)),
    },
    "large and repeated texts": {
        "id": pa.array(["r1"], pa.large_string()),
        "city": pa.array(["ber"]).dictionary_encode(),
        "type": pa.array([b"rain"]).dictionary_encode(),
    },
    "decimals": {
        "fell": pa.array([decimal.Decimal("1.00")], pa.decimal128(9, 2)),
        "wind": pa.array([decimal.Decimal(2)], pa.decimal256(40, 3)),
    },
    "small numbers": {
        "fell": pa.array(np.array([1.0], np.float16)),
        "wind": pa.array([2], pa.uint8()),
    },
    "a time with a zone": {"time": pa.array([START], pa.timestamp("ms", "America/New_York"))},
    "a time without": {"time": pa.array([START.replace(tzinfo=None)], pa.timestamp("s"))},
    "a time in nanoseconds": {"time": pa.array([US * 1000 + 999], pa.timestamp("ns"))},
    "a date": {"time": pa.array([START.date()], pa.date32())},
    "a day in milliseconds": {"time": pa.array([START.date()], pa.date64())},
    "a time as text": {"time": pa.array(["2026-01-01T01:00:00+01:00"])},
    "a time as a float": {"time": pa.array([float(US)])},
    "columns of pandas": {"__index_level_0__": [7], "late": pa.nulls(1, pa.float64())},
    "columns of other events": {"driver": pa.nulls(1), "pickup": pa.nulls(1, pa.timestamp("us"))},
}


@pytest.mark.parametrize("name", TABLES)
def test_parquet_is_read_as_others_write_it(tmp_path, name):
    pq.write_table(table(**TABLES[name]), tmp_path / "rain.parquet")
    (event,) = decoded(tmp_path / "rain.parquet")
    assert event == wanted()[0].__class__(id="r1", time=US, city="ber", fell=1.0, wind=2.0)


def test_parquet_has_whole_numbers_with_a_point_where_some_are_null(tmp_path):
    frame = {
        "type": ["asked", "rain"], "id": ["a", "r"], "time": [US, US], "city": ["ber", "ber"],
        "driver": [7.0, None], "pickup": [US, None], "arrive": [float(US), None],
        "price": [3, None], "fell": [None, None], "wind": [None, 2.0],
    }  # fmt: skip
    pl.DataFrame(frame).write_parquet(tmp_path / "both.parquet")
    asked, rain = decoded(tmp_path / "both.parquet")
    assert (asked.driver, asked.pickup, asked.arrive) == (7, US, US)
    assert (rain.fell, rain.wind) == (None, 2.0)


AGES = {
    "milliseconds": pa.array([US // 1000, -(2**62), None], pa.timestamp("ms", "Asia/Tokyo")),
    "microseconds": pa.array([US, 2**63 - 1, None], pa.timestamp("us")),
    "days": pa.array([US // 86_400_000_000, 2**31 - 1, None], pa.date32()),
}


@pytest.mark.parametrize("unit", AGES)
def test_a_time_beyond_the_years_is_refused_alone_and_is_not_another_time(tmp_path, unit):
    columns = {"id": ["a", "b", "c"], "city": ["ber"] * 3, "wind": [2.0] * 3}
    rows = pa.table({"type": ["rain"] * 3, "fell": [1.0] * 3, "time": AGES[unit]} | columns)
    pq.write_table(rows, tmp_path / "a.parquet")
    first, *others = map(Judge(stream).event, read(tmp_path / "a.parquet"))
    assert (first.id, first.time) == ("a", US)
    assert [type(other) for other in others] == [Refused, Refused]


@pytest.mark.parametrize(("unit", "of_us"), [("s", 10**6), ("ms", 1000)])
@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "parquet"])
def test_a_number_in_another_unit_stops_and_its_unit_is_named(tmp_path, form, unit, of_us):
    path = tmp_path / f"rain.{form}"
    rows = [event | {"time": event["time"] // of_us} for event in EVENTS]
    if form == "jsonl":
        path.write_text("\n".join([json.dumps(EVENTS[0]), *map(json.dumps, rows)]))
    elif form == "json":
        path.write_text(json.dumps([EVENTS[0], *rows]))
    elif form == "csv":
        pl.DataFrame([EVENTS[0], *rows]).write_csv(path)
    else:
        pl.DataFrame([EVENTS[0], *rows]).write_parquet(path)
    with pytest.raises(TimeUnitError, match=f'time_unit="{unit}".* in {path} record 2'):
        read(path)


def test_an_export_comes_back_byte_for_byte(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"append_time":5,"event":{"type":"rain","time":"2026-01-01"}}')
    (line,) = read_events(path, stream, kind="asked")
    assert (line.value, line.append_time) == (b'{"type":"rain","time":"2026-01-01"}', 5)


COUNTED = 'f"{sum(1 for _ in read_events(path, stream))} events"'


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_long_table_takes_little_memory(tmp_path, form):
    path, rows = tmp_path / f"long.{form}.gz", 400_000
    times = [str(START + timedelta(seconds=i)) for i in range(1000)]
    with gzip.open(path, "wb", 1) as file:
        file.write(b"id,time,type,note\n" if form == "csv" else b"[")
        for i in range(0, rows, 1000):
            if form == "csv":
                block = "".join(f"r{i}-{t},{t},ber,{'x' * 500}\n" for t in times)
            else:
                block = ",".join(f'{{"id":"r{i}-{t}","note":"{"x" * 500}"}}' for t in times)
                block = ("," if i else "") + block
            file.write(block.encode())
        file.write(b"" if form == "csv" else b"]")
    memory, came = measured(COUNTED, path)
    assert came == f"{rows} events"
    assert memory < 64


def test_cells_of_parquet_that_no_field_takes_are_refused_and_never_changed(tmp_path):
    path = tmp_path / "t.parquet"
    columns = {
        "id": ["a", "b", "c"],
        "time": [US] * 3,
        "text": pa.array([b"x", b"\xff", "ö".encode()], pa.binary()).cast(pa.binary_view()),
        "number": [math.inf, 1.0, math.nan],
        "whole": [True, False, True],
    }
    pq.write_table(pa.table(columns), path)
    found = [json.loads(line.value) for line in read_events(path, tables)]
    assert [one["text"] for one in found] == ["x", [255], "ö"]
    assert [one["number"] for one in found] == ["inf", 1.0, None]
    assert [one["whole"] for one in found] == [1, 0, 1]
    reasons = [Judge(tables).event(json.dumps(one).encode()) for one in found]
    assert [isinstance(one, Refused) for one in reasons] == [True, True, False]


def test_a_table_without_the_columns_of_every_event_is_refused(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"ID": ["a"], "time": [US]}), path)
    with pytest.raises(FormError, match=r"must have the column id; got only ID, time in .*t\.parq"):
        list(read_events(path, tables))


def test_bytes_with_commas_are_not_taken_for_csv(tmp_path):
    path = tmp_path / "t.csv"
    for content in (b"\x8b\x08,\x00k,M\n", b"id\x01,\xff,time2\n", b"\x1b,id,x\n"):
        path.write_bytes(content)
        with pytest.raises(FormError, match=r"got (text that begins|bytes that begin) "):
            list(read_events(path, tables))


def test_a_line_of_space_is_no_row_and_excel_s_own_line_says_what_is_between_cells(tmp_path):
    path = tmp_path / "t.csv"
    rows = "id;time;text;number\n\n a;1767225600000000;x;1\n  \nb;1767225600000000;y;2\n"
    for before in ("", "sep=;\n", "SEP=;\r\n", "\ufeffsep=;\n"):
        path.write_text(before + rows)
        assert [json.loads(line.value)["id"] for line in read_events(path, tables)] == [" a", "b"]


def test_a_text_that_is_no_time_is_told_how_one_is_written():
    wrong = Judge(tables).event(
        b'{"type":"asked","id":"a","time":"1/2/2026","text":"x","number":1}'
    )
    assert wrong == Refused(
        "invalid",
        "Expected `int`, got `str` - at `$.time`: as text it must be RFC 3339, such as "
        "2026-01-01T12:00:00Z",
    )


NAMES = {"trip": "id", "at": "time", "words": "text"}
NAMED = [
    {"trip": i, "at": "2026-01-01T00:00:00Z", "words": "x", "number": 1.5, "type": "asked"}
    for i in range(3)
]


def written_as(path, form):
    if form == "csv":
        lines = [",".join(NAMED[0]), *(",".join(map(str, row.values())) for row in NAMED)]
        path.write_text("\n".join(lines))
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(NAMED), path)
    elif form == "json":
        path.write_text(json.dumps(NAMED, indent=1))
    else:
        path.write_text("\n".join(map(json.dumps, NAMED)))


@pytest.mark.parametrize("form", ["csv", "parquet", "json", "jsonl"])
def test_columns_may_have_other_names(tmp_path, form):
    path = tmp_path / "t"
    written_as(path, form)
    found = [json.loads(line.value) for line in read_events(path, tables, dialect=Dialect(NAMES))]
    expected = {"type": "asked", "time": US, "text": "x", "number": 1.5}
    assert found == [expected | {"id": str(i)} for i in range(3)]
    swapped = {"trip": "text", "words": "id", "at": "time"}
    first = next(
        json.loads(line.value) for line in read_events(path, tables, dialect=Dialect(swapped))
    )
    assert (first["id"], first["text"]) == ("x", "0")


def test_a_name_that_is_there_already_is_not_given_twice(tmp_path):
    path = tmp_path / "t"
    path.write_text('{"type":"told","id":"a","no":"b","time":5,"of":"x","yes":true}\n')
    (line,) = read_events(path, tables, is_sure=True, dialect=Dialect({"no": "id"}))
    assert json.loads(line.value)["id"] == "a"
    assert isinstance(Judge(tables).event(line.value), Refused)
    path.write_text("id,no,time\na,b,5\n")
    with pytest.raises(FormError, match="columns must be distinct; got 'id' more than once"):
        list(read_events(path, tables, dialect=Dialect({"no": "id"})))
