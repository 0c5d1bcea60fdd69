"""A watch raises an alarm as rarely as is asked for, and then rests."""

import math

import numba
import numpy as np
import pytest

from models.judging.drift import KINDS, alarming, detect
from models.judging.drift_watch import DriftWatch, drift_message
from tests.models.judging.test_drift import DAY_US, Season, said

YEAR_US, HOUR_US = 365 * DAY_US, DAY_US // 24


@numba.njit
def next_alarm(state, doubts, is_doubted, labels, chances, times, begin, end, limit):
    for i in range(begin, end):
        if is_doubted:
            detect(doubts, labels[i], chances[i], times[i], limit)
        detect(state, labels[i], chances[i], times[i], limit)
        kind = alarming(state, limit)
        if kind >= 0:
            return i, kind
    return end, -1


def watched(watch, labels, chances, times, first=0):
    """Times of the alarms, as a shard would raise them."""
    found = []
    for look in range(0, len(labels), 256):
        at, end = look, min(look + 256, len(labels))
        while at < end:
            pair = watch._state, watch._doubts
            of = labels, chances, times
            at, kind = next_alarm(*pair, watch.doubts > 0, *of, at, end, watch.limit)
            if kind >= 0:
                watch.alarm(kind, int(times[at]))
                if watch.found is not None:
                    found.append((int(times[at]), watch.found))
                    watch.found = None
                at += 1
        watch.look(first + end, int(times[end - 1]))
    return found


def flipped(seed, days, first_days):
    """Answers that are right for some days; then the world is the other way round."""
    season = Season(seed, days)
    right, wrong = season.base + season.x, season.base - season.x
    after = season.times >= first_days * DAY_US
    labels = season.labels(np.where(after, wrong, right))
    return labels, said(right), season.times + DAY_US


def test_a_season_of_three_months_raises_no_alarm():
    season = Season(11, 90)
    logits = season.base + season.x
    watch = DriftWatch(YEAR_US, DAY_US)
    assert watched(watch, season.labels(logits), said(logits), season.times + DAY_US) == []
    assert watch.change is None


def test_the_limit_is_the_number_of_labels_in_the_time_between_false_alarms():
    watch = DriftWatch(YEAR_US, DAY_US)
    assert watch.limit == math.inf
    watch.look(1_000, DAY_US)
    assert watch.limit == math.inf
    watch.look(1_256, DAY_US + 2 * HOUR_US)
    assert watch.limit == pytest.approx(128 * 24 * 365)


def test_a_flip_is_found_within_the_hour_and_told_once_in_a_rest():
    watch = DriftWatch(YEAR_US, DAY_US)
    alarms = watched(watch, *flipped(5, days=5, first_days=3))
    (first, found), *others = alarms
    assert 4 * DAY_US < first < 4 * DAY_US + HOUR_US
    assert found.kind == "too sure"
    assert abs(found.since - 4 * DAY_US) < HOUR_US
    assert len(others) == 1
    assert others[0][0] - first >= DAY_US


def test_a_change_lasts_as_long_as_the_answers_are_wrong_or_until_a_fit_is_due():
    watch = DriftWatch(YEAR_US, DAY_US)
    ((_, found),) = watched(watch, *flipped(5, days=4, first_days=3))[:1]
    assert abs(watch.change.since - found.since) < HOUR_US
    assert watch.change.labels > 9_000
    since = watch.change.since
    assert (watch.cut(), watch.cut(), watch.change) == (since, 0, None)


def test_a_storm_of_an_hour_is_told_and_forgotten():
    season = Season(6, 5)
    right, wrong = season.base + season.x, season.base - season.x
    storm = abs(season.times - 3 * DAY_US) < HOUR_US / 2
    labels = season.labels(np.where(storm, wrong, right))
    watch, end = DriftWatch(YEAR_US, DAY_US), int(np.flatnonzero(storm)[-1] + 3_000)
    alarms = watched(watch, labels[:end], said(right)[:end], season.times[:end] + DAY_US)
    assert len(alarms) == 1
    assert watch.change is None


@pytest.mark.parametrize("hours", [1, 6, 24])
def test_the_evidence_of_a_storm_is_soon_gone_however_long_it_was(hours):
    season = Season(6, 5)
    right, wrong = season.base + season.x, season.base - season.x
    storm = (season.times >= 2 * DAY_US) & (season.times < 2 * DAY_US + hours * HOUR_US)
    labels = season.labels(np.where(storm, wrong, right))
    chances, times = said(right), season.times + DAY_US
    watch, end = DriftWatch(YEAR_US, DAY_US), int(np.flatnonzero(storm)[-1])
    watched(watch, labels[:end], chances[:end], times[:end])
    assert watch.change is not None
    after = slice(end, end + 1_500)
    watched(watch, labels[after], chances[after], times[after], first=end)
    assert watch.change is None


@pytest.mark.parametrize("at", [300, 28_000, 31_000, 41_000])
def test_a_watch_goes_on_from_a_snapshot(at):
    labels, chances, times = flipped(5, days=5, first_days=3)
    at = at // 256 * 256
    whole, first, second = (DriftWatch(YEAR_US, DAY_US) for _ in range(3))
    expected = watched(whole, labels, chances, times)
    found = watched(first, labels[:at], chances[:at], times[:at])
    second.restore(first.snapshot())
    found += watched(second, labels[at:], chances[at:], times[at:], first=at)
    assert found == expected
    assert second.snapshot() == whole.snapshot()


@pytest.mark.parametrize("kind", KINDS)
def test_an_alarm_says_since_when_how_and_at_what_cost(kind):
    watch = DriftWatch(YEAR_US, DAY_US)
    watch._state.capitals[KINDS.index(kind), 3] = 99.0
    watch._state.labels[KINDS.index(kind), 3] = 40.0
    watch._state.excess[KINDS.index(kind), 3] = -0.5
    watch._state.starts[KINDS.index(kind), 3] = 1_704_067_200_000_000.0
    watch.alarm(KINDS.index(kind), 1_704_067_300_000_000)
    text = drift_message(watch.found)
    assert kind in text
    assert "since 2024-01-01 00:00: log-loss 0.0125 below expected, by 40 labels" in text
