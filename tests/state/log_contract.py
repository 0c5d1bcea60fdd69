"""The contract of every log backend: inherit `LogContract` and provide the fixture `opening`."""

import subprocess
import sys
import threading
from contextlib import contextmanager
from textwrap import dedent
from time import perf_counter

import pytest

from state.log import (
    MAX_VALUE_BYTES,
    Entry,
    OffsetError,
    Record,
    SequenceConflictError,
    UnknownTopicError,
)

BATCH = 4000


def entries(*values, at=0):
    return [Entry(at + i, b"key", value) for i, value in enumerate(values)]


def values(records):
    return [record.value for record in records]


@contextmanager
def child(opening, script):
    """A Python process that runs `script` with `log` open; killed when the block ends."""
    code = f"{opening}\nfrom state.log import Entry\n{dedent(script)}"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def read_all(log, topic, partition=0):
    records = []
    while batch := log.read(topic, partition, len(records)):
        records += batch
    return records


class LogContract:
    @pytest.fixture
    def opening(self):
        """Python source that binds `log` to the log of this test, here and in child processes."""
        raise NotImplementedError

    @pytest.fixture
    def reopened(self, opening):
        opened = []

        def reopen():
            scope = {}
            exec(opening, scope)
            opened.append(scope["log"])
            return opened[-1]

        yield reopen
        for log in opened:
            log.close()

    @pytest.fixture
    def log(self, reopened):
        log = reopened()
        log.create("t", 1)
        return log

    def test_an_empty_partition_starts_and_ends_at_zero(self, log):
        assert (log.start("t", 0), log.end("t", 0), log.read("t", 0, 0)) == (0, 0, [])

    def test_offsets_are_dense_from_zero(self, log):
        assert log.append("t", 0, entries(b"a", b"b")) == 2
        assert log.append("t", 0, entries(b"c", at=7)) == 3
        assert log.read("t", 0, 0) == [
            Record(0, 0, b"key", b"a"),
            Record(1, 1, b"key", b"b"),
            Record(2, 7, b"key", b"c"),
        ]
        assert (log.start("t", 0), log.end("t", 0)) == (0, 3)

    def test_records_have_names(self, log):
        log.append("t", 0, [Entry(5, b"k", b"v")])
        (record,) = log.read("t", 0, 0)
        assert (record.offset, record.append_time, record.key, record.value) == (0, 5, b"k", b"v")

    def test_nothing_appended_changes_nothing(self, log):
        log.append("t", 0, entries(b"a"))
        assert log.append("t", 0, []) == 1
        assert log.end("t", 0) == 1

    def test_any_bytes_come_back(self, log):
        given = [
            Entry(0, b"", b""),
            Entry(1, b"\x00\xff", bytes(range(256))),
            Entry(2, b"", b'{"a":1}\n\r\n'),
            Entry(3, "é".encode(), b"NULL"),
        ]
        log.append("t", 0, given)
        assert [record[1:] for record in log.read("t", 0, 0)] == given

    def test_the_largest_value_fits_and_a_larger_one_is_refused_whole(self, log):
        largest = bytes(MAX_VALUE_BYTES)
        log.append("t", 0, [Entry(0, b"", largest)])
        with pytest.raises(ValueError, match=rf"at most {MAX_VALUE_BYTES} bytes; got .* in t/0"):
            log.append("t", 0, [Entry(0, b"", b"small"), Entry(0, b"", largest + b"x")])
        assert values(log.read("t", 0, 0)) == [largest]

    def test_creating_a_topic_again_keeps_it(self, log):
        log.append("t", 0, entries(b"a"))
        log.create("t", 1)
        assert values(log.read("t", 0, 0)) == [b"a"]

    def test_the_number_of_partitions_is_fixed(self, log):
        log.create("eight", 8)
        assert log.partitions("eight") == 8
        with pytest.raises(ValueError, match=r"partitions must be 8 as made; got 4 .*'eight'"):
            log.create("eight", 4)
        with pytest.raises(ValueError, match="partitions must be positive; got 0"):
            log.create("none", 0)

    @pytest.mark.parametrize("name", ["", "..", "../up", "a/b", "a b", "é"])
    def test_a_topic_needs_a_plain_name(self, log, name):
        with pytest.raises(ValueError, match="topic must be letters"):
            log.create(name, 1)

    def test_unknown_topics_and_partitions_are_named(self, log):
        for ask in (
            lambda: log.partitions("nope"),
            lambda: log.append("nope", 0, entries(b"a")),
            lambda: log.read("nope", 0, 0),
            lambda: log.start("nope", 0),
            lambda: log.end("nope", 0),
        ):
            with pytest.raises(UnknownTopicError, match="nope"):
                ask()
        for partition in (1, -1):
            with pytest.raises(UnknownTopicError, match=rf"0 to 0; got {partition} in 't'"):
                log.end("t", partition)

    def test_partitions_and_topics_do_not_mix(self, log):
        log.create("u", 2)
        log.append("u", 1, entries(b"a"))
        log.append("t", 0, entries(b"b"))
        assert [values(read_all(log, *place)) for place in (("u", 0), ("u", 1), ("t", 0))] == [
            [],
            [b"a"],
            [b"b"],
        ]

    def test_append_times_never_run_backwards(self, log):
        log.append("t", 0, [Entry(time, b"", b"") for time in (5, 9, 7, 8, 10)])
        log.append("t", 0, [Entry(time, b"", b"") for time in (3, 11)])
        times = [record.append_time for record in log.read("t", 0, 0)]
        assert times == [5, 9, 9, 9, 10, 10, 11]

    def test_numbered_entries_already_there_are_skipped(self, log):
        log.append("t", 0, entries(b"a", b"b", b"c"), sequence=0)
        assert log.append("t", 0, entries(b"a", b"b", b"c"), sequence=0) == 3
        assert log.append("t", 0, entries(b"a"), sequence=0) == 1
        assert log.append("t", 0, entries(b"c", b"d"), sequence=2) == 4
        assert log.append("t", 0, entries(b"e"), sequence=4) == 5
        assert values(log.read("t", 0, 0)) == [b"a", b"b", b"c", b"d", b"e"]

    def test_the_append_time_of_a_stored_entry_stays(self, log):
        log.append("t", 0, [Entry(5, b"", b"a")], sequence=0)
        log.append("t", 0, [Entry(90, b"", b"a"), Entry(91, b"", b"b")], sequence=0)
        assert [record.append_time for record in log.read("t", 0, 0)] == [5, 91]

    def test_entries_without_a_number_are_never_skipped(self, log):
        log.append("t", 0, entries(b"a"))
        log.append("t", 0, entries(b"a"))
        assert values(log.read("t", 0, 0)) == [b"a", b"a"]

    def test_a_different_value_at_a_number_shows_both_and_appends_nothing(self, log):
        log.append("t", 0, entries(b"a", b"x" * 500 + b"old"), sequence=0)
        with pytest.raises(SequenceConflictError) as conflict:
            log.append("t", 0, entries(b"a", b"x" * 500 + b"new", b"c"), sequence=0)
        message = str(conflict.value)
        assert "xold'" in message
        assert "xnew'" in message
        assert "t/0 at sequence 1, byte 500" in message
        assert len(message) < 300
        assert log.end("t", 0) == 2

    def test_a_different_key_at_a_number_is_a_conflict(self, log):
        log.append("t", 0, [Entry(0, b"JFK", b"a")], sequence=0)
        with pytest.raises(SequenceConflictError, match=r"key must equal .*b'JFK'; got b'LGA'"):
            log.append("t", 0, [Entry(0, b"LGA", b"a")], sequence=0)

    def test_a_gap_in_the_numbers_is_refused(self, log):
        log.append("t", 0, entries(b"a"), sequence=0)
        with pytest.raises(SequenceConflictError, match=r"at most the end 1; got 3 in t/0"):
            log.append("t", 0, entries(b"d"), sequence=3)
        assert log.end("t", 0) == 1

    def test_several_topics_are_appended_at_once_and_what_is_there_is_skipped(self, log):
        log.create("u", 1)
        log.append("t", 0, entries(b"a"), sequence=0)
        parts = {"t": (0, entries(b"a", b"b")), "u": (0, entries(b"c")), "v": (None, [])}
        with pytest.raises(UnknownTopicError, match=r"v'"):
            log.append_all(0, parts)
        del parts["v"]
        for _ in range(2):
            assert log.append_all(0, parts) == {"t": 2, "u": 1}
        assert log.append_all(0, {"t": (None, entries(b"d"))}) == {"t": 3}
        assert log.append_all(0, {}) == {}
        assert [values(read_all(log, topic)) for topic in "tu"] == [[b"a", b"b", b"d"], [b"c"]]

    def test_a_conflict_in_one_of_several_topics_leaves_it_as_it_was(self, log):
        log.create("u", 1)
        log.append_all(0, {"t": (0, entries(b"a")), "u": (0, entries(b"c"))})
        with pytest.raises(SequenceConflictError, match="got b'X' in u/0 at sequence 0"):
            log.append_all(0, {"t": (1, entries(b"b")), "u": (0, entries(b"X", b"y"))})
        log.append_all(0, {"t": (1, entries(b"b")), "u": (0, entries(b"c", b"d"))})
        assert [values(read_all(log, topic)) for topic in "tu"] == [[b"a", b"b"], [b"c", b"d"]]

    def test_reading_beyond_the_end_asks_whether_it_was_truncated(self, log):
        log.append("t", 0, entries(*[b"v"] * 812))
        assert log.read("t", 0, 812) == []
        with pytest.raises(OffsetError, match="ends at offset 812, asked for 900: was it trunc"):
            log.read("t", 0, 900)

    def test_reading_before_the_start_names_the_first_offset(self, log):
        log.append("t", 0, entries(b"a"))
        with pytest.raises(OffsetError, match="starts at offset 0, asked for -1"):
            log.read("t", 0, -1)

    def test_a_read_is_bounded_by_records(self, log):
        log.append("t", 0, entries(*(b"%d" % i for i in range(30))))
        assert values(log.read("t", 0, 20, max_records=3)) == [b"20", b"21", b"22"]

    def test_a_read_is_bounded_by_bytes_but_gives_at_least_one_record(self, log):
        log.append("t", 0, entries(b"x" * 40, b"y" * 40, b"z" * 40))
        sizes = [len(log.read("t", 0, 0, max_bytes=room)) for room in (1, 79, 80, 119, 120)]
        assert sizes == [1, 1, 2, 2, 3]

    def test_a_read_gives_at_once_what_the_same_log_has_just_appended(self, log):
        for i in range(40):
            assert log.append("t", 0, entries(b"%d" % i)) == i + 1
            assert values(log.read("t", 0, i, max_records=1 + i % 2)) == [b"%d" % i]
            assert log.read("t", 0, i + 1) == []

    def test_an_empty_read_means_that_the_log_ended_there(self, opening, log):
        script = """
        while log.end("t", 0) < 1500:
            log.append("t", 0, [Entry(0, b"", b"x")] * 3)
        """
        read = 0
        with child(opening, script):
            while read < 1500:
                end = log.end("t", 0)
                records = log.read("t", 0, read)
                assert records or read == end
                assert [record.offset for record in records] == [*range(read, read + len(records))]
                read += len(records)

    def test_a_read_of_a_log_that_is_fed_all_the_time_does_not_wait_for_more(self, opening, log):
        script = """
        while True:
            log.append("t", 0, [Entry(0, b"", b"x")])
        """
        offsets, reads = [], []

        def follow():
            while len(reads) < 20:
                records = log.read("t", 0, len(offsets), max_records=10**6)
                offsets.extend(record.offset for record in records)
                reads.extend([len(records)] if records else [])

        follower = threading.Thread(target=follow, daemon=True)
        with child(opening, script):
            follower.start()
            follower.join(60)
            assert not follower.is_alive()
        assert offsets == list(range(sum(reads)))

    def test_a_difference_beyond_what_one_read_gives_is_a_conflict(self, log, reopened):
        stored = [b"%d" % i + bytes(2**20) for i in range(18)]
        log.append("t", 0, entries(*stored), sequence=0)
        again = reopened()
        with pytest.raises(SequenceConflictError, match="t/0 at sequence 17, byte 0"):
            again.append("t", 0, entries(*stored[:-1], b"x"), sequence=0)
        assert again.append("t", 0, entries(*stored, b"y"), sequence=0) == 19

    def test_a_reopened_log_has_everything(self, log, reopened):
        log.append("t", 0, entries(b"a", b"b"))
        log.close()
        again = reopened()
        assert values(again.read("t", 0, 0)) == [b"a", b"b"]
        assert again.append("t", 0, entries(b"c")) == 3

    def test_readers_in_threads_see_whole_appends_in_order(self, log):
        batches = 60
        seen = [[] for _ in range(3)]

        def follow(mine):
            while len(mine) < batches * 7:
                assert log.end("t", 0) % 7 == 0
                mine += log.read("t", 0, len(mine), max_records=50)

        readers = [threading.Thread(target=follow, args=(mine,), daemon=True) for mine in seen]
        for reader in readers:
            reader.start()
        for batch in range(batches):
            log.append("t", 0, entries(*(b"%d" % (batch * 7 + i) for i in range(7))))
        for reader in readers:
            reader.join()
        assert [values(mine) for mine in seen] == [[b"%d" % i for i in range(batches * 7)]] * 3

    def test_a_reader_beside_a_writer_in_another_process_sees_whole_appends(self, opening, log):
        script = """
        for batch in range(40):
            log.append("t", 0, [Entry(0, b"", b"%d" % (batch * 500 + i)) for i in range(500)])
        """
        read, ends = [], set()
        with child(opening, script) as writer:
            while len(read) < 40 * 500:
                ends.add(log.end("t", 0))
                read += log.read("t", 0, len(read), max_records=499)
                assert writer.poll() in {None, 0}
        assert values(read) == [b"%d" % i for i in range(40 * 500)]
        assert {end % 500 for end in ends} == {0}

    @pytest.mark.usefixtures("log")
    def test_kill_minus_nine_amid_appends_loses_no_answer_and_leaves_no_half(
        self, opening, reopened
    ):
        script = f"""
        while True:
            end = log.end("t", 0)
            batch = [Entry(0, b"", b"%d" % i + bytes(1000)) for i in range(end, end + {BATCH})]
            print(end, flush=True)
            log.append("t", 0, batch, sequence=end)
        """
        for part in (0, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9):
            with child(opening, script) as writer:
                asked, times = [], []
                for _ in range(3):
                    asked.append(int(writer.stdout.readline()))
                    times.append(perf_counter())
                with pytest.raises(subprocess.TimeoutExpired):
                    writer.wait(timeout=part * (times[-1] - times[-2]))
                writer.kill()
            # Each number is printed before its append, so all but the last had returned.
            end = reopened().end("t", 0)
            assert end % BATCH == 0
            assert end >= asked[-1]
        stored = read_all(reopened(), "t")
        assert values(stored) == [b"%d" % i + bytes(1000) for i in range(end)]


