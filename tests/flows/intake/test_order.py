"""Files that are not sorted by time are told, and sorted where that is said."""

import json
import random

import pytest

from flows.__main__ import main
from flows.intake.event_files import Line
from flows.intake.order import sort_lines
from tests.flows.intake.test_dialect import folder, refused
from tests.state.ingest.test_rows import US, stream

__all__ = ["folder"]

HOUR = 3_600 * 10**6
ASKED = [
    {"type": "asked", "id": f"a{i}", "time": US + i * HOUR, "text": "x", "number": i}
    for i in range(40)
]
TOLD = [
    {"type": "told", "id": f"t{i}", "time": US + i * HOUR + 60, "of": f"a{i}", "yes": True}
    for i in range(40)
]
BOTH = sorted(ASKED + TOLD, key=lambda event: event["time"])
SHUFFLED = random.Random(7).sample(BOTH, len(BOTH))


def write(path, events):
    path.write_text("\n".join(map(json.dumps, events)))


def labels(path):
    assert main(["run"]) == 0
    assert main(["export", "outcomes", "--out", str(path / "o.jsonl")]) == 0
    lines = (path / "o.jsonl").read_text().splitlines()
    return {one["id"]: one["label"] for one in map(json.loads, lines)}


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (BOTH[::-1], "whose first 80 records the newest come first: nothing"),
        (ASKED + TOLD, "whose first 80 records 34 are older than those before them, by up to 35h"),
        (SHUFFLED, "are older than those before them"),
    ],
)
def test_a_file_out_of_order_is_refused_and_sorted_where_that_is_said(folder, capsys, events, said):
    write(folder / "t", events)
    error = refused(capsys, "t")
    assert "FILE must be sorted by time; got t of" in error
    assert said in error
    assert not (folder / "home").exists()
    assert main(["ingest", "--dry-run", "t"]) == 2
    assert "--sort sorts them" in capsys.readouterr().out
    assert main(["ingest", "--sort", "t"]) == 0
    assert capsys.readouterr().err == ""
    assert labels(folder) == dict.fromkeys((f"a{i}" for i in range(40)), 1)


def test_disorder_after_the_first_records_is_told_at_the_end(folder, capsys):
    many = [
        one | {"id": f"{one['id']}-{k}", "time": one["time"] + k} for one in BOTH for k in range(20)
    ]
    write(folder / "t", many + TOLD)
    assert main(["ingest", "t"]) == 0
    error = capsys.readouterr().err
    assert "t: not sorted by time, 39 are older than those before them, by up to 39h" in error
    assert "--sort sorts a file before it is appended" in error


@pytest.mark.parametrize("place", [0, 1, 40, 79, 80])
@pytest.mark.parametrize("ahead", [400 * HOUR, -400 * HOUR])
def test_one_time_far_from_all_others_is_no_disorder(folder, capsys, place, ahead):
    odd = {"type": "asked", "id": "odd", "time": US + ahead, "text": "x", "number": 1}
    write(folder / "t", [*BOTH[:place], odd, *BOTH[place:]])
    assert main(["ingest", "t"]) == 0
    assert capsys.readouterr().err == ""


def test_a_little_disorder_and_equal_times_are_fine(folder, capsys):
    near = [one | {"time": one["time"] - i % 7 * 60} for i, one in enumerate(BOTH)]
    same = [one | {"id": f"s{i}", "time": US + 50 * HOUR} for i, one in enumerate(ASKED)]
    write(folder / "t", near + same)
    assert main(["ingest", "t"]) == 0
    assert capsys.readouterr().err == ""


def test_records_of_one_time_and_those_without_stay_in_place(tmp_path):
    values = [b'{"n":0}', b"junk", b'{"time":9,"n":1}', b'{"time":5,"n":2}', b"no\nevent",
              b'{"time":9,"n":3}', b'{"time":%d,"n":4}' % 10**20, b'{"time":5,"n":5}']  # fmt: skip
    path = sort_lines((Line(value, None, 0) for value in values), stream.peek(), tmp_path)
    order = [0, 1, 3, 4, 7, 2, 5, 6]
    wanted = [values[i].replace(b"\n", b" ") for i in order]
    assert path.read_bytes().splitlines() == wanted


def test_an_export_is_sorted_already(folder, capsys):
    write(folder / "t", BOTH)
    assert main(["ingest", "t"]) == 0
    assert main(["export", "events", "--out", "e.jsonl"]) == 0
    assert "got an export, whose order is the log's" in refused(capsys, "--sort", "e.jsonl")
