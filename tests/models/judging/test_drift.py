"""Seasons raise no alarm; a change in the world raises one soon, which says how and since when."""

import numba
import numpy as np
import pytest

from models.judging.drift import KINDS, alarming, detect, detectors, finding

DAY_US = 86_400_000_000
PER_DAY = 10_000
LIMIT = 365.0 * PER_DAY


@numba.njit
def first_alarm(state, labels, said, times, limit):
    for i in range(len(labels)):
        detect(state, labels[i], said[i], times[i])
        kind = alarming(state, limit)
        if kind >= 0:
            return i + 1, kind
    return 0, -1


class Season:
    """Requests whose base rate swings by hour and week."""

    def __init__(self, seed, days):
        random = np.random.default_rng(seed)
        self.times = np.arange(days * PER_DAY) * (DAY_US / PER_DAY)
        day = self.times / DAY_US
        self.base = 0.8 * np.sin(2 * np.pi * day) + 0.5 * np.sin(2 * np.pi * day / 7) - 1.2
        self.x = random.normal(size=len(day))
        self.chance = random.random(len(day))

    def labels(self, logits):
        return (self.chance < said(logits)).astype(np.int64)


def said(logits):
    return 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize("bias", [0.0, 0.15])
def test_a_season_raises_no_alarm_in_ten_months_even_if_each_hour_is_a_little_off(bias):
    season = Season(1, 300)
    logits = season.base + season.x
    hour = (season.times // (DAY_US / 24)).astype(int)
    off = np.where(hour % 2 == 0, bias, -bias)
    state = detectors()
    alarm = first_alarm(state, season.labels(logits), said(logits + off), season.times, LIMIT)
    assert alarm == (0, -1)


CHANGES = {
    "more positives": (lambda base, x: base + x + 0.3, 2_806),
    "fewer positives": (lambda base, x: base + x - 0.3, 3_500),
    "too sure": (lambda base, x: base + 0.6 * x, 2_806),
    "too unsure": (lambda base, x: base + 1.6 * x, 4_000),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_is_found_and_named(kind):
    truth, within = CHANGES[kind]
    delays, kinds, begins = [], [], []
    for seed in range(15):
        state = detectors()
        before, after = Season(seed, 2), Season(seed + 100, 8)
        logits = before.base + before.x
        first_alarm(state, before.labels(logits), said(logits), before.times, LIMIT)
        labels = after.labels(truth(after.base, after.x))
        times = after.times + 2 * DAY_US
        delay, found = first_alarm(state, labels, said(after.base + after.x), times, LIMIT)
        delays.append(delay or len(labels))
        kinds.append(KINDS[found])
        begins.append((finding(state, found).since - 2 * DAY_US) / DAY_US)
    assert np.median(delays) <= within
    assert max(set(kinds), key=kinds.count) == kind
    assert abs(np.median(begins)) < 0.1


def test_a_flip_is_found_within_some_hundred_labels_and_priced():
    state, season = detectors(), Season(3, 1)
    labels = season.labels(season.base - season.x)
    alarm, kind = first_alarm(state, labels, said(season.base + season.x), season.times, LIMIT)
    assert 0 < alarm <= 221
    assert KINDS[kind] == "too sure"
    assert finding(state, kind).excess > 0.2
