"""Centre and spread follow the values, and no single one can take them away."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.linear.scaling import CENTRE, CLIP, FIRST, SPREAD, observe, standardised


def scaled(values):
    scale, first = np.zeros((1, 3)), np.zeros((1, FIRST))
    for x in values:
        observe(0, float(x), scale, first)
    return scale


def normal(n, *, mean=0.0, deviation=1.0, seed=1):
    return np.random.default_rng(seed).normal(mean, deviation, n)


def test_normal_numbers_get_mean_0_and_deviation_1():
    scale = scaled(normal(20_000, mean=40.0, deviation=3.0))
    z = [standardised(0, x, scale) for x in normal(5_000, mean=40.0, deviation=3.0, seed=2)]
    assert np.mean(z) == pytest.approx(0, abs=0.1)
    assert np.std(z) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("extreme", [1e200, -1e200, 1.7e308, 3.4e38, -999_999_999.0])
def test_one_extreme_number_moves_centre_and_spread_by_two_per_cent(extreme):
    values = normal(2_000, mean=5.0)
    before, after = scaled(values), scaled([*values, extreme])
    assert abs(after[0, CENTRE] - before[0, CENTRE]) <= 0.0201 * before[0, SPREAD]
    assert after[0, SPREAD] == pytest.approx(before[0, SPREAD], rel=0.0181)


@pytest.mark.parametrize("at", [0, 1, 7, 15, 16, 100])
def test_an_extreme_number_is_forgotten_wherever_it_stood(at):
    values = normal(3_000, mean=5.0)
    values[at] = 1e200
    scale = scaled(values)
    assert scale[0, CENTRE] == pytest.approx(5, abs=0.2)
    assert scale[0, SPREAD] == pytest.approx(0.8, abs=0.1)


@pytest.mark.parametrize("factor", [1_000.0, 0.001])
def test_a_change_of_unit_is_followed_within_some_thousand_numbers(factor):
    scale = scaled([*normal(5_000, mean=5.0), *normal(8_000, mean=5.0, seed=2) * factor])
    assert scale[0, CENTRE] == pytest.approx(5 * factor, rel=0.05)
    assert scale[0, SPREAD] == pytest.approx(0.8 * factor, rel=0.2)


@pytest.mark.parametrize("x", [0.0, 7.5, -1e300, 1e-310, 1.7e15])
def test_a_number_that_never_changes_stands_at_its_centre(x):
    scale = scaled([x] * 2_000)
    assert abs(standardised(0, x, scale)) < 1e-9
    assert scale[0, SPREAD] > 0


def test_a_flag_that_is_rarely_set_is_told_from_one_that_is_not():
    rng = np.random.default_rng(3)
    scale = scaled(rng.random(10_000) < 0.01)
    assert standardised(0, 1.0, scale) == CLIP
    assert abs(standardised(0, 0.0, scale)) < 0.5


def test_what_is_no_number_changes_nothing():
    values = normal(100)
    assert (scaled([*values, np.nan, np.inf, -np.inf]) == scaled(values)).all()
    assert standardised(0, np.inf, scaled(values)) == 0
    assert standardised(0, np.nan, scaled(values)) == 0


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=200), st.floats())
def test_whatever_comes_the_result_is_finite_and_within_the_clip(values, x):
    scale = scaled(values)
    assert np.isfinite(scale).all()
    assert -CLIP <= standardised(0, x, scale) <= CLIP
