import itertools
from collections import Counter

import msgspec
import numpy as np
import pytest

from flows.streams.quotes_events import Filled, Quote, Trade
from flows.streams.quotes_market import (
    LONGEST_LIFE_US,
    LONGEST_REPORT_US,
    SHORTEST_LIFE_US,
    START_US,
    Market,
)
from flows.streams.quotes_truth import Truth
from state.events import HOUR_US

DECODER = msgspec.json.Decoder(Quote | Trade | Filled)
SIGNALS = ("spread", "depth", "imbalance", "momentum", "volatility", "size", "skew", "distance")


@pytest.fixture(scope="module")
def raw() -> list[bytes]:
    return list(Market(seed=1, rate_per_s=20.0).events(hours=3.0))


@pytest.fixture(scope="module")
def decoded(raw) -> list[Quote | Trade | Filled]:
    return [DECODER.decode(event) for event in raw]


@pytest.fixture(scope="module")
def quotes(decoded) -> dict[str, Quote]:
    return {event.id: event for event in decoded if isinstance(event, Quote)}


@pytest.fixture(scope="module")
def ends(decoded) -> dict[str, Filled]:
    return {event.of: event for event in decoded if isinstance(event, Filled)}


def test_events_come_by_time_within_the_hours_asked_for(decoded):
    times = [event.time for event in decoded]
    assert all(before <= after for before, after in itertools.pairwise(times))
    assert times[0] >= START_US
    assert times[-1] < START_US + 3 * HOUR_US


def test_ids_are_unique(decoded):
    assert len({event.id for event in decoded}) == len(decoded)


def test_rate_and_mix_are_as_told(decoded):
    assert len(decoded) == pytest.approx(20 * 3 * 3600, rel=0.01)
    shares = Counter(type(event) for event in decoded)
    assert shares[Quote] / len(decoded) == pytest.approx(0.42, abs=0.01)
    assert shares[Filled] / len(decoded) == pytest.approx(0.37, abs=0.01)
    assert shares[Trade] / len(decoded) == pytest.approx(0.21, abs=0.01)


def test_a_fill_comes_before_its_quote_expires_and_the_word_of_none_after(quotes, ends):
    for of, end in ends.items():
        quote = quotes[of]
        if end.filled:
            assert quote.time <= end.time < quote.expires
        else:
            assert quote.expires <= end.time < quote.expires + LONGEST_REPORT_US


def test_the_word_on_a_quote_names_its_symbol(quotes, ends):
    assert all(end.symbol == quotes[of].symbol for of, end in ends.items())


def test_quotes_live_as_long_as_told(quotes):
    lives = [quote.expires - quote.time for quote in quotes.values()]
    assert SHORTEST_LIFE_US <= min(lives) < 1.01 * SHORTEST_LIFE_US
    assert 0.99 * LONGEST_LIFE_US < max(lives) <= LONGEST_LIFE_US


def test_a_fifth_of_the_quotes_that_do_not_fill_stay_silent(decoded, quotes, ends):
    over = [q for q in quotes.values() if q.expires + LONGEST_REPORT_US < decoded[-1].time]
    silent = sum(quote.id not in ends for quote in over)
    unfilled = sum(quote.id in ends and not ends[quote.id].filled for quote in over)
    assert silent / (silent + unfilled) == pytest.approx(0.2, abs=0.01)


def test_fills_follow_the_truth(quotes, ends):
    # The truth, asked once more: among quotes of like odds, that share must fill.
    known = [quote for quote in quotes.values() if quote.time < START_US + 2 * HOUR_US]
    log_odds = Truth.drawn(seed=1, minutes=3 * 60 + 1, drift_h=6.0).log_odds(
        since_us=np.array([quote.time for quote in known]) - START_US,
        signals=np.array([[getattr(quote, name) for name in SIGNALS] for quote in known]),
        symbol=np.array([int(quote.symbol[1:]) for quote in known]),
        life_us=np.array([quote.expires - quote.time for quote in known]),
    )
    expected = 1 / (1 + np.exp(-log_odds))
    filled = np.array([quote.id in ends and ends[quote.id].filled for quote in known])
    for low in np.arange(0, 1, 0.1):
        like = (low <= expected) & (expected < low + 0.1)
        error = np.sqrt((expected * (1 - expected))[like].sum()) / like.sum()
        assert abs(filled[like].mean() - expected[like].mean()) < 4 * error


def test_hot_symbols_trade_more_and_in_larger_amounts(decoded):
    trades = [event for event in decoded if isinstance(event, Trade)]
    heat = Truth.drawn(seed=1, minutes=3 * 60 + 1, drift_h=6.0).heat
    hot = np.array(
        [heat[(trade.time - START_US) // 60_000_000, int(trade.symbol[1:])] for trade in trades]
    )
    amounts = np.log([trade.amount for trade in trades])
    # Drawn by exp(0.7 heat), a standard normal heat has mean 0.7; amounts grow by exp(0.5 heat).
    assert hot.mean() == pytest.approx(0.7, abs=0.1)
    assert np.polyfit(hot, amounts, 1)[0] == pytest.approx(0.5, abs=0.02)


def test_fewer_hours_give_a_prefix(raw, decoded):
    short = list(Market(seed=1, rate_per_s=20.0).events(hours=1.3))
    assert short == raw[: len(short)]
    assert decoded[len(short)].time >= START_US + round(1.3 * HOUR_US)


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(raw):
    assert list(Market(seed=1, rate_per_s=20.0).events(hours=3.0)) == raw
    other = Market(seed=2, rate_per_s=20.0).events(hours=3.0)
    assert not set(other) & set(raw)


@pytest.mark.parametrize("size", [300, 1_000])
def test_padded_events_have_their_size_and_mean_the_same(raw, decoded, size):
    padded = list(Market(seed=1, rate_per_s=20.0, size_bytes=size).events(hours=0.2))
    assert {len(event) for event in padded} == {size}
    bare = [msgspec.structs.replace(DECODER.decode(event), pad="") for event in padded]
    assert bare == decoded[: len(bare)]


def test_unpadded_bytes_are_those_of_the_structs(raw, decoded):
    encode = msgspec.json.Encoder().encode
    assert [encode(event) for event in decoded] == raw


@pytest.mark.parametrize("name", ["rate_per_s", "drift_h"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_rates_that_are_not_positive_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be positive; got {value} in Market"):
        Market(seed=1, **{name: value})
