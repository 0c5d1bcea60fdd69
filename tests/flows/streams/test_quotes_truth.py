import numpy as np
import pytest

from flows.streams.quotes_truth import SIGNALS, SYMBOLS, Truth
from state.events import MINUTE_US, SECOND_US


@pytest.fixture(scope="module")
def long_truth() -> Truth:
    return Truth.drawn(seed=1, minutes=400 * 6 * 60, drift_h=6.0)


def correlation_after(path: np.ndarray, minutes: int) -> float:
    return float((path[:-minutes] * path[minutes:]).mean() / (path**2).mean())


def test_weights_are_forgotten_with_the_time_constant_asked_for(long_truth):
    # An Ornstein-Uhlenbeck process correlates with its past by exp(-age / time constant).
    assert correlation_after(long_truth.weights, 6 * 60) == pytest.approx(np.exp(-1), abs=0.04)
    assert correlation_after(long_truth.weights, 3 * 60) == pytest.approx(np.exp(-0.5), abs=0.04)


def test_heat_is_forgotten_in_20_minutes(long_truth):
    assert correlation_after(long_truth.heat, 20) == pytest.approx(np.exp(-1), abs=0.02)


def test_weights_and_heat_are_standard_normal_over_time(long_truth):
    for path in (long_truth.weights, long_truth.heat):
        assert path.mean() == pytest.approx(0, abs=0.1)
        assert path.std() == pytest.approx(1, abs=0.05)


def test_weights_start_as_spread_as_they_go_on():
    first = np.array([Truth.drawn(seed, 1, 6.0).weights[0] for seed in range(500)])
    assert first.std() == pytest.approx(1, abs=0.05)


def test_a_shorter_truth_is_a_prefix():
    short, long = (Truth.drawn(seed=3, minutes=n, drift_h=6.0) for n in (10, 100))
    assert np.array_equal(short.weights, long.weights[:10])
    assert np.array_equal(short.heat, long.heat[:10])


def test_log_odds_are_the_sum_of_their_parts():
    weights = np.zeros((2, SIGNALS))
    weights[1, 7] = 2.0
    heat = np.zeros((2, SYMBOLS))
    heat[1, 4] = 1.0
    signals = np.array([[1.0, 1.0, 1.0, 2.0, 1.0, 0.0, 0.0, 0.5]] * 3)
    signals[1, :2] = -1.0, 1.0
    log_odds = Truth(weights, heat).log_odds(
        since_us=np.array([0, 0, MINUTE_US]),
        signals=signals,
        symbol=np.array([4, 4, 4]),
        life_us=np.array([110 * SECOND_US] * 3),
    )
    # All interactions agree: -0.4 + 0.8 (1.2 + 1.0 + 0.9 + 0.8) + 0.5 ln 2.
    together = -0.4 + 0.8 * 3.9 + 0.5 * 0.693147
    # Spread against depth turns one term round.
    apart = together - 0.8 * 2.4
    # A minute later: a drifting weight of 2 on a signal of one half, and a hot symbol.
    later = together + 0.6 * 2.0 * 0.5 + 0.8
    assert log_odds == pytest.approx([together, apart, later], abs=1e-5)


def test_a_straight_line_cannot_see_the_static_part():
    truth = Truth(np.zeros((1, SIGNALS)), np.zeros((1, SYMBOLS)))
    random = np.random.default_rng(5)
    signals = random.standard_normal((200_000, SIGNALS))
    zeros = np.zeros(len(signals), dtype=np.int64)
    log_odds = truth.log_odds(zeros, signals, zeros, zeros + 55 * SECOND_US)
    # One symbol alone does show its side in the imbalance; all others must stay level.
    others = np.delete(signals, 2, axis=1)
    slopes = np.linalg.lstsq(others, log_odds - log_odds.mean())[0]
    assert np.abs(slopes).max() < 0.02
    assert log_odds.std() > 1.0
