"""Exact intervals are scipy's, and hold as often as they say."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from models.judging.intervals import Counted, exact_interval


@pytest.mark.parametrize("confidence", [0.95, 0.999])
@pytest.mark.parametrize("counts", [(0, 1), (1, 1), (0, 50), (3, 20), (999, 1000), (50, 50)])
def test_they_are_those_of_an_exact_binomial_test(counts, confidence):
    theirs = binomtest(*counts).proportion_ci(confidence, method="exact")
    ours = exact_interval(Counted(*counts), confidence)
    assert ours.value == counts[0] / counts[1]
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5])
def test_they_hold_the_share_in_at_least_95_of_100_samples(share):
    rows = 200
    found = [exact_interval(Counted(k, rows)) for k in range(rows + 1)]
    holds = np.array([one.low <= share <= one.high for one in found])
    assert binom.pmf(np.arange(rows + 1), rows, share)[holds].sum() >= 0.95
