"""A reader says what the flow would put into the vector, and leaves the state as it is."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from state.events import HOUR_US
from state.features import Category
from state.vector.feature_state import FeatureState
from state.vector.levels import MOST_CHARACTERS, MOST_LEVELS
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


def test_a_level_with_a_long_name_reads_as_missing_and_is_not_kept():
    state = FeatureState(stream)
    request = next(event for event in EVENTS if isinstance(event, Asked))
    car = [column.name for column in stream.columns].index("car")
    unseen = []
    for read in (state.read, state.reader(unseen)):
        long = msgspec.structs.replace(request, car="x" * (MOST_CHARACTERS + 1))
        assert np.isnan(vector(read, long)[car])
    assert "car" not in [name for levels, name in unseen if levels is state.levels[car]]
    assert state.levels[car].names == []
    fitting = msgspec.structs.replace(request, car="x" * MOST_CHARACTERS)
    assert vector(state.read, fitting)[car] == 0.0
    with pytest.raises(ValueError, match="level must be at most 256 long"):
        state.levels[car].restore(["x" * (MOST_CHARACTERS + 1)])


def test_a_whole_number_may_be_a_category():
    features = (Category("driver"), *stream.features)
    by_driver = replace(stream, features=features)
    state = FeatureState(by_driver)
    request = next(event for event in EVENTS if isinstance(event, Asked))
    row, numbers = np.empty(len(by_driver.columns)), []
    for driver in (7, 11, 7):
        state.read(msgspec.structs.replace(request, driver=driver), row)
        numbers.append(row[0])
    assert numbers == [0.0, 1.0, 0.0]
    assert state.levels[0].names == ["7", "11"]


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
