"""The compiled models give the numbers that River gives over the same design."""

import math

import numpy as np
import pytest
from river.linear_model import LogisticRegression
from river.optim import AdaGrad
from river.preprocessing import StandardScaler

from models.linear.online import OnlineModels

KINDS = ["identity", "log1p", "logit", "level", "identity", "level", "level"]
CROSSES = [(3, 5), (5, 6)]
RIVERS = [
    {"class": "linear_model.LogisticRegression", "optimizer": {"class": "optim.FTRLProximal"}},
    {"class": "tree.HoeffdingTreeClassifier", "grace_period": 50},
    {"class": "naive_bayes.GaussianNB"},
    {"class": "forest.ARFClassifier", "n_models": 2},
]


def rows(n, seed=1):
    random = np.random.default_rng(seed)
    data = np.empty((n, len(KINDS)))
    data[:, 0] = random.normal(40, 9, n)
    data[:, 1] = random.poisson(5, n)
    data[:, 2] = random.beta(1, 4, n)
    data[:, 3] = random.integers(0, 7, n)
    data[:, 4] = random.standard_cauchy(n)  # far beyond the clip
    data[:, 5] = random.integers(0, 4, n)
    data[:, 6] = random.integers(0, 300, n)
    logit = 0.1 * (data[:, 0] - 40) - data[:, 2] + 0.4 * (data[:, 3] == data[:, 5]) - 0.5
    labels = (random.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    offline = random.beta(2, 4, n)
    data[random.random(data.shape) < 0.05] = np.nan
    return list(zip(data, labels.tolist(), offline.tolist(), strict=True))


def models(**changes):
    return OnlineModels(KINDS, CROSSES, **{"rate": 0.07, "residual_rate": 0.03} | changes)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_the_online_model_is_river_s_logistic_regression_with_adagrad():
    ours = models()
    theirs = LogisticRegression(optimizer=AdaGrad(lr=0.07), intercept_lr=0)
    worst = 0.0
    for row, label, offline in rows(3_000):
        design = ours.design(row)
        given = ours.predict(row, offline)[0]
        worst = max(worst, abs(given - theirs.predict_proba_one(design)[True]))
        ours.learn(row, label, offline)
        theirs.learn_one(ours.design(row), bool(label))
    assert worst < 1e-9
    assert len(theirs.weights) > 300


def test_the_scaler_is_river_s_standard_scaler_with_a_clip():
    ours, theirs = models(), StandardScaler()
    for row, label, _ in rows(2_000):
        ours.learn(row, label, None)
        seen = {
            0: row[0],
            1: math.log1p(row[1]),
            2: math.log(row[2] / (1 - row[2])),
            4: row[4],
        }
        theirs.learn_one({place: x for place, x in seen.items() if not math.isnan(x)})
        z = theirs.transform_one(seen)
        want = [0.0 if math.isnan(z[j]) else min(max(z[j], -5.0), 5.0) for j in (0, 1, 2, 4)]
        got = ours.design(row)
        assert [got[j] for j in (0, 1, 2, 4)] == pytest.approx(want, abs=1e-9)


def test_the_design_holds_a_constant_and_one_entry_for_each_level_and_cross():
    ours = models()
    full, empty = np.array([1.0, 1, 0.5, 3, 1, 2, 9]), np.full(len(KINDS), np.nan)
    n = len(KINDS)
    assert ours.design(empty) == dict.fromkeys(range(n), 0.0) | {n: 1.0}
    hashed = {place: v for place, v in ours.design(full).items() if place > n}
    assert len(hashed) == 3 + 2
    assert set(hashed.values()) == {1.0}
    assert all(n < place <= n + 2**18 for place in hashed)
    other = full.copy()
    other[3] = 4
    assert len(hashed.keys() & ours.design(other).keys()) == 3  # two levels, one cross


def test_the_same_level_number_in_two_columns_has_two_places():
    ours = OnlineModels(["level"] * 40, [(i, i + 1) for i in range(39)])
    seen = set()
    for level in range(50):
        seen |= {place for place in ours.design(np.full(40, float(level))) if place > 40}
    assert len(seen) > 0.98 * 50 * 79  # birthday collisions: about 3950² / 2 / 2^18 = 30


def test_the_residual_model_learns_with_the_offline_logit_as_its_offset():
    ours = models()
    weights, squares = {}, {}
    for row, label, offline in rows(1_500):
        base = math.log(offline / (1 - offline))
        correction = sum(weights.get(i, 0.0) * x for i, x in ours.design(row).items())
        assert ours.predict(row, offline)[1] == pytest.approx(sigmoid(base + correction), abs=1e-9)
        ours.learn(row, label, offline)
        design = ours.design(row)
        error = sigmoid(base + sum(weights.get(i, 0.0) * x for i, x in design.items())) - label
        for i, x in design.items():
            squares[i] = squares.get(i, 0.0) + (error * x) ** 2
            weights[i] = weights.get(i, 0.0) - 0.03 / math.sqrt(squares[i] + 1e-8) * error * x


def test_without_an_offline_model_there_is_no_residual_and_it_learns_nothing():
    ours, other = models(), models()
    for row, label, _ in rows(50):
        assert ours.predict(row, None)[1] is None
        ours.learn(row, label, None)
    (row, _, _) = rows(1, seed=5)[0]
    assert ours.predict(row, 0.3)[1] == pytest.approx(0.3, abs=1e-12)
    for row, label, offline in rows(50):
        other.learn(row, label, offline)
    assert ours.predict(row, None)[0] == other.predict(row, 0.3)[0]


@pytest.mark.parametrize("river", [None, *RIVERS])
def test_predicting_changes_nothing(river):
    ours = models(river=river)
    for row, label, offline in rows(120):
        ours.learn(row, label, offline)
    before = ours.snapshot()
    asked = rows(60, seed=2)
    first = [ours.predict(row, offline) for row, _, offline in asked]
    assert [ours.predict(row, offline) for row, _, offline in asked] == first
    assert ours.snapshot() == before
    assert all(0 <= p <= 1 for both in first for p in both)


@pytest.mark.parametrize("river", [None, *RIVERS])
def test_restored_models_go_on_as_the_ones_before(river):
    ours, other = models(river=river), models(river=river)
    data = rows(300)
    other.learn(*data[200])  # to be gone
    for one in data[:150]:
        ours.learn(*one)
    other.restore(ours.snapshot())
    for row, label, offline in data[150:]:
        assert other.predict(row, offline) == ours.predict(row, offline)
        ours.learn(row, label, offline)
        other.learn(row, label, offline)
    if river is None:
        assert other.snapshot() == ours.snapshot()


@pytest.mark.parametrize("river", [None, *RIVERS])
def test_fresh_models_repeat_exactly(river):
    def run():
        ours = models(river=river)
        for one in rows(150):
            ours.learn(*one)
        return [ours.predict(row, offline) for row, _, offline in rows(50, seed=3)]

    assert run() == run()


def test_a_fresh_model_restored_is_fresh():
    ours, other = models(), models()
    for one in rows(10):
        ours.learn(*one)
    ours.restore(other.snapshot())
    assert ours.snapshot() == other.snapshot()


@pytest.mark.parametrize("odd", [1e308, -1e308, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_absurd_number_does_not_end_the_models(odd, place):
    ours = models()
    for number, (row, label, offline) in enumerate(rows(100)):
        if number % 10 == 5:
            row[place] = odd if number % 20 == 5 else -odd
        ours.learn(row, label, offline)
    for row, _, offline in rows(20, seed=2):
        online, residual = ours.predict(row, offline)
        assert 0 < online < 1
        assert 0 < residual < 1


def test_the_models_learn():
    ours = models()
    losses = []
    for row, label, offline in rows(4_000):
        p, _ = ours.predict(row, offline)
        losses.append(-math.log(p if label else 1 - p))
        ours.learn(row, label, offline)
    share = np.mean([label for _, label, _ in rows(4_000)])
    guess = -share * math.log(share) - (1 - share) * math.log(1 - share)
    assert np.mean(losses[2_000:]) < guess - 0.05
