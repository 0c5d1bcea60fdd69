"""Avro object container files are read like tables, within the memory of their decoder."""

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import fastavro
import pytest

from flows.intake.event_files import read_lines
from flows.intake.stream_events import read_events
from tests.state.ingest.test_rows import stream

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
AT_US = 1_767_268_800_000_000
SCHEMA = {
    "type": "record",
    "name": "Asked",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "text", "type": ["null", "string", "bytes"]},
        {
            "name": "number",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2},
        },
        {
            "name": "when",
            "type": ["null", {"type": "long", "logicalType": "local-timestamp-millis"}],
        },
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "size", "type": {"type": "enum", "name": "Size", "symbols": ["s", "m"]}},
        {"name": "more", "type": {"type": "int", "logicalType": "date"}},
    ],
}
ROW = {
    "id": "a",
    "time": AT,
    "text": "Köln",
    "number": Decimal("-1.25"),
    "when": datetime(2026, 1, 1),  # noqa: DTZ001 - local, as Avro has it
    "tags": ["u", "v"],
    "size": "m",
    "more": date(2026, 1, 2),
}
EVENT = {
    "type": "asked",
    "id": "a",
    "time": AT_US,
    "text": "Köln",
    "number": -1.25,
    "when": 1_767_225_600_000_000,
    "tags": ["u", "v"],
    "size": "m",
}


def written(path, rows, schema=SCHEMA, **options):
    with path.open("wb") as file:
        fastavro.writer(file, schema, rows, **options)
    return path


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_a_row_is_an_event_whatever_the_codec_and_the_suffix(tmp_path, codec):
    rows = [ROW, ROW | {"id": "b", "text": None, "when": None}, ROW | {"text": b"bytes"}]
    path = written(tmp_path / "events.jsonl", rows, codec=codec)
    left_out = []
    found = [
        json.loads(line.value) for line in read_events(path, stream, on_left_out=left_out.extend)
    ]
    without = {name: value for name, value in EVENT.items() if name != "when"}
    assert found[0] == EVENT
    del without["text"]
    assert found[1] == without | {"id": "b"}
    assert found[2] == EVENT | {"text": "bytes"}
    assert left_out == ["more"]


def test_without_a_stream_moments_are_microseconds_and_null_is_left_out(tmp_path):
    path = written(tmp_path / "events.avro", [ROW | {"text": None}])
    (line,) = read_lines(path)
    assert json.loads(line.value) == {
        name: value for name, value in EVENT.items() if name not in {"type", "text"}
    } | {"number": "-1.25", "more": "2026-01-02"}


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (lambda whole: whole[:-9], "expected sync marker not found"),
        (lambda whole: whole[:30], "file must be readable"),
        (lambda whole: whole[:4] + b"\xff" * 40, "file must be readable"),
    ],
)
def test_a_broken_file_is_one_line_that_names_it(tmp_path, content, wrong):
    whole = io.BytesIO()
    fastavro.writer(whole, SCHEMA, [ROW])
    path = tmp_path / "broken.avro"
    path.write_bytes(content(whole.getvalue()))
    with pytest.raises(OSError, match=rf"{wrong}.*broken\.avro"):
        list(read_events(path, stream))


def test_a_file_of_texts_is_no_table(tmp_path):
    path = written(tmp_path / "texts.avro", ["a"], "string")
    with pytest.raises(OSError, match="Avro must hold records; got 'string'"):
        list(read_events(path, stream))


def test_a_block_that_unpacks_beyond_the_memory_is_refused(tmp_path):
    schema = {"type": "record", "name": "R", "fields": [{"name": "id", "type": "bytes"}]}
    path = written(tmp_path / "bomb.avro", [{"id": bytes(400 * 2**20)}], schema, codec="deflate")
    assert path.stat().st_size < 2**20
    with pytest.raises(OSError, match="more than 320 MiB to decode"):
        list(read_lines(path))


def test_a_moment_or_date_beyond_the_calendar_is_a_text_of_its_row_alone(tmp_path):
    kinds = {
        "time": {"type": "long", "logicalType": "timestamp-micros"},
        "when": {"type": "long", "logicalType": "local-timestamp-millis"},
        "more": {"type": "int", "logicalType": "date"},
    }
    fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
    schema = {"type": "record", "name": "Aged", "fields": fields}
    rows = [dict.fromkeys(kinds, 86_400), {"time": 2**62, "when": 2**62, "more": 2**31 - 1}]
    path = written(tmp_path / "ages.avro", rows, schema)
    assert [json.loads(line.value) for line in read_lines(path)] == [
        {"time": 86_400, "when": 86_400_000, "more": "2206-07-23"},
        {
            "time": f"long-timestamp-micros {2**62}",
            "when": f"long-local-timestamp-millis {2**62}",
            "more": f"int-date {2**31 - 1}",
        },
    ]
