"""Lost parts of a log are derived again if possible, else reported in one line."""

import shutil
import sqlite3
from contextlib import closing

import pytest

from tests.flow_processes import ALONE, Group, fill
from tests.torture import WITHOUT_H2O, compare

LETTERS_OF_INGEST = 8  # quotes have eight partitions


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A home that was run to its end, with two boundaries."""
    home = tmp_path_factory.mktemp("damaged") / "whole"
    fill(home, WITHOUT_H2O, hours=1.5)
    assert Group(home).wait(300) == [0]
    return home


@pytest.fixture
def home(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "home")


def change(home, topic, partition, statement):
    with closing(sqlite3.connect(home / "log" / topic / f"{partition}.db")) as database, database:
        database.execute(statement)


def end(home, topic, partition):
    with closing(sqlite3.connect(home / "log" / topic / f"{partition}.db")) as database:
        return database.execute("SELECT max(offset) + 1 FROM records").fetchone()[0]


def headwater(home, *words):
    """Exit code and the last line."""
    group = Group(home, ALONE, ("-m", "flows", *words))
    (code,) = group.wait(300)
    said = group.output()
    assert "Traceback" not in said
    return code, said.splitlines()[-1]


def problems(home):
    """The problems that `headwater doctor` reports."""
    group = Group(home, ALONE, ("-m", "flows", "doctor", "--no-h2o"))
    group.wait(300)
    lines = group.output().splitlines()
    return [line[8:25].strip() for line in lines if line.startswith("problem")]


def file_of(home, topic, partition):
    return home / "log" / topic / f"{partition}.db"


def test_a_lost_end_of_the_events_stops_every_verb_that_goes_on_from_it(home, whole):
    wanted = end(home, "events", 3)
    change(home, "events", 3, f"DELETE FROM records WHERE offset >= {wanted - 8}")
    files = sorted(path.name for path in (home / "checkpoints" / "3").iterdir())
    (home / "more.jsonl").write_text("{}\n")
    for verb in ("run", "replay", "status", "serve", "ingest"):
        code, line = headwater(
            home, verb, *(["--force", str(home / "more.jsonl")] if verb == "ingest" else [])
        )
        assert code == (1 if verb == "status" else 2)
        assert f"reach offset {wanted}, up to which it was read; got an end of {wanted - 8}" in line
        assert f"events/3 ({file_of(home, 'events', 3)}): it was cut" in line
    assert problems(home) == ["log events"]
    assert sorted(path.name for path in (home / "checkpoints" / "3").iterdir()) == files
    shutil.copy(file_of(whole, "events", 3), file_of(home, "events", 3))
    assert headwater(home, "run")[0] == 0
    assert problems(home) == []
    compare(whole, home)


def test_to_go_on_without_the_lost_end_one_moves_what_was_made_of_it_away(home):
    left = end(home, "events", 3) - 8
    change(home, "events", 3, f"DELETE FROM records WHERE offset >= {left}")
    (home / "checkpoints" / "3").rename(home / "away")
    code, line = headwater(home, "run")
    assert (code, "topics predictions, outcomes" in line) == (2, True)  # these know it too
    for topic in ("predictions", "outcomes", "metrics", "alerts", "dead_letters"):
        file_of(home, topic, 3).unlink()
    assert headwater(home, "run")[0] == 0
    assert headwater(home, "replay")[0] == 0


def test_events_of_another_partition_are_refused(home):
    one, other = file_of(home, "events", 0), file_of(home, "events", 1)
    one.rename(home / "aside")
    other.rename(one)
    (home / "aside").rename(other)
    code, line = headwater(home, "run")
    assert code == 2
    assert "in events/" in line
    assert "Restore" in line


@pytest.mark.parametrize(
    "lost",
    [
        ["predictions/0.db"],
        ["outcomes/1.db", "metrics/2.db", "snapshots/4.db"],
        [f"alerts/{LETTERS_OF_INGEST}.db", f"dead_letters/{LETTERS_OF_INGEST}.db", "alerts/0.db"],
        [f"{topic}/{n}.db" for topic in ("predictions", "outcomes", "snapshots") for n in range(8)],
        ["metrics/topic.json", "metrics/0.db", "predictions/topic.json", "outcomes"],
    ],
)
def test_files_that_a_derived_topic_lost_are_made_again_to_the_same_bytes(home, whole, lost):
    for name in lost:
        path = home / "log" / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    assert headwater(home, "run")[0] == 0
    compare(whole, home)


def test_a_lost_end_of_derived_topics_is_made_again(home, whole):
    for topic in ("predictions", "outcomes", "metrics", "snapshots"):
        change(
            home, topic, 3, "DELETE FROM records WHERE offset >= (SELECT max(offset) FROM records)"
        )
    file_of(home, "metrics", 5).write_bytes(b"")  # as a copy that failed leaves it
    assert headwater(home, "run")[0] == 0
    compare(whole, home)


@pytest.mark.parametrize("topic", ["events", "activations", "models"])
def test_what_cannot_be_made_again_is_missed_in_one_line(home, topic):
    path = file_of(home, topic, 0)
    path.unlink()
    code, line = headwater(home, "run")
    assert (code, f"in {path}: it is lost" in line) == (2, True)
    assert not path.exists()
    shutil.rmtree(path.parent)
    code, line = headwater(home, "run")
    assert (code, f"{path.parent}: it was lost" in line) == (2, True)
    assert not path.parent.exists()
