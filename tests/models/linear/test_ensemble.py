"""All that answers, weighed: absent parts, swaps, and what it learns."""

import math

import numpy as np
import pytest

from models.linear.ensemble import Ensemble
from models.linear.mixture import (
    NEWEST,
    NEWEST_OFFLINE,
    OLDER,
    OLDER_OFFLINE,
    ONLINE,
    PARTS,
    STACKED,
)


def parts(online, newest=math.nan, offline=math.nan):
    found = np.full(PARTS, np.nan)
    found[ONLINE], found[NEWEST], found[NEWEST_OFFLINE] = online, newest, offline
    return found


def test_when_all_say_the_same_it_is_the_answer():
    answer = Ensemble().answer(parts(0.4, 0.4, 0.4))
    assert answer == pytest.approx((1 / (1 + math.exp(-0.4)),) * 3)


def test_before_the_first_offline_model_there_is_no_residual_one():
    answer = Ensemble().answer(parts(0.4))
    assert math.isnan(answer.residual)
    assert answer.probability == pytest.approx(answer.online)


def test_it_turns_to_the_part_that_is_right():
    ensemble = Ensemble()
    for i in range(400):
        label = i % 2
        said = parts(0.0, 0.0, 3.0 if label else -3.0)
        ensemble.answer(said)
        ensemble.learn(said, label)
    assert ensemble.everything.weights[NEWEST_OFFLINE] > 0.5
    assert ensemble.answer(parts(0.0, 0.0, 3.0)).probability > 0.9


def test_a_stack_weighs_two_halves_of_the_truth_together():
    ensemble, rng, losses = Ensemble(), np.random.default_rng(1), np.zeros(2)
    for i in range(6_000):
        a, b = rng.normal(size=2) * 2
        label = int(rng.random() < 1 / (1 + math.exp(-a - b)))
        said = parts(a, b, 0.0)
        p = np.array([ensemble.answer(said).probability, 1 / (1 + math.exp(-a))])
        if i > 3_000:
            losses -= np.log(p if label else 1 - p)
        ensemble.learn(said, label)
    assert losses[0] < 0.8 * losses[1]
    weights = ensemble.everything.weights
    asleep = weights[OLDER].sum() + weights[OLDER_OFFLINE]  # what is absent keeps its share
    assert weights[STACKED.start :].sum() > 0.9 * (1 - asleep)


def test_a_swap_keeps_what_the_model_before_had_earned_and_gives_the_new_one_as_much():
    ensemble = Ensemble()
    for i in range(200):
        said = parts(0.0, 0.0, 2.0 if i % 2 else -2.0)
        ensemble.answer(said)
        ensemble.learn(said, i % 2)
    before = ensemble.everything.weights
    ensemble.activate()
    after = ensemble.everything.weights
    assert after[OLDER_OFFLINE] == pytest.approx(before[NEWEST_OFFLINE] / 2)
    assert after[NEWEST_OFFLINE] == pytest.approx(
        before[NEWEST_OFFLINE] / 2 + before[OLDER_OFFLINE]
    )
    assert after[OLDER] == pytest.approx(before[NEWEST] / 2)
    assert after.sum() == pytest.approx(1)
