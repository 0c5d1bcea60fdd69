"""A window counts the newest answers, and no others."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.judging.metric_window import PERIODS, MetricWindow

ANSWERS = st.lists(
    st.tuples(st.integers(0, 1), st.floats(0, 1), st.integers(0, 300)), max_size=60
)  # fmt: skip


def filled(answers, span=48):
    window = MetricWindow(span)
    for label, p, time in answers:
        window.add(label, p, p >= 0.4, time)
    return window


@given(ANSWERS)
def test_it_holds_the_answers_of_the_newest_periods(answers):
    tally = filled(answers).tally()
    kept, newest = [], -1
    for label, p, time in answers:
        newest = max(newest, time // 2)
        kept.append((label, p, time // 2))
    kept = [(label, p) for label, p, number in kept if number > newest - PERIODS]
    assert int(tally.histogram.sum()) == len(kept)
    for label in (0, 1):
        for decision in (0, 1):
            n = sum(one == label and (p >= 0.4) == decision for one, p in kept)
            assert tally.decided[label, decision] == n
    hits = [p if label else 1 - p for label, p in kept]
    losses = [-math.log(max(hit, 1e-6)) for hit in hits]
    squares = [(1 - max(hit, 1e-6)) ** 2 for hit in hits]
    expected = [sum(of) for of in (losses, np.square(losses), squares, np.square(squares))]
    assert tally.sums == pytest.approx(expected, abs=1e-9)


@given(ANSWERS, st.integers(0, 60))
def test_a_restored_window_goes_on_as_the_one_before(answers, cut):
    first, whole = filled(answers[:cut]), filled(answers)
    second = MetricWindow(48)
    second.restore(first.snapshot())
    for label, p, time in answers[cut:]:
        second.add(label, p, p >= 0.4, time)
    assert second.snapshot() == whole.snapshot()


@pytest.mark.parametrize(
    "state",
    [
        (0, [0], [0], [0.0]),
        (-2, [0] * PERIODS * 560, [0] * PERIODS * 4, [0.0] * PERIODS * 4),
        (0, [-1] * PERIODS * 560, [0] * PERIODS * 4, [0.0] * PERIODS * 4),
        (0, [0] * PERIODS * 560, [0] * PERIODS * 4, [math.nan] * PERIODS * 4),
        (0, [0] * PERIODS * 560, [0] * PERIODS * 4, [math.inf] * PERIODS * 4),
    ],
    ids=["lengths", "newest", "count", "nan", "infinite"],
)
def test_an_invalid_state_is_refused(state):
    with pytest.raises((ValueError, msgspec.DecodeError)):
        MetricWindow(48).restore(msgspec.msgpack.encode(state))
