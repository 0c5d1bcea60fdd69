"""The benchmark of trust counts broken promises."""

import pytest

from bench.bench_trust import CONFIDENCE, WORLDS, broken


@pytest.mark.parametrize("world", WORLDS)
def test_promises_are_kept_where_the_usual_threshold_breaks_them(world):
    found = broken(500, 60, WORLDS[world])
    assert max(found.act, found.let_go) <= 3 * (1 - CONFIDENCE)
    assert found.usual > 0.3
    assert 0 < found.unsure < 1
    assert 0 < found.recall < 1
