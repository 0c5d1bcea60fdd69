"""The quotes stream as a user meets it: its vector, its labels, its settings."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import flows.streams.quotes
from flows.home.configuration import find_stream, load_settings
from flows.streams.quotes import Filled, Quote, Trade, stream
from flows.streams.quotes_market import Market
from operators.shard.messages import Records
from operators.shard.shard import Shard
from state.events import SECOND_US
from state.log import Record, partition_of
from state.settings import settings_from

SETTINGS = Path(flows.streams.quotes.__file__).with_name("quotes.toml")
BUCKET_US = 30 * SECOND_US


@pytest.fixture(scope="module")
def raw() -> list[bytes]:
    return list(Market(seed=4, rate_per_s=15.0).events(hours=1.5))


@pytest.fixture(scope="module")
def events(raw) -> list[Quote | Trade | Filled]:
    decode = stream.decoder().decode
    return [decode(event) for event in raw]


@pytest.fixture(scope="module")
def emitted(raw, events) -> dict[str, list[dict]]:
    """All output of one shard that takes everything."""
    shard = Shard(stream, settings_from({}), 0)
    found: dict[str, list[dict]] = {"outcomes": [], "predictions": [], "dead_letters": []}
    for first in range(0, len(raw), 1_000):
        batch = range(first, min(first + 1_000, len(raw)))
        records = [Record(i, events[i].time, events[i].symbol.encode(), raw[i]) for i in batch]
        for topic, (_, entries) in shard.apply(Records(records)).entries.items():
            found.setdefault(topic, []).extend(json.loads(entry.value) for entry in entries)
    return found


@pytest.fixture(scope="module")
def quotes(events) -> dict[str, Quote]:
    return {event.id: event for event in events if isinstance(event, Quote)}


def test_the_vector_holds_signals_life_trades_and_fills():
    numbers = [column.name for column in stream.columns if not column.categorical]
    assert [column.name for column in stream.columns if column.categorical] == ["symbol", "venue"]
    assert numbers == [
        "spread",
        "depth",
        "imbalance",
        "momentum",
        "volatility",
        "size",
        "skew",
        "distance",
        "minutes_to_expiry",
        "symbol_trades_5m",
        "symbol_log_amount_5m",
        "symbol_trades_30m",
        "symbol_log_amount_30m",
        "symbol_filled_30m",
        "account_usual_amount",
    ]


def test_a_symbol_has_one_partition_and_every_partition_a_symbol(raw, events):
    peek = stream.peek()
    partitions: dict[str, set[int]] = {}
    for value, event in zip(raw, events, strict=True):
        event_time, key = peek(value)
        assert event_time == event.time
        found = partitions.setdefault(event.symbol, set())
        found.add(partition_of(key, stream.partitions))
    assert all(len(found) == 1 for found in partitions.values())
    assert set.union(*partitions.values()) == set(range(8))


def test_nothing_that_the_market_says_is_refused(emitted, quotes):
    assert emitted["dead_letters"] == []
    assert [prediction["id"] for prediction in emitted["predictions"]] == list(quotes)


def test_every_quote_that_is_over_has_the_label_it_was_given(emitted, events, quotes):
    told = {event.of: event for event in events if isinstance(event, Filled)}
    outcomes = {outcome["id"]: outcome for outcome in emitted["outcomes"]}
    assert len(outcomes) == len(emitted["outcomes"])
    for of, outcome in outcomes.items():
        if of in told:
            assert (outcome["label"], outcome["label_time"]) == (told[of].filled, told[of].time)
        else:
            deadline = quotes[of].expires + 10 * SECOND_US
            assert (outcome["label"], outcome["label_time"]) == (0, deadline)
    assert told.keys() <= outcomes.keys()
    over = events[-1].time - 1 * SECOND_US
    silent = {of for of, quote in quotes.items() if quote.expires + 10 * SECOND_US <= over}
    assert silent <= outcomes.keys()


@pytest.mark.parametrize(("window", "buckets"), [("5m", 10), ("30m", 60)])
def test_trades_are_those_of_the_symbol_in_the_window(emitted, events, quotes, window, buckets):
    trades = [event for event in events if isinstance(event, Trade)]
    bucket = np.array([trade.time // BUCKET_US for trade in trades])
    time = np.array([trade.time for trade in trades])
    symbol = np.array([trade.symbol for trade in trades])
    logs = np.array([math.log(trade.amount) for trade in trades])
    for outcome in emitted["outcomes"][::97]:
        quote = quotes[outcome["id"]]
        now = quote.time // BUCKET_US
        seen = (symbol == quote.symbol) & (bucket > now - buckets) & (time <= quote.time)
        assert outcome[f"symbol_trades_{window}"] == seen.sum()
        mean = (logs[seen].sum() + 4.6 * 5) / (seen.sum() + 5)
        assert outcome[f"symbol_log_amount_{window}"] == pytest.approx(mean)


def test_fills_are_counted_when_they_become_known(emitted, quotes):
    known = [
        (outcome["label_time"], quotes[outcome["id"]].symbol, outcome["label"])
        for outcome in emitted["outcomes"]
    ]
    time, symbol, label = (np.array(column) for column in zip(*known, strict=True))
    position = {outcome["id"]: i for i, outcome in enumerate(emitted["outcomes"])}
    for of in list(position)[::97]:
        quote = quotes[of]
        # Labels by silence within the last second wait for the watermark.
        settled = (symbol == quote.symbol) & (time // BUCKET_US > quote.time // BUCKET_US - 60)
        sure = settled & (time <= quote.time - 1 * SECOND_US)
        unsure = settled & (time > quote.time - 1 * SECOND_US) & (time <= quote.time)
        low, high = (
            (label[sure].sum() + ones + 0.4 * 10) / (sure.sum() + unsure.sum() + 10)
            for ones in (0, unsure.sum())
        )
        rate = emitted["outcomes"][position[of]]["symbol_filled_30m"]
        assert low - 1e-9 <= rate <= high + 1e-9


def test_the_online_model_learns(emitted):
    later = emitted["outcomes"][len(emitted["outcomes"]) // 3 :]
    label = np.array([outcome["label"] for outcome in later])
    said = np.array([outcome["online"] for outcome in later])
    share = label.mean()
    knows_the_share = -share * np.log(share) - (1 - share) * np.log(1 - share)
    log_loss = -np.log(np.where(label == 1, said, 1 - said)).mean()
    assert log_loss < knows_the_share - 0.05


def test_the_settings_beside_it_are_read(monkeypatch):
    monkeypatch.setenv("HEADWATER_CONFIG", str(SETTINGS))
    settings = load_settings()
    assert find_stream(settings.stream) is stream
    assert int(settings.training.every) == 12 * 3600 * SECOND_US
