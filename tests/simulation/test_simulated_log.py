"""The simulator's log keeps the same promises as the real ones."""

import random

import pytest

from tests.simulation.faults import Crash, Faults, InjectedError
from tests.simulation.simulated_log import FencedError, SimulatedLog, Store
from tests.state.log_contract import LogContract, TrimContract, entries, values


class Simulated(LogContract, TrimContract):
    remote = False

    @pytest.fixture
    def reopened(self):
        store = Store(remote=self.remote, role_of=lambda *_: "shard")
        return lambda: SimulatedLog(store)

    # No other process can open what is in memory; crashes are what follows below.
    test_a_reader_beside_a_writer_in_another_process_sees_whole_appends = None
    test_kill_minus_nine_amid_appends_loses_no_answer_and_leaves_no_half = None
    test_an_empty_read_means_that_the_log_ended_there = None
    test_a_read_of_a_log_that_is_fed_all_the_time_does_not_wait_for_more = None


class TestLocal(Simulated):
    pass


class TestRemote(Simulated):
    remote = True


def failing(kind, *, remote=False):
    """A log with one record, whose every write goes wrong in one way, and its store."""
    store = Store(remote=remote, role_of=lambda *_: "shard")
    calm = SimulatedLog(store)
    calm.create("t", 1)
    calm.create("u", 1)
    calm.append("t", 0, entries(b"a"), sequence=0)
    return SimulatedLog(store, Faults(random.Random(1), {kind: 1000.0})), store


def stored(store, topic="t"):
    return values(store.at(topic, 0).records)


PARTS = {"t": (1, entries(b"b", b"c")), "u": (0, entries(b"d"))}


@pytest.mark.parametrize(
    ("kind", "error", "left"),
    [
        ("refused", InjectedError, ([b"a"], [])),
        ("killed before", Crash, ([b"a"], [])),
        ("killed after", Crash, ([b"a", b"b", b"c"], [])),
        ("lost reply", InjectedError, ([b"a", b"b", b"c"], [])),
    ],
)
def test_a_local_append_that_is_cut_off_has_appended_to_the_first_topics_only(kind, error, left):
    log, store = failing(kind)
    with pytest.raises(error):
        log.append_all(0, PARTS)
    assert (stored(store), stored(store, "u")) == left
    SimulatedLog(store).append_all(0, PARTS)
    assert (stored(store), stored(store, "u")) == ([b"a", b"b", b"c"], [b"d"])


def test_a_loss_of_power_leaves_all_of_an_append_or_nothing_and_what_was_answered():
    found = set()
    for seed in range(20):
        log, store = failing("power loss")
        with pytest.raises(Crash):
            log.append("t", 0, entries(b"b", b"c"))
        store.lose_power(random.Random(seed))
        found.add(tuple(stored(store)))
    assert found == {(b"a",), (b"a", b"b", b"c")}


def test_a_request_that_arrives_late_counts_unless_its_writer_has_a_successor():
    for succeeded in (False, True):
        log, store = failing("late", remote=True)
        with pytest.raises(InjectedError):
            log.append_all(0, PARTS)
        assert stored(store) == [b"a"]
        if succeeded:
            SimulatedLog(store).append_all(0, {"t": (None, ())})
        assert store.arrive(store.late.pop()) is not succeeded
        assert (stored(store), stored(store, "u")) == (
            ([b"a"], []) if succeeded else ([b"a", b"b", b"c"], [b"d"])
        )


def test_a_remote_writer_is_fenced_off_by_the_next_and_stays_so():
    store = Store(remote=True)
    first, second = SimulatedLog(store), SimulatedLog(store)
    first.create("t", 1)
    first.append("t", 0, entries(b"a"))
    second.append("t", 0, [])
    for _ in range(2):
        with pytest.raises(FencedError):
            first.append("t", 0, entries(b"b"))
    second.append("t", 0, entries(b"c"), sequence=1)
    assert stored(store) == [b"a", b"c"]
