"""The gate lets only a better model through."""

import math

import numpy as np
import pytest

from models.refit.gate import gate

LABELS = np.array([1.0, 0.0, 1.0])
FEW = "; 2 rows say little"
GOOD, FAIR, BAD = (np.array([p, 1 - p, p]) for p in (0.9, 0.6, 0.2))


@pytest.mark.parametrize(
    ("challenger", "champion", "margin", "promoted"),
    [
        (GOOD, FAIR, 0.0, True),
        (FAIR, GOOD, 0.0, False),
        (GOOD, GOOD, 0.0, True),
        (GOOD, GOOD, 0.01, False),
        (FAIR, GOOD, -0.5, True),
        (BAD, None, 0.0, True),
        (GOOD, FAIR, math.log(1.5) - 1e-9, True),
        (GOOD, FAIR, math.log(1.5) + 1e-9, False),
    ],
)
def test_where_rows_agree_a_challenger_must_reach_the_margin(
    challenger, champion, margin, promoted
):
    assert gate(LABELS, challenger, champion, margin).promoted is promoted


def test_the_reason_says_how_much_better_in_words():
    # Gains ln 2 and 0: mean ln 2 / 2; sample deviation ln 2 / root 2, over the root of 2 rows.
    labels, half, other = np.array([1.0, 1.0]), np.array([0.5, 0.5]), np.array([0.25, 0.5])
    better = gate(labels, half, other, 0.1)
    assert better.promoted
    assert (
        better.reason == "log-loss better by .3466 ± .3466 than the champion's, margin .1000" + FEW
    )
    worse = gate(labels, other, half, 0.0)
    assert worse.promoted
    assert worse.reason == "log-loss worse by .3466 ± .3466 than the champion's, within noise" + FEW


def test_a_single_row_keeps_nobody_out():
    assert gate(LABELS[:1], BAD[:1], GOOD[:1], 0.0).promoted


def test_without_common_rows_the_champion_stays():
    empty = np.array([])
    verdict = gate(empty, empty, empty, 0.0)
    assert (verdict.promoted, verdict.reason) == (False, "no row is new to the champion")


def _kept_out(noise: float, worse_by: float, runs: int = 1_000, rows: int = 2_000) -> float:
    """The share of challengers that are kept out; both models' logits are off at random."""
    random = np.random.default_rng(7)
    kept = 0
    for _ in range(runs):
        logit = random.normal(0, 1.5, rows)
        labels = (random.random(rows) < _sigmoid(logit)).astype(float)
        champion = _sigmoid(logit + random.normal(0, noise, rows))
        challenger = _sigmoid(logit + random.normal(0, noise, rows) + worse_by)
        kept += not gate(labels, challenger, champion, 0.0).promoted
    return kept / runs


def _sigmoid(logit):
    return 1 / (1 + np.exp(-logit))


def test_an_equally_good_challenger_is_kept_out_once_in_twenty_times():
    # A gate on the mean alone, as it was, keeps out half of them and lets half of the worse in.
    assert 0.03 <= _kept_out(0.4, 0.0) <= 0.07


def test_a_clearly_worse_challenger_is_kept_out():
    # An intercept that is off by .7 costs some .035 nats.
    assert _kept_out(0.4, 0.7) >= 0.95
