"""An id is remembered for the span at least and for twice that at most."""

from hypothesis import given
from hypothesis import strategies as st

from state.admission.recent_ids import RecentIds
from state.durations import Duration

SPAN = 10


@given(st.lists(st.integers(0, 25), max_size=40))
def test_an_id_lives_for_the_span_and_not_twice_as_long(gaps):
    ids, now, added = RecentIds(SPAN), 0, {}
    for number, gap in enumerate(gaps):
        now += gap
        ids.add(f"{number}", now)
        added[f"{number}"] = now
        for event_id, time in added.items():
            if now - time <= SPAN - 1:
                assert event_id in ids
            if now - time >= 2 * SPAN:
                assert event_id not in ids


def test_what_is_kept_is_bounded_by_the_span_not_by_history():
    ids = RecentIds(SPAN)
    for number in range(10_000):
        ids.add(f"id-{number}", number)
    assert len(ids._new) + len(ids._old) <= 2 * SPAN


def test_a_restored_memory_is_the_same():
    ids, other = RecentIds(Duration(SPAN)), RecentIds(SPAN)
    other.restore(ids.snapshot())
    for number in range(0, 25, 3):
        ids.add(f"{number}", number)
    other.restore(ids.snapshot())
    assert other.snapshot() == ids.snapshot()
    assert [f"{n}" in other for n in range(25)] == [f"{n}" in ids for n in range(25)]
    other.add("later", 40)
    ids.add("later", 40)
    assert other.snapshot() == ids.snapshot()
