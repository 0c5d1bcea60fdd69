"""Each record of a source is appended once, wherever ingest is cut off."""

from collections import Counter

import msgspec
import pytest

from flows.home.home import create_topics, wanted_topics
from state.ingest.positions import LETTERS, IngestError, IngestWriter, Sourced, positions_of
from state.log import EVENTS, Entry
from state.log.sqlite import SqliteLog
from state.outputs.records import DeadLetter
from state.topics import INGESTED

PARTITIONS = 3


class CutOffError(Exception):
    """The process has ended."""


class MortalLog(SqliteLog):
    """A log whose process ends before its nth append."""

    appends_left = 10**9

    def append(self, topic, partition, entries, *, sequence=None):
        if entries and not self.appends_left:
            raise CutOffError
        self.appends_left -= bool(entries)
        return super().append(topic, partition, entries, sequence=sequence)


@pytest.fixture
def log(tmp_path):
    log = MortalLog(tmp_path)
    create_topics(log, PARTITIONS)
    yield log
    log.close()


def record(source, offset, mapping="m"):
    """Every fifth is no event; another mapping gives other keys."""
    name = f"{source} {offset}".encode()
    if offset % 5 == 4:
        topic, partition = source.split("/")
        bad = DeadLetter("invalid", "", int(partition), offset, len(name), name, topic)
        return Sourced(source, offset, offset, bad)
    return Sourced(source, offset, offset, (b"key %d %d" % (offset % 7, len(mapping)), name))


SOURCES = {"a/0": 43, "a/1": 31, "b/0": 12}


