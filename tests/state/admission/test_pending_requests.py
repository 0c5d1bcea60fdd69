"""A pending request leaves once: at its label or its deadline, whichever comes first."""

import numpy as np
import pytest

from state.admission.pending_requests import Pending
from state.outputs.records import Prediction
from tests.rides import Asked


@pytest.fixture
def pending():
    return Pending(3, Asked)


def ask(pending, request_id, deadline, offset=0, number=1.0):
    request = Asked(
        id=request_id, time=0, city="ber", driver=1, pickup=0, arrive=0, price=1.0, car=None
    )
    made = Prediction(request_id, 0, "", 0.5, 0.5, None, None, True, None, 0, offset)
    place = pending.place()
    pending.rows[place] = number
    pending.add(deadline, made, request, 0)


def due(pending, watermark):
    ids = []
    while (waiting := pending.due(watermark)) is not None:
        ids.append(waiting.prediction.id)
    return ids


def test_deadlines_fire_in_order_of_time_then_offset(pending):
    for offset, (name, deadline) in enumerate([("d", 9), ("c", 5), ("a", 5), ("b", 1)]):
        ask(pending, name, deadline, offset)
    assert due(pending, 0) == []
    assert due(pending, 5) == ["b", "c", "a"]
    assert due(pending, 5) == []
    assert len(pending) == 1


def test_a_deadline_fires_at_its_time_and_not_before(pending):
    ask(pending, "a", 5)
    assert due(pending, 4) == []
    assert due(pending, 5) == ["a"]


def test_a_request_with_a_label_has_no_deadline_any_more(pending):
    ask(pending, "a", 5)
    assert pending.take("a").prediction.id == "a"
    assert pending.take("a") is None
    assert "a" not in pending
    assert due(pending, 99) == []


def test_an_id_used_again_keeps_its_own_deadline(pending):
    ask(pending, "a", 5, offset=1)
    pending.take("a")
    ask(pending, "a", 50, offset=2)
    assert due(pending, 49) == []
    assert due(pending, 50) == ["a"]


def test_every_request_keeps_its_vector_until_it_leaves(pending):
    for number in range(500):
        ask(pending, f"{number}", 1000 + number, number, float(number))
    for number in range(0, 500, 2):
        waiting = pending.take(f"{number}")
        assert (pending.rows[waiting.place] == number).all()
    for number in range(500, 800):
        ask(pending, f"{number}", 1000 + number, number, float(number))
    while (waiting := pending.due(10_000)) is not None:
        assert (pending.rows[waiting.place] == float(waiting.prediction.id)).all()
    assert len(pending) == 0


def test_room_is_bounded_by_what_is_pending_not_by_history(pending):
    for number in range(10_000):
        ask(pending, f"{number}", number + 50, number)
        due(pending, number)
    assert len(pending.rows) == 64
    assert len(pending._deadlines) <= 51


@pytest.mark.parametrize("n", [0, 1, 100])
def test_restored_requests_are_the_same(pending, n):
    for number in range(n):
        ask(pending, f"{number}", number % 7, number, np.nan if number % 2 else number)
    for number in range(0, n, 3):
        pending.take(f"{number}")
    other = Pending(3, Asked)
    ask(other, "to be gone", 1)
    other.restore(pending.snapshot())
    assert other.snapshot() == pending.snapshot()
    assert other.place() == pending.place()
    while (one := pending.due(99)) is not None:
        same = other.due(99)
        assert same == one
        assert isinstance(same.request, Asked)
        assert np.array_equal(other.rows[same.place], pending.rows[one.place], equal_nan=True)
    assert other.due(99) is None
