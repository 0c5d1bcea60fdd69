"""Answers of both sides come into one table as they were written."""

import random
import struct

import msgspec
import polars as pl
import pytest

from flows.replay.requests import requests_of
from state.log import Entry, LogError
from state.log.sqlite import SqliteLog
from state.outputs.records import Prediction

NAMES = ['a"b', "line\nbreak", '}\n{"id":"x"}', "\\u0041\\", "\r\n\t\x00", "\u2028", "ü€😀", ""]


@pytest.fixture
def log_of(tmp_path):
    made = []

    def make(predictions, labels):
        log = SqliteLog(tmp_path / str(len(made)))
        made.append(log)
        written = {
            "events": [b"{}"] * 100,
            "predictions": [msgspec.json.encode(one) for one in predictions],
            "outcomes": [
                msgspec.json.encode({"id": "x", "offset": offset, "label": label, "wind": None})
                for offset, label in labels.items()
            ],
        }
        for topic, values in written.items():
            log.create(topic, 1)
            log.append(topic, 0, [Entry(1, b"", value) for value in values])
        return log

    yield make
    for log in made:
        log.close()


def predictions(offsets):
    """With names and probabilities that are hard to write down."""
    draw = random.Random(3)
    hard = [5e-324, 2.2250738585072014e-308, 1e-310, 0.1 + 0.2, 1.0 - 2.0**-53, 0.0]
    while len(hard) < 500:
        (of,) = struct.unpack("<d", draw.randbytes(8))
        hard += [of] if 0.0 < of < 1.0 else []
    return [
        Prediction(
            f"{NAMES[o % len(NAMES)]}-{o}",
            1_357_034_400_123_000 + o,
            NAMES[-1 - o % len(NAMES)],
            draw.choice(hard),
            draw.choice(hard),
            draw.choice([*hard, None]),
            draw.choice([*hard, None]),
            bool(o % 2),
            draw.choice(["gbm-1", None]),
            0,
            o,
            chain="0" * 16,
        )
        for o in offsets
    ]


def test_what_was_written_is_read_to_the_last_bit(log_of):
    offsets = range(0, 90, 2)
    base = predictions(offsets)
    branch = [
        msgspec.structs.replace(other, id=one.id, event_time=one.event_time, key=one.key, offset=o)
        for o, one, other in zip(offsets, base, base[::-1], strict=True)
    ]
    labels = {o: o % 4 // 2 for o in range(0, 80, 2)}
    found = requests_of(log_of(base, {}), log_of(branch, labels), 0, 10, 70).sort("offset")
    wanted = [(a, b) for a, b in zip(base, branch, strict=True) if 10 <= a.offset < 70]
    assert len(found) == len(wanted) == 30
    for row, (a, b) in zip(found.iter_rows(named=True), wanted, strict=True):
        assert (row["id"], row["key"], row["offset"]) == (a.id, a.key, a.offset)
        assert row["label"] == labels[a.offset]
        for side, one in (("base", a), ("branch", b)):
            for name in ("probability", "online", "offline", "residual", "decision", "model"):
                assert row[f"{name}_{side}"] == getattr(one, name), (name, side, a.offset)
    assert found.schema["event_time"] == pl.Datetime("ms")
    times = found["event_time"].dt.epoch("ms").to_list()
    assert times == [a.event_time // 1_000 for a, _ in wanted]


def test_what_one_side_did_not_answer_is_null_there(log_of):
    base, branch = predictions([2, 4]), predictions([4, 6])
    branch[0] = msgspec.structs.replace(base[1], probability=0.25)
    found = requests_of(log_of(base, {}), log_of(branch, {4: 1}), 0, 0, 100).sort("offset")
    assert found["offset"].to_list() == [2, 4, 6]
    assert found["probability_branch"].to_list() == [None, 0.25, branch[1].probability]
    assert found["decision_base"].to_list() == [False, False, None]
    assert found["label"].to_list() == [None, 1, None]


def test_nothing_is_a_table_of_the_same_columns(log_of):
    some = requests_of(log_of(predictions([1]), {}), log_of(predictions([1]), {1: 0}), 0, 0, 5)
    none = requests_of(log_of([], {}), log_of([], {}), 0, 0, 5)
    assert none.schema == some.schema
    assert (len(some), len(none)) == (1, 0)


@pytest.mark.parametrize("value", [b"\xff\xfe{", b"{}", b"[", b'{"offset":"x"}', b"null"])
def test_a_record_that_was_altered_is_named(log_of, value):
    base, branch = (log_of(predictions(range(9)), {}) for _ in range(2))
    base.append("predictions", 0, [Entry(1, b"", value)])
    with pytest.raises(LogError, match="predictions/0 at offset 9: it was altered"):
        requests_of(base, branch, 0, 0, 100)
