"""Metrics of a window are those of its rows, and their intervals hold the truth."""

import numpy as np
import pytest

from models import scorecard
from models.judging.metric_figures import ENOUGH, METRICS, figure, lacking
from models.judging.metric_window import MetricWindow
from tests.models.judging.river_metrics import RIVERS

THRESHOLD = 0.4


def world(seed, rows, shift=0.0):
    random = np.random.default_rng(seed)
    odds = random.normal(size=rows) * 1.5 - 1
    labels = (random.random(rows) < 1 / (1 + np.exp(-odds))).astype(int)
    return labels, 1 / (1 + np.exp(-(odds + shift)))


def tally(labels, said):
    window = MetricWindow(24)
    for label, p in zip(labels.tolist(), said.tolist(), strict=True):
        window.add(label, p, p >= THRESHOLD, 0)
    return window.tally()


LABELS, SAID = world(1, 2_000)


@pytest.mark.parametrize("name", RIVERS)
def test_decisions_are_judged_as_by_river(name):
    theirs = RIVERS[name].clone()
    for label, p in zip(LABELS.tolist(), SAID.tolist(), strict=True):
        theirs.update(label, int(p >= THRESHOLD))
    found = figure(name, tally(LABELS, SAID))
    assert found.value == pytest.approx(theirs.get(), abs=1e-12)
    assert found.low < found.value < found.high


def test_losses_are_those_of_the_rows():
    counts = tally(LABELS, SAID)
    losses = scorecard.log_losses(LABELS.astype(float), SAID)
    assert figure("log_loss", counts).value == pytest.approx(losses.mean(), abs=1e-9)
    assert figure("brier", counts).value == pytest.approx(np.mean((SAID - LABELS) ** 2), abs=1e-9)
    reach = 1.959964 * losses.std(ddof=1) / np.sqrt(len(losses))
    assert figure("log_loss", counts).high - losses.mean() == pytest.approx(reach, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in METRICS if name != "ece"])
def test_the_interval_holds_the_truth_in_95_of_100_runs(name):
    truth = figure(name, tally(*world(0, 200_000))).value
    inside = [
        found.low <= truth <= found.high
        for seed in range(1, 201)
        for found in [figure(name, tally(*world(seed, 400)))]
    ]
    assert 0.91 <= np.mean(inside) <= 0.99


def test_calibrated_answers_are_not_found_wrong_and_shifted_ones_are():
    for seed in range(100):
        assert figure("ece", tally(*world(seed, 400))).low < 0.01
        assert figure("ece", tally(*world(seed, 400, shift=1.5))).low > 0.05


def test_perfect_and_hopeless_decisions_have_an_interval():
    labels = np.repeat([0, 1], 60)
    perfect, hopeless = tally(labels, labels * 0.9 + 0.05), tally(labels, 0.95 - labels * 0.9)
    for name in ("auc", "f1", "f2", "accuracy", "precision", "recall"):
        best, worst = figure(name, perfect), figure(name, hopeless)
        assert (best.value, best.high) == (1.0, 1.0)
        assert 0.9 < best.low < 1.0
        assert (worst.value, worst.low) == (0.0, 0.0)
        assert 0.0 < worst.high < 0.2


@pytest.mark.parametrize("name", METRICS)
def test_there_is_a_figure_wherever_nothing_is_lacking(name):
    random = np.random.default_rng(3)
    for rows in (0, 1, 40, 99, 100, 130, 200):
        for rate in (0.0, 0.1, 0.5, 1.0):
            labels, said = (random.random(rows) < rate).astype(int), random.random(rows)
            counts = tally(labels, said)
            lacks = lacking(name, counts)
            assert bool(lacks) >= (rows < ENOUGH)
            assert lacks or figure(name, counts) is not None
