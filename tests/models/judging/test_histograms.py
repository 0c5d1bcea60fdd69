"""Figures from histograms are those of the rows themselves, and histograms add up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import metrics

from models import scorecard
from models.judging.histograms import (
    BINS,
    MIDDLES,
    Decided,
    auc,
    calibration,
    calibration_error,
    column,
    count,
)


def histogram(labels, said):
    counts = np.zeros((2, BINS), np.int64)
    for label, p in zip(labels, said, strict=True):
        count(counts, int(label), p)
    return counts


def world(seed, rows, sharpness=1.5):
    random = np.random.default_rng(seed)
    truth = 1 / (1 + np.exp(-(random.normal(size=rows) * sharpness - 1)))
    return (random.random(rows) < truth).astype(int), truth


def test_auc_is_that_of_the_rows_where_probabilities_of_a_column_are_one():
    labels, said = world(1, 3_000)
    rounded = MIDDLES[[column(p) for p in said]]
    plain = scorecard.auc(labels.astype(float), rounded)
    assert auc(histogram(labels, said)).value == pytest.approx(plain, abs=1e-12)


def test_the_interval_of_auc_holds_the_truth_in_95_of_100_runs():
    labels, said = world(0, 400_000)
    truth = auc(histogram(labels, said)).value
    inside = [
        found.low <= truth <= found.high
        for seed in range(1, 301)
        for found in [auc(histogram(*world(seed, 500)))]
    ]
    assert 0.92 <= np.mean(inside) <= 0.98


def test_one_label_only_has_no_auc():
    assert auc(histogram([1, 1], [0.2, 0.4])) is None
    assert auc(histogram([], [])) is None


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=50), st.integers(0, 50))
def test_parts_add_up_to_the_whole(rows, cut):
    def of(part):
        return histogram([label for label, _ in part], [p for _, p in part])

    assert (of(rows) == of(rows[:cut]) + of(rows[cut:])).all()
    assert of(rows).sum() == len(rows)


def test_decisions_are_measured_as_river_measures_them():
    labels, said = world(2, 1_000)
    calls = said >= 0.4
    hits = Decided(*map(float, (
        (calls & (labels == 1)).sum(), (calls & (labels == 0)).sum(),
        (~calls & (labels == 0)).sum(), (~calls & (labels == 1)).sum(),
    )))  # fmt: skip
    theirs = metrics.base.Metrics(
        [metrics.Precision(), metrics.Recall(), metrics.Accuracy(), metrics.F1(), metrics.FBeta(2)]
    )
    for label, call in zip(labels.tolist(), calls.tolist(), strict=True):
        theirs.update(bool(label), call)
    ours = [hits.precision, hits.recall, hits.accuracy, hits.f(1), hits.f(2)]
    assert ours == pytest.approx([one.get() for one in theirs])
    assert Decided(0, 0, 5, 0).precision is None


def test_calibration_is_close_for_right_probabilities_and_not_for_wrong_ones():
    labels, said = world(4, 50_000)
    right = histogram(labels, said)
    assert calibration_error(right) < 0.01
    assert len(calibration(right)) == 10
    assert sum(size for *_, size in calibration(right)) == 50_000
    assert calibration_error(histogram(labels, said**2)) > 0.05
