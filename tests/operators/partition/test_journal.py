"""A journal holds what was durable when a crash came, and no more of it."""

import math
import shutil
from datetime import date

import pytest

from operators.partition.journal import (
    VERSION,
    Activated,
    Configured,
    Crossed,
    Journal,
    JournalWriter,
)
from state.log import Entry, LogError, UnknownTopicError
from state.log.sqlite import SqliteLog

ENTRIES = [
    Activated(3, "m1", 100),
    Crossed(5, 110),
    Activated(5, None, 110),
    Activated(9, "m2", None),
]


@pytest.fixture
def root(tmp_path):
    """A journal as a crash leaves it: the last entries are in the write-ahead log only."""
    log = SqliteLog(tmp_path / "before")
    log.create("activations", 1)
    journal = JournalWriter(log, 0)
    for entry in ENTRIES:
        journal.write(entry, 0)
    files = tmp_path / "after" / "activations"
    files.mkdir(parents=True)
    for name in ("topic.json", "0.db", "0.db-wal"):
        shutil.copy(tmp_path / "before" / "activations" / name, files / name)
    log.close()
    return tmp_path / "after"


def journal(root):
    log = SqliteLog(root)
    try:
        return Journal(log, 0)
    finally:
        log.close()


def test_what_was_written_is_there_after_a_crash(root):
    found = journal(root)
    assert found.entries == ENTRIES
    assert (found.boundary, found.active) == (110, ENTRIES[-1])


TITLES = [
    (Activated(0, "a", 1), None, "a"),
    (Activated(0, "b", 2), "a", "a"),
    (Activated(0, "c", 3), "b", "b"),
    (Activated(0, "c", 4), "b", "b"),
    (Activated(0, "d", 5, champion="b", version=5), "b", "b"),
    (Activated(0, "d", None, champion="d", version=5), "b", "d"),
    (Activated(0, "b", None, champion="b", version=5), None, "b"),
    (Activated(0, "e", 6), "b", "b"),
    (Activated(0, "e", None, 1), None, "e"),
    (Activated(0, "a", None, 2), None, "a"),
    (Activated(0, None, 7), None, None),
    (Activated(0, "f", 8), None, "f"),
]


def test_the_model_before_has_the_title_unless_an_entry_names_another(tmp_path):
    log = SqliteLog(tmp_path / "log")
    log.create("activations", 1)
    found = JournalWriter(log, 0)
    assert found.champion() is None
    for number, (entry, beside, champion) in enumerate(TITLES):
        found.write(entry, 0)
        assert found.model_before(number + 1) == beside
        assert (found.champion(), Journal(log, 0).champion()) == (champion, champion)
    log.close()


@pytest.mark.parametrize("torn_bytes", [1, 100, 5_000])
def test_a_torn_last_record_is_not_there_and_is_written_again(root, torn_bytes):
    wal = root / "activations" / "0.db-wal"
    wal.write_bytes(wal.read_bytes()[:-torn_bytes])
    log = SqliteLog(root)
    found = JournalWriter(log, 0)
    assert found.entries == ENTRIES[:-1]
    assert found.active == ENTRIES[2]
    found.write(ENTRIES[-1], 0)
    log.close()
    assert journal(root).entries == ENTRIES


def test_a_boundary_that_was_crossed_is_not_yet_decided(root):
    log = SqliteLog(root)
    found = JournalWriter(log, 0)
    found.write(Crossed(12, 120), 120)
    assert (found.boundary, found.active) == (110, ENTRIES[3])
    log.close()


def test_a_log_without_a_journal_says_so(tmp_path):
    log = SqliteLog(tmp_path / "log")
    with pytest.raises(UnknownTopicError, match="topic must be created first; got 'activations'"):
        Journal(log, 0)


def test_the_settings_at_a_place_are_those_of_the_newest_entry_before_it(root):
    log = SqliteLog(root)
    found = JournalWriter(log, 0)
    found.write(Configured(9, {"decision.threshold": 0.5}, version=2), 0)
    found.write(Activated(10, "m3", None), 0)
    found.write(Configured(11, {"decision.threshold": 0.25}, version=2), 0)
    log.close()
    told = [journal(root).settings(number) for number in (4, 5, 6, 7)]
    assert told == [
        None,
        {"decision.threshold": 0.5},
        {"decision.threshold": 0.5},
        {"decision.threshold": 0.25},
    ]
    assert journal(root).active == Activated(10, "m3", None)


@pytest.mark.parametrize(
    "entry",
    [
        Configured(9, {"training.margin": math.nan}, version=2),
        Configured(9, {"decision.threshold": math.inf}, version=2),
        Configured(9, {"online.river": {"x": date(2020, 1, 1)}}, version=2),
        Configured(9, {}, version=VERSION + 1),
        Activated(9, 5, None),
        Crossed("9", 100),
    ],
)
def test_what_could_not_be_read_as_it_is_is_not_written(root, entry):
    log = SqliteLog(root)
    found = JournalWriter(log, 0)
    with pytest.raises(LogError, match="journal entry must be"):
        found.write(entry, 0)
    assert found.entries == ENTRIES
    log.close()
    assert journal(root).entries == ENTRIES


@pytest.mark.parametrize(
    "fields",
    [
        '"type":"crossed","offset":1,"boundary":9223372036854775807',
        '"type":"crossed","offset":1,"boundary":99999999999999999999999',
        '"type":"crossed","offset":-1,"boundary":5',
        '"type":"activated","offset":9223372036854775807,"model":null,"boundary":null',
        '"type":"activated","offset":1,"model":null,"boundary":-5',
        '"type":"activated","offset":1,"model":null,"boundary":5,"rollbacks":99999999999999999999',
        '"type":"configured","version":2,"offset":-7,"settings":{}',
    ],
)
def test_an_entry_that_no_shard_could_hold_is_refused_by_its_place(tmp_path, fields):
    log = SqliteLog(tmp_path)
    log.create("activations", 1)
    log.append("activations", 0, [Entry(0, b"", f"{{{fields}}}".encode())])
    with pytest.raises(LogError, match=r"journal entry must be readable; .* activations/0 at "):
        Journal(log, 0)
    log.close()
