"""Ids of two types are counted, and very many take no more memory than some."""

import tracemalloc

from state.admission.shared_ids import SharedIds
from tests.state.admission.test_label_routing import Closed, Opened


def test_each_id_counts_once_however_often_it_comes():
    ids = SharedIds()
    for number in (1, 2, 2, 1):
        ids.see(Opened(id=f"x{number}", time=1, station="a"))
        assert not ids.warning
    for _ in range(3):
        ids.see(Closed(id="x2", time=1, of="x1", station="a"))
    assert ids.warning.startswith("1 id is that of events of two types, such as 'x2' of opened")


def test_very_many_take_bounded_memory_and_the_first_are_still_compared():
    ids = SharedIds()
    tracemalloc.start()
    for number in range(600_000):
        ids.see(Opened(id=f"{number:040}", time=1, station="a"))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 2**27
    ids.see(Closed(id=f"{7:040}", time=1, of="x1", station="a"))
    assert ids.warning.startswith("1 id is that")
