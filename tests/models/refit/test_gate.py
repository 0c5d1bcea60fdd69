"""The gate lets only a better model through."""

import math

import numpy as np
import pytest

from models.refit.gate import gate

LABELS = np.array([1.0, 0.0, 1.0])
GOOD, FAIR, BAD = (np.array([p, 1 - p, p]) for p in (0.9, 0.6, 0.2))


@pytest.mark.parametrize(
    ("challenger", "champion", "margin", "promoted"),
    [
        (GOOD, FAIR, 0.0, True),
        (FAIR, GOOD, 0.0, False),
        (GOOD, GOOD, 0.0, False),
        (GOOD, GOOD, -0.01, True),
        (BAD, None, 0.0, True),
        (GOOD, FAIR, math.log(1.5) - 1e-9, True),
        (GOOD, FAIR, math.log(1.5) + 1e-9, False),
    ],
)
def test_a_challenger_must_win_by_more_than_the_margin(challenger, champion, margin, promoted):
    assert gate(LABELS, challenger, champion, margin).promoted is promoted


def test_the_reason_holds_the_mean_gain_and_its_standard_error():
    # Gains ln 2 and 0: mean ln 2 / 2, standard deviation ln 2 / 2, over the root of 2 rows.
    verdict = gate(np.array([1.0, 1.0]), np.array([0.5, 0.5]), np.array([0.25, 0.5]), 0.1)
    assert verdict.promoted
    assert "0.34657 ± 0.24506" in verdict.reason
    assert "margin 0.10000" in verdict.reason


def test_without_common_rows_the_champion_stays():
    empty = np.array([])
    verdict = gate(empty, empty, empty, 0.0)
    assert (verdict.promoted, verdict.reason) == (False, "no row is new to the champion")