def unread(intake, step, mapping="m"):
    """Records left in the sources, in batches, each time in another order."""
    left = [
        record(source, offset, mapping)
        for source, end in SOURCES.items()
        for offset in range(intake.position(source) or 0, end)
    ]
    left.sort(key=lambda one: (one.offset // step, one.source, one.offset))
    return [left[i : i + step] for i in range(0, len(left), step)]


def take_all(log, step, mapping="m"):
    intake = IngestWriter(log, mapping)
    for i, batch in enumerate(unread(intake, step, mapping)):
        intake.append(batch)
        if i % 3 == 0:
            intake.settle()
    intake.settle()


def held(log):
    """Number of copies of each record."""
    names = Counter()
    for partition in range(PARTITIONS):
        names.update(r.value for r in log.read(EVENTS, partition, 0))
    for letter in log.read(LETTERS, PARTITIONS, 0):
        names[msgspec.json.decode(letter.value, type=DeadLetter).raw] += 1
    return names


EVERY_ONE = {f"{source} {i}".encode(): 1 for source, end in SOURCES.items() for i in range(end)}


@pytest.mark.parametrize("lives", [range(1, 30), [1] * 40, [2, 3] * 20, [5, 1, 7] * 10])
def test_each_record_is_appended_once_however_often_it_is_cut_off(log, lives):
    deaths = 0
    for i, life in enumerate(lives):
        log.appends_left = life
        try:
            take_all(log, step=7 + i % 4)
        except CutOffError:
            deaths += 1
    log.appends_left = 10**9
    take_all(log, step=10)
    assert deaths > 5
    assert held(log) == EVERY_ONE
    assert positions_of(log) == SOURCES


@pytest.mark.parametrize("life", range(2, 25, 3))
def test_a_mapping_that_changed_after_a_crash_loses_and_doubles_nothing(log, life):
    deaths = 0
    for i in range(12):
        log.appends_left = life
        old, new = "m" * (i + 1), "m" * (i + 2)
        for mapping in (old, new):
            try:
                take_all(log, 7, mapping)
            except CutOffError:
                deaths += 1
            except IngestError:
                log.appends_left = 10**9
                take_all(log, 7, old)
                take_all(log, 7, new)
    log.appends_left = 10**9
    take_all(log, 7, new)
    assert held(log) == EVERY_ONE
    assert deaths


def test_a_mapping_may_change_only_where_all_partitions_know_the_same(log):
    take_all(log, 10)
    IngestWriter(log, "other").append([record("c/0", 0, "other")])
    with pytest.raises(
        IngestError,
        match=r"ingest\.topics must not change .*; got others with c/0 at 1 in one and 0 in "
        "another: run `headwater ingest` once with the old ones",
    ):
        IngestWriter(log, "third")
    again = IngestWriter(log, "other")
    again.append([record("c/0", 0, "other")])
    again.settle()
    assert IngestWriter(log, "third").position("c/0") == 1


def test_an_entry_from_before_there_was_a_digest_is_gone_on_with(log):
    intake = IngestWriter(log, "")
    intake.append([record("a/0", i) for i in range(3)])
    assert IngestWriter(log, "m").position("a/0") is None


def test_a_record_that_was_buried_stays_so_if_the_mapping_is_mended_meanwhile(log):
    bad, good = record("a/0", 4), Sourced("a/0", 4, 4, (b"k", b"a/0 4"))
    log.appends_left = 1
    with pytest.raises(CutOffError):
        IngestWriter(log, "m").append([record("a/0", 3), bad])
    log.appends_left = 10**9
    IngestWriter(log, "m").append([record("a/0", 3), good])
    assert held(log) == {b"a/0 3": 1, b"a/0 4": 1}
    assert log.end(LETTERS, PARTITIONS) == 1


def test_an_announcement_does_not_count_for_what_someone_else_appended(log):
    intake = IngestWriter(log, "m")
    first, second = ([record("a/0", i) for i in of] for of in (range(2), range(2, 4)))
    intake.append(first)
    intake.settle()
    log.appends_left = 1  # announces, and ends
    with pytest.raises(CutOffError):
        intake.append(second)
    log.appends_left = 10**9
    for partition in range(PARTITIONS):
        log.append(EVENTS, partition, [Entry(0, b"", b"from a file")] * 3)
    again = IngestWriter(log, "m")
    assert again.position("a/0") == 2
    again.append(second)
    assert {f"a/0 {i}".encode() for i in range(4)} < held(log).keys()


def test_two_at_once_are_told_and_the_log_stays_exact(log):
    one, other = IngestWriter(log, "m"), IngestWriter(log, "m")
    batch = [record("a/0", i) for i in range(10)]
    one.append(batch)
    with pytest.raises(IngestError, match=r"only one ingest may append to .*stop one of them"):
        other.append(batch[:5])
    log.append(EVENTS, 0, [Entry(0, b"", b"from a file")])
    with pytest.raises(IngestError, match=r"to events/\d; got records of another"):
        one.append([record("b/0", i) for i in range(12)])


def test_the_journal_is_kept_short_and_a_trimmed_event_counts(log):
    intake = IngestWriter(log, "m")
    for i in range(1050):
        intake.append([Sourced("a/0", i, i, (b"k", b"%d" % i))])
    intake.settle()
    (used,) = [p for p in range(PARTITIONS) if log.end(EVENTS, p)]
    assert log.end(INGESTED, used) - log.start(INGESTED, used) < 200
    log.append(EVENTS, used, [Entry(0, b"", b"from a file")] * 2)
    log.trim(EVENTS, used, 1051)
    assert IngestWriter(log, "m").position("a/0") == 1050


def test_a_log_from_before_has_no_room_for_foreign_topics(tmp_path):
    old = SqliteLog(tmp_path)
    for topic, partitions in wanted_topics(PARTITIONS).items():
        old.create(topic, PARTITIONS if topic == LETTERS else partitions)
    create_topics(old, PARTITIONS)  # all else can be done with it
    assert old.partitions(LETTERS) == PARTITIONS
    with pytest.raises(IngestError, match="must have a partition for ingest, 4 in all; got 3"):
        IngestWriter(old, "m")
    old.close()


@pytest.mark.parametrize("reason", ["invalid", "malformed"])
def test_a_letter_that_is_tried_again_in_vain_is_written_once(log, reason):
    take_all(log, step=10)
    source, letters = f"{LETTERS}/{PARTITIONS}/{reason}", log.end(LETTERS, PARTITIONS)
    log.append(
        LETTERS,
        PARTITIONS,
        [Entry(0, b"", msgspec.json.encode(DeadLetter(reason, "", 0, 99, 0, b"", "a")))] * 2,
    )
    tries = [
        Sourced(source, n, 0, DeadLetter("invalid", "", 0, 99, 0, b"", "a", again=n))
        for n in (letters, letters + 1)
    ]
    log.appends_left = 1
    intake = IngestWriter(log, "m")
    intake.append(tries)  # letters only: nothing is announced yet
    log.appends_left = 0
    with pytest.raises(CutOffError):
        intake.settle()
    log.appends_left = 10**9
    again = IngestWriter(log, "m")
    assert again.position(source) is None
    assert again.append(tries) == (0, 0)
    again.settle()
    assert IngestWriter(log, "m").position(source) == letters + 2
    assert log.end(LETTERS, PARTITIONS) == letters + 4
