"""A reader says what the flow would put into the vector, and leaves the state as it is."""

import msgspec
import numpy as np
import pytest

from state.events import HOUR_US
from state.vector.feature_state import FeatureState
from state.vector.levels import MOST_LEVELS
from tests.rides import Asked, records, stream

EVENTS = [stream.decoder().decode(record.value) for record in records(300, seed=3)]


def vector(read, request):
    row = np.full(len(stream.columns), -1.0)
    read(request, row)
    return row


def test_a_reader_reads_what_the_flow_reads_and_changes_nothing():
    state = FeatureState(stream)
    read, compared = state.reader([]), 0
    for event in EVENTS:
        if isinstance(event, Asked):
            before = state.snapshot()
            ours = vector(read, event)
            assert state.snapshot() == before
            np.testing.assert_array_equal(ours, vector(state.read, event), strict=True)
            compared += 1
        state.observe(event)
    assert compared > 50


def test_every_new_level_has_the_next_number_until_the_flow_takes_one():
    state = FeatureState(stream)
    request = next(event for event in EVENTS if isinstance(event, Asked))
    state.read(request, np.empty(len(stream.columns)))
    city = [column.name for column in stream.columns].index("city")
    unseen = []
    read = state.reader(unseen)
    for name in ("rome", "oslo", "rome"):
        assert vector(read, msgspec.structs.replace(request, city=name))[city] == 1.0
        assert unseen.pop() == (state.levels[city], name)
    state.levels[city].restore([str(i) for i in range(MOST_LEVELS)])
    assert np.isnan(vector(read, msgspec.structs.replace(request, city="rome"))[city])
    assert unseen == []


@pytest.mark.parametrize("restored", [False, True])
def test_what_is_forgotten_is_in_no_directory(restored):
    state = FeatureState(stream)
    for event in EVENTS:
        state.observe(event)
    if restored:
        other = FeatureState(stream)
        other.observe(EVENTS[0])
        other.restore(state.snapshot())
        state = other
    directories = {table.directory for table in state._arena.tables}
    assert sum(len(directory.places) for directory in directories) > 3
    for table in state._arena.tables:
        slots = state._arena.slots
        found = {k: int(slots[p + table.slot]) for k, p in table.directory.places.items()}
        assert {key: address for key, address in found.items() if address >= 0} == table.blocks
    state.forget(EVENTS[-1].time + 1_000 * HOUR_US)
    assert not any(directory.places for directory in directories)
    assert (state._arena.slots == -1).all()