class TrimContract:
    """The contract of a backend that can delete its oldest records, besides `LogContract`."""

    def test_a_trimmed_log_starts_where_it_was_told_and_says_so(self, log):
        log.append("t", 0, entries(b"a", b"b", b"c", b"d"))
        assert log.trim("t", 0, 2) == 2
        assert (log.start("t", 0), log.end("t", 0)) == (2, 4)
        assert [record[:2] for record in log.read("t", 0, 2)] == [(2, 2), (3, 3)]
        for offset in (0, 1):
            with pytest.raises(OffsetError, match=f"starts at offset 2, asked for {offset}"):
                log.read("t", 0, offset)
        with pytest.raises(OffsetError, match="starts at offset 2, asked for 1"):
            log.append("t", 0, entries(b"b"), sequence=1)

    def test_a_trimmed_log_goes_on_with_its_numbers_and_times(self, log):
        log.append("t", 0, entries(b"a", b"b", b"c", at=7))
        assert log.trim("t", 0, 3) == 2, "the newest record stays"
        assert log.append("t", 0, entries(b"d", at=1)) == 4
        assert log.append("t", 0, entries(b"c", b"d", b"e"), sequence=2) == 5
        assert [record[:2] for record in log.read("t", 0, 2)] == [(2, 9), (3, 9), (4, 9)]

    def test_trimming_again_or_to_an_earlier_place_or_an_empty_log_changes_nothing(self, log):
        assert log.trim("t", 0, 0) == 0
        log.append("t", 0, entries(b"a", b"b", b"c"))
        for before, start in ((0, 0), (-5, 0), (1, 1), (1, 1), (0, 1)):
            assert log.trim("t", 0, before) == start
        assert values(log.read("t", 0, 1)) == [b"b", b"c"]

    def test_trimming_beyond_the_end_is_refused(self, log):
        log.append("t", 0, entries(b"a", b"b"))
        with pytest.raises(OffsetError, match="ends at offset 2, asked for 3"):
            log.trim("t", 0, 3)
        assert log.start("t", 0) == 0

    def test_trimming_names_topics_and_partitions_it_does_not_know(self, log):
        with pytest.raises(UnknownTopicError, match="nope"):
            log.trim("nope", 0, 0)
        with pytest.raises(UnknownTopicError, match="got 1 in 't'"):
            log.trim("t", 1, 0)

    def test_a_reopened_log_is_still_trimmed(self, log, reopened):
        log.append("t", 0, entries(b"a", b"b", b"c"))
        log.trim("t", 0, 2)
        log.close()
        again = reopened()
        assert (again.start("t", 0), again.end("t", 0)) == (2, 3)
