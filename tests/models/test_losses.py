"""Running losses are means over the labels that each model scored."""

import math

import numpy as np
import pytest

from models.losses import RunningLosses, means


def test_they_are_the_means_over_what_each_model_scored():
    random = np.random.default_rng(1)
    p, labels = random.beta(1, 2, (500, 2)), random.integers(0, 2, 500)
    scored = random.random(500) < 0.3
    losses = RunningLosses(2)
    for (a, b), label, both in zip(p.tolist(), labels.tolist(), scored.tolist(), strict=True):
        losses.add([a, b if both else None], label)
    for (n, log_loss, brier), column, used in zip(
        means(losses.total), p.T, (np.ones(500, bool), scored), strict=True
    ):
        hit = np.where(labels[used] == 1, column[used], 1 - column[used])
        assert n == used.sum()
        assert log_loss == pytest.approx(-np.log(hit).mean(), rel=1e-12)
        assert brier == pytest.approx(((column[used] - labels[used]) ** 2).mean(), rel=1e-12)


def test_a_certain_model_that_errs_loses_much_but_not_everything():
    losses = RunningLosses(1)
    losses.add([0.0], 1)
    assert means(losses.total) == [(1, pytest.approx(-math.log(1e-15)), 1.0)]


def test_the_newest_losses_begin_anew_and_all_others_stay():
    losses, alone = RunningLosses(2), RunningLosses(2)
    losses.add([0.25, None], 1)
    losses.restart()
    for one in (losses, alone):
        one.add([0.75, 0.5], 0)
    assert losses.lately == alone.total
    assert [n for n, _, _ in means(losses.total)] == [2, 1]
