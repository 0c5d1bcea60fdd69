"""The newest labelled vectors are kept, and no others."""

import msgspec
import numpy as np
import pytest

from state.admission import recent_labels
from state.admission.recent_labels import RecentLabels


def filled(n):
    recent = RecentLabels(2)
    for i in range(n):
        recent.add(np.array([i, -i], float), i % 2)
    return recent


@pytest.mark.parametrize("n", [0, 1, 17, 100, 101, 250])
def test_the_newest_are_kept_oldest_first(monkeypatch, n):
    monkeypatch.setattr(recent_labels, "MOST", 100)
    rows, labels = filled(n).all()
    kept = list(range(n))[-100:]
    assert rows.tolist() == [[float(i), -float(i)] for i in kept]
    assert labels.tolist() == [i % 2 for i in kept]


def test_after_a_fit_it_begins_anew():
    recent = filled(30)
    recent.clear()
    assert len(recent.all()[1]) == 0
    recent.add(np.array([7.0, 8.0]), 1)
    assert recent.all()[0].tolist() == [[7.0, 8.0]]


@pytest.mark.parametrize("n", [0, 30, 100, 130])
def test_a_restored_one_goes_on_as_the_one_before(monkeypatch, n):
    monkeypatch.setattr(recent_labels, "MOST", 100)
    recent, other = filled(n), RecentLabels(2)
    other.restore(recent.snapshot())
    for i in range(150):
        assert other.snapshot() == recent.snapshot()
        for one in (recent, other):
            one.add(np.array([i, 5], float), 0)


@pytest.mark.parametrize(
    ("which", "value", "message"),
    [
        (0, -1, ">= 0"),
        (0, 29, "labels must be the newest"),
        (1, b"\0" * 8, "labelled vectors must be 2 wide"),
        (2, [2] * 30, "labels must be 0 or 1"),
        (2, [1] * 29, "labels must be the newest"),
    ],
)
def test_a_state_that_is_none_is_refused(which, value, message):
    state = msgspec.msgpack.decode(filled(30).snapshot())
    state[which] = value
    with pytest.raises((ValueError, msgspec.ValidationError), match=message):
        RecentLabels(2).restore(msgspec.msgpack.encode(state))


def test_a_level_that_there_is_not_is_refused():
    recent = RecentLabels(2)
    recent.add(np.array([2.0, 99.0]), 1)
    recent.check({0: 3})
    with pytest.raises(ValueError, match="levels of column 0 must be below 2"):
        recent.check({0: 2})
