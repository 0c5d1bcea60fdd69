"""Generate the quotes stream's events as a pure function of a seed, fast enough for benchmarks."""

import math
from bisect import bisect_left
from collections.abc import Iterator
from itertools import count

import msgspec
import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray

from flows.streams.quotes_events import Filled, Quote, Trade
from flows.streams.quotes_truth import SIGNALS, SYMBOLS, Ints, Truth
from state.events import HOUR_US, MINUTE_US, SECOND_US

START_US = 1_704_067_200 * SECOND_US
"""The market opens with the year 2024, UTC."""

SHORTEST_LIFE_US = 10 * SECOND_US
"""The shortest time from a quote to its expiry."""

LONGEST_LIFE_US = 5 * MINUTE_US
"""The longest time from a quote to its expiry."""

LONGEST_REPORT_US = 5 * SECOND_US
"""Longest time from a quote's expiry to the event that it was not filled."""

_CHUNK = 10_000  # quotes and trades per chunk; the random numbers depend on it
_QUOTE_SHARE = 2 / 3  # of a chunk; the rest are trades
_SILENT_SHARE = 0.2  # of the quotes that do not fill
_EVENTS_PER_ARRIVAL = 1.6  # including the outcomes of most quotes
_ACCOUNTS = 4_000
_CHUNKS_KEY = 2  # lower keys seed the hidden truth
_SYMBOL_CODES = [f"S{number:02}" for number in range(SYMBOLS)]
_VENUES = ("north", "east", "south", "west")

_Timed = tuple[int, int, int, bytes]  # time, 0 for an arrival or 1 for its end, number, event
_encode = msgspec.json.Encoder().encode


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """A market whose quotes fill or expire.

    42 % of the events are quotes, 37 % outcomes of quotes, 21 % trades. A fill is reported at once,
    an expiry within `LONGEST_REPORT_US`, and every fifth expiry never.

    Attributes:
        seed: Seed of the market.
        rate_per_s: Mean number of events, of all types, per second of event time.
        drift_h: Time constant of the drifting weights, hours.
        size_bytes: Size to which shorter events are padded; from 300 on, all events have it.

    Raises:
        ValueError: The rate or the time constant is not positive.

    Example:
        >>> first = next(Market(seed=7, size_bytes=400).events(hours=1.0))
        >>> len(first)
        400
    """

    seed: int
    rate_per_s: float = 10.0
    drift_h: float = 6.0
    size_bytes: int = 0

    def __post_init__(self) -> None:
        for name in ("rate_per_s", "drift_h"):
            if not getattr(self, name) > 0:
                msg = f"{name} must be positive; got {getattr(self, name)} in Market"
                raise ValueError(msg)

    def events(self, hours: float) -> Iterator[bytes]:
        """All events of the first hours as JSON, by time; fewer hours give a prefix.

        Args:
            hours: Length of event time, from `START_US`.

        Yields:
            An encoded `Quote`, `Trade` or `Filled`.
        """
        end_us = START_US + round(hours * HOUR_US)
        truth = Truth.drawn(self.seed, math.ceil(hours * 60) + 1, self.drift_h)
        clock_us = START_US
        waiting: list[_Timed] = []
        for chunk in count():
            if clock_us >= end_us:
                return
            random = self._random(chunk)
            times = clock_us + self._gaps_us(random).cumsum()
            clock_us = int(times[-1])
            waiting.extend(_arrivals(random, times, chunk * _CHUNK, truth))
            waiting.sort()
            due = bisect_left(waiting, (min(clock_us, end_us),))
            yield from (_padded(event, self.size_bytes) for *_, event in waiting[:due])
            del waiting[:due]

    def _random(self, chunk: int) -> Generator:
        return Generator(PCG64(SeedSequence(self.seed, spawn_key=(_CHUNKS_KEY, chunk))))

    def _gaps_us(self, random: Generator) -> Ints:
        mean_us = _EVENTS_PER_ARRIVAL / self.rate_per_s * SECOND_US
        return random.exponential(mean_us, _CHUNK).round().astype(np.int64)


