"""The short form of `just torture`, without H2O."""

import pytest

from tests.torture import torture


@pytest.mark.timeout(150)
def test_a_run_killed_at_any_moment_and_spread_anew_each_time_writes_the_same_bytes(tmp_path):
    said = []
    survived, compared = torture(tmp_path, kills=6, seed=4, hours=1.5, h2o=False, say=said.append)
    assert survived.total() == 6, said
    assert compared["predictions"] > 2_000, said
    assert compared["activations"] > 8, said
