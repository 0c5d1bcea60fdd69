"""Memory per key is told as it is: against what the state comes to hold."""

import pytest

from state.events import SECOND_US
from state.features import Count, Distinct, Field, Mean, Rolling
from state.vector.feature_state import FeatureState
from state.vector.memory import key_memory
from tests.state.kinds.comings import START_US, Came, came, stream_of

WINDOWS = ("5m", "1h", "24h", "7d")


def test_one_event_costs_the_least_and_a_full_key_the_most_that_is_told():
    stream = stream_of(
        Rolling(Came, ("host",), ("1m", "2m"), (Count(), Mean("size", "size"))), Field("price")
    )
    ((by, least, most, largest),) = key_memory(stream)
    assert (by, largest) == (("host",), stream.features[0])
    state, tables = FeatureState(stream), 2
    state.observe(came(0, START_US))
    assert least == state._arena._end * 8 + tables * 250
    for second in range(300):
        state.observe(came(second, START_US + second * SECOND_US))
    held = sum(max(table.sizes) for table in state._arena.tables)
    assert most == held * 8 + tables * 250


def test_a_short_and_a_long_window_side_by_side_cost_little():
    (own,) = key_memory(stream_of(Rolling(Came, ("host",), WINDOWS, (Count(),))))
    assert own.most < 10_000
    (shared,) = key_memory(stream_of(Rolling(Came, ("host",), WINDOWS, (Count(),), bucket="5s")))
    assert shared.most > 1_900_000
    assert str(shared) == f"host: 0.3 to {shared.most / 1e3:,.1f} kB"


@pytest.mark.parametrize(
    ("by", "words"), [((), "all together"), (("host", "zone"), "host and zone")]
)
def test_keys_are_told_by_their_fields(by, words):
    stream = stream_of(Distinct("n", Came, dict.fromkeys(by, "node"), "page", ("1h",)))
    (found,) = key_memory(stream)
    assert str(found) == f"{words}: 0.3 to 18.3 kB"


def test_a_stream_without_keys_takes_none():
    assert key_memory(stream_of(Field("price"))) == []