def _arrivals(random: Generator, times: Ints, first: int, truth: Truth) -> Iterator[_Timed]:
    is_quote = random.random(_CHUNK) < _QUOTE_SHARE
    numbers = np.arange(first, first + _CHUNK)
    yield from _trades(random, times[~is_quote], numbers[~is_quote], truth)
    yield from _quotes(random, times[is_quote], numbers[is_quote], truth)


def _trades(random: Generator, times: Ints, numbers: Ints, truth: Truth) -> Iterator[_Timed]:
    """Symbols with more heat trade more often and in larger amounts."""
    n = len(times)
    heat = truth.heat_at(times - START_US)
    shares = np.exp(0.7 * heat).cumsum(axis=1)
    drawn = random.random(n) * shares[:, -1]
    symbols = (shares < drawn[:, None]).sum(axis=1)
    amounts = np.exp(0.5 * random.standard_normal(n) + 0.5 * heat[np.arange(n), symbols])
    rows = zip(
        numbers.tolist(),
        times.tolist(),
        _accounts(random, n),
        symbols.tolist(),
        (100 * amounts).round(2).tolist(),
        strict=True,
    )
    for number, time, account, symbol, amount in rows:
        trade = Trade(
            id=f"t{number}", time=time, account=account, symbol=_SYMBOL_CODES[symbol], amount=amount
        )
        yield time, 0, number, _encode(trade)


def _quotes(random: Generator, times: Ints, numbers: Ints, truth: Truth) -> Iterator[_Timed]:
    n = len(times)
    symbols = random.integers(SYMBOLS, size=n)
    signals = random.standard_normal((n, SIGNALS)).round(3)
    lives = _lives_us(random, n)
    log_odds = truth.log_odds(times - START_US, signals, symbols, lives)
    fills = random.random(n) < 1 / (1 + np.exp(-log_odds))
    yield from _ends(random, times, numbers, symbols, lives, fills)
    columns = (
        numbers.tolist(),
        times.tolist(),
        _accounts(random, n),
        symbols.tolist(),
        random.choice(_VENUES, n).tolist(),
        (times + lives).tolist(),
        *signals.T.tolist(),
    )
    # Fields by name, one by one: making a dict per quote would halve the speed.
    for number, time, account, symbol, venue, expires, x1, x2, x3, x4, x5, x6, x7, x8 in zip(
        *columns, strict=True
    ):
        quote = Quote(
            id=f"q{number}",
            time=time,
            account=account,
            symbol=_SYMBOL_CODES[symbol],
            venue=venue,
            expires=expires,
            spread=x1,
            depth=x2,
            imbalance=x3,
            momentum=x4,
            volatility=x5,
            size=x6,
            skew=x7,
            distance=x8,
        )
        yield time, 0, number, _encode(quote)


def _ends(
    random: Generator,
    times: Ints,
    numbers: Ints,
    symbols: Ints,
    lives: Ints,
    fills: NDArray[np.bool_],
) -> Iterator[_Timed]:
    n = len(times)
    at_fill = (random.random(n) * lives).astype(np.int64)
    at_report = lives + random.integers(LONGEST_REPORT_US, size=n)
    told = fills | (random.random(n) >= _SILENT_SHARE)
    ends = times + np.where(fills, at_fill, at_report)
    columns = (part[told].tolist() for part in (numbers, ends, symbols, fills))
    for number, time, symbol, filled in zip(*columns, strict=True):
        end = Filled(
            id=f"q{number}:end",
            time=time,
            of=f"q{number}",
            symbol=_SYMBOL_CODES[symbol],
            filled=int(filled),
        )
        yield time, 1, number, _encode(end)


def _lives_us(random: Generator, n: int) -> Ints:
    shortest, longest = math.log(SHORTEST_LIFE_US), math.log(LONGEST_LIFE_US)
    return np.exp(random.uniform(shortest, longest, n)).astype(np.int64)


def _accounts(random: Generator, n: int) -> list[str]:
    return [f"a{number}" for number in random.integers(_ACCOUNTS, size=n).tolist()]


def _padded(event: bytes, size_bytes: int) -> bytes:
    missing = size_bytes - len(event) - len(b',"pad":""')
    return event if missing <= 0 else b'%b,"pad":"%b"}' % (event[:-1], b"." * missing)
