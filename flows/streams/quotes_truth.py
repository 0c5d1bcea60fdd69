"""The hidden rule that decides whether a quote fills; it drifts, and no model sees it.

The log odds have four parts: a static one of interactions only (trees can learn it, a linear model
cannot); a linear one whose weights follow an Ornstein-Uhlenbeck process (an online linear model can
follow it, trees grown yesterday cannot); the heat of the symbol, which its latest trades show; and
the time left until the quote expires.
"""

import math
from itertools import accumulate

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.events import MINUTE_US, SECOND_US

SYMBOLS = 20
SIGNALS = 8

_HEAT_H = 1 / 3
_BASE, _STATIC_SIZE, _DRIFT_SIZE = -0.4, 0.8, 0.6
_HEAT_SIZE, _LIFE_SIZE = 0.8, 0.5

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Truth(msgspec.Struct, frozen=True):
    """The hidden state of the market, one row per minute since it opened.

    Attributes:
        weights: Weights of the signals, shape (minutes, `SIGNALS`), standard normal over time.
        heat: Heat of the symbols, shape (minutes, `SYMBOLS`), standard normal over time.
    """

    weights: Floats
    heat: Floats

    @classmethod
    def drawn(cls, seed: int, minutes: int, drift_h: float) -> "Truth":
        """Draw the truth of one seed; fewer minutes give a prefix.

        Args:
            seed: Seed of the truth.
            minutes: Number of rows.
            drift_h: Time constant of the weights, hours.

        Example:
            >>> Truth.drawn(seed=1, minutes=60, drift_h=6.0).weights.shape
            (60, 8)
        """
        drift, heat = np.random.SeedSequence(seed).spawn(2)
        return cls(
            weights=_wandering(drift, minutes, SIGNALS, drift_h),
            heat=_wandering(heat, minutes, SYMBOLS, _HEAT_H),
        )

    def heat_at(self, since_us: Ints) -> Floats:
        """Heat of every symbol at some times.

        Args:
            since_us: Times since the market opened, shape (n,).

        Returns:
            Shape (n, `SYMBOLS`).
        """
        return self.heat[self._minute(since_us)]

    def log_odds(self, since_us: Ints, signals: Floats, symbol: Ints, life_us: Ints) -> Floats:
        """Log odds that each of n quotes fills.

        Args:
            since_us: Times of the quotes since the market opened, shape (n,).
            signals: Shape (n, `SIGNALS`), standard scores.
            symbol: Shape (n,), below `SYMBOLS`.
            life_us: Time from each quote to its expiry, shape (n,).

        Returns:
            Shape (n,).
        """
        minute = self._minute(since_us)
        life_s = life_us / SECOND_US
        drifting = (self.weights[minute] * signals).sum(axis=1)
        log_odds: Floats = (
            _BASE
            + _STATIC_SIZE * _interactions(signals, symbol, life_s)
            + _DRIFT_SIZE * drifting
            + _HEAT_SIZE * self.heat[minute, symbol]
            + _LIFE_SIZE * np.log(life_s / 55)
        )
        return log_odds

    def _minute(self, since_us: Ints) -> Ints:
        return np.minimum(since_us // MINUTE_US, len(self.weights) - 1)


def _wandering(
    seed: np.random.SeedSequence, minutes: int, width: int, time_constant_h: float
) -> Floats:
    """Ornstein-Uhlenbeck processes, one per column, stationary from the first minute."""
    keep = math.exp(-1 / (60 * time_constant_h))
    kick = math.sqrt(1 - keep**2)
    noise = np.random.Generator(np.random.PCG64(seed)).standard_normal((minutes, width))
    return np.array(list(accumulate(noise, lambda level, shock: keep * level + kick * shock)))


def _interactions(signals: Floats, symbol: Ints, life_s: Floats) -> Floats:
    """Terms without a slope in any column; half of all standard scores lie within ±0.6745."""
    spread, depth, imbalance, momentum, volatility = signals.T[:5]
    side = np.where(symbol % 2 == 0, 1.0, -1.0)
    terms: Floats = (
        1.2 * np.sign(spread * depth)
        + 1.0 * np.sign(imbalance) * side
        + 0.9 * np.sign(np.abs(momentum) - 0.6745)
        + 0.8 * np.sign(volatility) * np.sign(life_s - 55)
    )
    return terms
