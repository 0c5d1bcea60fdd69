"""Predictions are weighed in the order of requests, whatever the order of labels."""

import ctypes

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.admission import request_order
from state.admission.request_order import NO_TURN, RequestOrder


def parts(number):
    return np.array([float(number), -float(number)])


def ask(order, number, newest=0, older=0, probability=0.5, event_time=7):
    return order.add(parts(number), newest, older, probability, event_time)


def left(order):
    """The number that each request which has left had in its parts, and its label."""
    found = []
    while (turn := order.next()) is not None:
        (number,) = (ctypes.c_double * 1).from_address(turn.address)
        found.append((number, turn.label))
    return found


def test_a_request_leaves_once_it_and_all_before_it_are_labelled():
    order = RequestOrder(2)
    a, b, c = (ask(order, number) for number in (7, 8, 9))
    order.label(b, 1)
    assert left(order) == []
    order.label(a, 0)
    assert left(order) == [(7.0, 0), (8.0, 1)]
    assert (len(order), order.weighed) == (1, 2)
    order.label(c, 1)
    assert left(order) == [(9.0, 1)]


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=400), st.integers(0, 2**32))
def test_in_whatever_order_labels_come_requests_leave_in_theirs(numbers, seed):
    order, turns = RequestOrder(2), {}
    for i, number in enumerate(numbers):
        turns[i] = ask(order, number)
    seen = []
    for i in np.random.default_rng(seed).permutation(len(numbers)).tolist():
        order.label(turns[i], i % 2)
        seen += left(order)
    assert seen == [(float(number), i % 2) for i, number in enumerate(numbers)]


def test_nobody_waits_for_a_request_that_will_have_no_label():
    order = RequestOrder(2)
    a, b, c, d = (ask(order, number) for number in (6, 7, 8, 9))
    order.label(b, 1)
    order.drop(c)
    order.drop(a)
    assert left(order) == [(7.0, 1)]
    order.label(d, 0)
    assert left(order) == [(9.0, 0)]
    order.drop(NO_TURN)
    assert (len(order), order.weighed) == (0, 4)


def test_a_turn_tells_the_answer_and_the_models_that_gave_it():
    order = RequestOrder(2)
    turn = ask(order, 1, newest=3, older=2, probability=0.25, event_time=99)
    assert order.models(turn) == (3, 2)
    assert (order.parts[order.place(turn)] == parts(1)).all()
    order.label(turn, 1)
    found = order.next()
    assert found[1:] == (1, 3, 2, 0.25, 99)


def test_without_room_a_request_has_no_turn_whatever_its_label_will_be(monkeypatch):
    monkeypatch.setattr(request_order, "MOST", 128)
    order = RequestOrder(2)
    turns = [ask(order, number) for number in range(130)]
    assert turns == [*range(128), NO_TURN, NO_TURN]
    order.label(NO_TURN, 1)
    assert left(order) == []
    order.label(0, 1)
    assert left(order) == [(0.0, 1)]
    assert ask(order, 500) == 128
    assert len(order) == 128


def filled(n=150, labelled=40):
    order = RequestOrder(2)
    for number in range(n):
        ask(order, number, newest=number // 50, older=0)
    for turn in range(1, labelled):
        order.label(turn, turn % 2)
    return order


def test_a_restored_order_goes_on_as_the_one_before():
    order, other = filled(), RequestOrder(2)
    for turn in (0, 60):
        order.label(turn, 1)
    assert len(left(order)) == 40
    other.restore(order.snapshot())
    for turn in range(40, 150):
        if turn != 60:
            order.label(turn, turn % 2)
            other.label(turn, turn % 2)
    assert left(order) == left(other) != []
    assert order.snapshot() == other.snapshot()


def test_other_parts_are_absent_from_what_waits():
    order = filled()
    order.change_width(3)
    place = order.place(0)
    assert np.isnan(order.parts[place, 2])
    order.change_width(1)
    assert order.parts.shape[1] == 1
    order.label(0, 1)
    assert left(order)[1] == (1.0, 1)


def test_those_who_wait_must_be_the_pending_requests():
    order = filled()
    waiting = [0, *range(40, 150)]
    order.check([*waiting, NO_TURN], newest=2)
    for wrong in (waiting[1:], [*waiting, 5], [*waiting, 200], [*waiting, waiting[-1]]):
        with pytest.raises(ValueError, match="must be pending, once"):
            order.check(wrong, newest=2)
    with pytest.raises(ValueError, match="models must be of number 1"):
        order.check(waiting, newest=1)


@pytest.mark.parametrize(
    ("which", "value", "message"),
    [
        (0, -1, ">= 0"),
        (1, [2] * 150, "labels must be 0, 1, awaited or dropped"),
        (1, [1] * 150, "the first request must wait"),
        (1, [-1] * 149, "turns must be"),
        (4, b"\0" * 8, "parts must be 2 of each request"),
        (4, b"\0" * 9, "whole numbers of 8 bytes"),
        (4, np.full(300, np.inf).tobytes(), "log odds or missing"),
    ],
)
def test_a_state_that_is_none_is_refused(which, value, message):
    state = msgspec.msgpack.decode(filled().snapshot())
    state[which] = value
    with pytest.raises((ValueError, msgspec.ValidationError), match=message):
        RequestOrder(2).restore(msgspec.msgpack.encode(state))


def test_more_than_there_is_room_for_is_refused(monkeypatch):
    state = filled().snapshot()
    monkeypatch.setattr(request_order, "MOST", 100)
    with pytest.raises(ValueError, match="turns must be 100 at most; got 150"):
        RequestOrder(2).restore(state)
