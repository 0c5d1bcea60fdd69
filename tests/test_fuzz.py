"""The short form of `just fuzz`."""

import time

import pytest

from tests.fuzz.checkpoints import fuzz


@pytest.mark.timeout(300)
def test_a_checkpoint_with_anything_inside_is_refused_or_used(tmp_path):
    failed = []
    found = fuzz(tmp_path, 1, range(600), time.monotonic() + 100, failed.append)
    assert not failed
    assert found.outcomes["refused"] > 20
    assert found.outcomes["used"] > 10
