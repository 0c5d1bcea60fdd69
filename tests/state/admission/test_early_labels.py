"""Early labels leave with their request or at their end, and leave nothing behind."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.admission.early_labels import EarlyLabels
from tests.asks import encode, minute, plain, tell


@pytest.fixture
def early():
    return EarlyLabels(10 * 60 * 10**6, lambda event: event.of, plain.decoder().decode)


def add(early, offset, event):
    early.add(offset, event, encode(event))


def test_they_are_taken_by_their_key_in_the_order_in_which_they_came(early):
    for offset, (of, at) in enumerate([("a", 3), ("b", 2), ("a", 1)]):
        add(early, offset, tell(of, at))
    assert [one.offset for one in early.take("a")] == [0, 2]
    assert early.take("a") == ()
    assert list(early.waiting) == [1]


def test_they_end_by_their_own_time_then_by_their_place(early):
    for offset, at in enumerate([3, 1, 3, 2]):
        add(early, offset, tell("a", at))
    assert early.due(minute(10.9)) is None
    ended = []
    while (one := early.due(minute(13))) is not None:
        ended.append(one.offset)
    assert ended == [1, 3, 0, 2]
    assert early.take("a") == ()


def test_what_was_taken_leaves_nothing_behind(early):
    for n in range(1_000):
        add(early, n, tell(f"a{n}", n))
        early.take(f"a{n}")
    assert (early.waiting, early._of, early._ends) == ({}, {}, [])


def test_a_flood_of_labels_for_one_request_costs_no_more_than_for_many(early):
    many = 30_000
    started = process_time()
    for n in range(many):
        add(early, n, tell("a", 1))
    added = process_time() - started
    started = process_time()
    for _ in range(many):
        assert early.first_after("a", minute(0)).offset == 0
    ended = 0
    while early.due(minute(11)) is not None:
        ended += 1
    assert ended == many
    assert process_time() - started < 3 * added
    assert (early.waiting, early._of) == ({}, {})


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=40), st.integers(0, 9)
)
def test_the_first_after_a_time_is_the_least_of_all_that_wait(given, after):
    early = EarlyLabels(0, lambda event: event.of, plain.decoder().decode)
    waiting = []
    for offset, (of, at) in enumerate(given):
        add(early, offset, tell(of, at))
        waiting.append((minute(at), offset, of))
        if offset % 3 == 2:
            assert early.due(minute(9)).offset == min(waiting)[1]
            waiting.remove(min(waiting))
        for key in "ab":
            later = [one for one in waiting if one[2] == key and one[0] > minute(after)]
            found = early.first_after(key, minute(after))
            assert (found and found.offset) == (min(later)[1] if later else None)
    early.take("a")
    assert early.first_after("a", -1) is None
    while early.due(minute(9)) is not None:
        assert early.first_after("a", -1) is None
    assert (early.waiting, early._of, early._ordered) == ({}, {}, {})


def test_a_copy_from_a_snapshot_goes_on_alike(early):
    for offset, (of, at) in enumerate([("a", 3), ("b", 2), ("a", 1), ("c", 5)]):
        add(early, offset, tell(of, at))
    early.take("b")
    copy = EarlyLabels(10 * 60 * 10**6, lambda event: event.of, plain.decoder().decode)
    copy.restore(early.snapshot())
    assert copy.snapshot() == early.snapshot()
    assert copy.waiting == early.waiting
    assert copy.due(minute(12)).offset == early.due(minute(12)).offset == 2
