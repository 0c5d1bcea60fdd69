"""The blend is a logistic regression over the models' logits, learned label by label."""

import math

import numpy as np
import pytest
from river.linear_model import LogisticRegression
from river.optim import AdaGrad

from models.ensemble import Ensemble


def logit(p):
    return math.log(p / (1 - p))


def answers(n, seed=1):
    random = np.random.default_rng(seed)
    truth = random.normal(-1, 1.5, n)
    noisy = truth[:, None] + random.normal(0, [0.5, 1.0, 1.5], (n, 3))
    labels = random.random(n) < 1 / (1 + np.exp(-truth))
    return [
        (*map(float, 1 / (1 + np.exp(-z))), int(label))
        for z, label in zip(noisy, labels, strict=True)
    ]


def test_it_is_river_s_logistic_regression_started_at_equal_weights():
    ours = Ensemble(rate=0.05)
    theirs = LogisticRegression(optimizer=AdaGrad(lr=0.05), intercept_lr=0)
    theirs._weights.update({0: 1 / 3, 1: 1 / 3, 2: 1 / 3, 3: 0.0})
    for *given, label in answers(2_000):
        inputs = {i: logit(p) for i, p in enumerate(given)} | {3: 1.0}
        assert ours.blend(*given) == pytest.approx(theirs.predict_proba_one(inputs)[True], abs=1e-9)
        ours.learn(*given, label)
        theirs.learn_one(inputs, bool(label))
    assert ours.weights == pytest.approx([theirs.weights[i] for i in range(4)], abs=1e-9)


def test_it_comes_to_trust_the_better_model():
    ensemble = Ensemble()
    for one in answers(3_000):
        ensemble.learn(*one)
    best, middle, worst, _ = ensemble.weights
    assert best > middle > worst


def test_before_the_first_offline_model_it_is_the_online_model_and_learns_nothing():
    ensemble = Ensemble()
    before = ensemble.snapshot()
    assert ensemble.blend(0.123, None, None) == 0.123
    ensemble.learn(0.123, None, None, 1)
    assert ensemble.snapshot() == before


def test_blending_changes_nothing():
    ensemble = Ensemble()
    before = ensemble.snapshot()
    ensemble.blend(0.2, 0.3, 0.4)
    assert ensemble.snapshot() == before


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_certainty_does_not_break_it(p):
    ensemble = Ensemble()
    for label in (0, 1, 1):
        ensemble.learn(p, p, 1 - p, label)
    assert all(map(math.isfinite, ensemble.weights))
    assert 0 < ensemble.blend(p, p, p) < 1


def test_a_restored_blend_goes_on_as_the_one_before():
    ours, other = Ensemble(), Ensemble()
    data = answers(200)
    for one in data[:100]:
        ours.learn(*one)
    other.restore(ours.snapshot())
    for one in data[100:]:
        ours.learn(*one)
        other.learn(*one)
    assert other.snapshot() == ours.snapshot()


def test_a_blend_of_two_is_river_s_over_the_two():
    ours = Ensemble(rate=0.05, models=["offline", "residual"])
    theirs = LogisticRegression(optimizer=AdaGrad(lr=0.05), intercept_lr=0)
    theirs._weights.update({0: 1 / 2, 1: 1 / 2, 2: 0.0})
    for *given, label in answers(500):
        inputs = {i: logit(p) for i, p in enumerate(given[1:])} | {2: 1.0}
        assert ours.blend(*given) == pytest.approx(theirs.predict_proba_one(inputs)[True], abs=1e-9)
        ours.learn(*given, label)
        theirs.learn_one(inputs, bool(label))
    assert ours.weights[0] == 0.0


@pytest.mark.parametrize("models", [["online"], ["offline", "residual"]])
def test_what_a_blend_of_other_models_learned_is_not_taken_over(models):
    learned, other = Ensemble(), Ensemble(models=models)
    for one in answers(100):
        learned.learn(*one)
    before = other.snapshot()
    other.restore(learned.snapshot())
    assert other.snapshot() == before
    learned.restore(before)
    assert learned.weights[0] not in {0.0, 1.0}
