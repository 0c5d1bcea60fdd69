"""Estimates before labels are those of labels that are drawn from the probabilities."""

import numpy as np
import pytest

from models import scorecard
from models.judging.estimates import (
    ESTIMATED,
    estimate_error,
    expected,
    from_runs,
    realised,
    to_runs,
)
from models.judging.histograms import BINS, column, histogram_of
from tests.models.judging.river_metrics import RIVERS

THRESHOLD = 0.4
WORLDS = {"balanced": (-0.4, 1.5), "rare": (-2.2, 1.2), "flat": (0.3, 0.3), "sure": (2.0, 2.5)}


def said_of(world, rows, seed=1):
    mean, spread = WORLDS[world]
    return 1 / (1 + np.exp(-np.random.default_rng(seed).normal(mean, spread, rows)))


def waiting(said, threshold=THRESHOLD):
    return histogram_of((said >= threshold).astype(int), said)


def judged(labels, said, threshold=THRESHOLD):
    counts = np.zeros((2, 2, BINS), int)
    columns = [column(p) for p in said]
    np.add.at(counts, (labels, (said >= threshold).astype(int), columns), 1)
    return counts


def drawn(said, times, seed=2):
    random = np.random.default_rng(seed)
    return [(random.random(len(said)) < said).astype(int) for _ in range(times)]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("rows", [150, 2_000])
def test_a_value_is_the_mean_over_drawn_labels_and_the_interval_holds_95_of_100(world, rows):
    said = said_of(world, rows)
    found = expected(waiting(said))
    if (world, rows) == ("flat", 150):
        del found["recall"]  # always within a label of 1: the interval is wider than need be
    came = [realised(judged(labels, said)) for labels in drawn(said, 600)]
    assert {"accuracy", "log_loss"} <= {*found} <= {*ESTIMATED}
    for name, of in found.items():
        values = np.array([one[name] for one in came])
        error = values.std() / np.sqrt(len(values))
        assert of.value == pytest.approx(values.mean(), abs=4 * error + 0.7 / rows), name
        inside = np.mean((of.low <= values) & (values <= of.high))
        assert 0.91 <= inside <= 0.985, name


@pytest.mark.parametrize("world", WORLDS)
def test_what_came_is_what_river_and_the_rows_say(world):
    said = said_of(world, 800)
    (labels,) = drawn(said, 1)
    found = realised(judged(labels, said))
    for name, theirs in RIVERS.items():
        own = theirs.clone()
        for label, p in zip(labels.tolist(), said.tolist(), strict=True):
            own.update(label, int(p >= THRESHOLD))
        assert found[name] == pytest.approx(own.get(), abs=1e-12)
    plain = scorecard.scorecard(labels.astype(float), said)
    assert found["auc"] == pytest.approx(plain.auc, abs=0.02 if world == "flat" else 0.003)
    assert found["log_loss"] == pytest.approx(plain.log_loss, abs=0.001)


def pairs(said):
    """Expected AUC over all pairs of different requests, one by one."""
    hits = total = 0.0
    for i, p in enumerate(said):
        for j, q in enumerate(said):
            if i != j:
                total += p * (1 - q)
                hits += p * (1 - q) * (1.0 if p > q else 0.5 if p == q else 0.0)
    return hits / total


def test_the_expected_auc_is_that_of_all_pairs():
    middles = 1 / (1 + np.exp(-(np.round(np.random.default_rng(4).normal(size=120), 1) + 0.05)))
    assert expected(waiting(middles))["auc"].value == pytest.approx(pairs(middles), abs=1e-12)


def test_at_500_rows_the_mean_error_is_small_and_without_a_side():
    errors = []
    for seed in range(60):
        sharper = 1 / (0.3 + 0.02 * seed)  # the requests change from case to case
        said = 1 / (1 + (1 / said_of("balanced", 500, seed) - 1) ** sharper)
        (labels,) = drawn(said, 1, seed)
        foreseen = expected(waiting(said))["auc"].value
        errors.append(foreseen - realised(judged(labels, said))["auc"])
    assert np.mean(np.abs(errors)) <= 0.02
    assert abs(np.mean(errors)) < 0.005


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_a_handful_of_requests_has_no_figure_that_would_be_wrong(rows):
    found = expected(waiting(np.full(rows, 0.7)))
    assert {*found} == ({"accuracy", "log_loss"} if rows else set())


def test_a_metric_on_a_kind_is_left_out_where_the_kind_is_rare():
    rare = np.full(1_000, 0.01)
    rare[:19] = 0.9
    assert {*expected(waiting(rare))} == {"accuracy", "log_loss", "auc"}
    rare[19] = 0.9
    assert {*expected(waiting(rare))} == {*ESTIMATED}
    assert "auc" not in expected(waiting(rare[50:]))
    assert "auc" not in expected(waiting(1 - rare[50:]))


@pytest.mark.parametrize("p", [0.0, 1e-300, 1.0 - 1e-16, 1.0])
def test_answers_at_the_ends_give_finite_figures(p):
    said = np.concatenate([np.full(300, p), np.full(40, 0.5)])
    for of in expected(waiting(said)).values():
        assert np.isfinite(of).all()
        assert of.low <= of.value <= of.high
    for of in expected(waiting(np.full(300, p))).values():
        assert 0.0 <= of.low <= of.value <= of.high


def test_the_error_of_right_answers_is_chance_and_that_of_too_sure_ones_is_not():
    off = []
    for seed in range(100):
        said = said_of("balanced", 1_000, seed)
        (labels,) = drawn(said, 1, seed)
        off.append(estimate_error(histogram_of(labels, said)).low > 0)
        sure = 1 / (1 + ((1 - said) / said) ** 3)
        found = estimate_error(histogram_of(labels, sure))
        foreseen = expected(waiting(sure))["auc"].value
        came = realised(judged(labels, sure))["auc"]
        assert found.value == pytest.approx(foreseen - came)
        assert found.low > 0.05
    assert sum(off) <= 10


def test_labels_of_one_kind_have_no_error():
    assert estimate_error(histogram_of(np.ones(50, int), np.full(50, 0.5))) is None
    assert estimate_error(np.zeros((2, BINS))) is None


def test_runs_are_the_counts_again():
    random = np.random.default_rng(5)
    for rows in (2, 4):
        counts = random.integers(0, 3, (rows, BINS)) * (random.random((rows, BINS)) < 0.05)
        counts[0] = 0
        assert (from_runs(to_runs(counts), rows) == counts).all()
    assert from_runs([[BINS - 1, 7], []], 2)[0, -1] == 7


@pytest.mark.parametrize(
    "runs",
    [
        [[0, 1]],
        [[BINS, 1], []],
        [[BINS - 1, 1, 1], []],
        [[-1, 1], []],
        [[3, -1], []],
        [[10**15, 1], []],
    ],
)
def test_counts_of_other_rows_or_columns_are_refused(runs):
    with pytest.raises(ValueError, match="counts must be of 2 rows and 280 columns"):
        from_runs(runs, 2)


def test_an_interval_leans_to_the_side_on_which_rare_errors_may_be_more():
    said = np.full(300, 0.004)
    found = expected(waiting(said))["accuracy"]
    came = [realised(judged(labels, said))["accuracy"] for labels in drawn(said, 500)]
    inside = np.mean([found.low <= one <= found.high for one in came])
    assert 0.975 <= inside < 1.0
