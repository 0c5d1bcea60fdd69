"""The short form of `just fuzz`."""

import random
import time

import msgspec
import pytest

from tests.fuzz.checkpoints import fuzz
from tests.fuzz.mutations import mutated, packed, unpacked


@pytest.mark.timeout(300)
def test_a_checkpoint_with_anything_inside_is_refused_or_used(tmp_path):
    failed = []
    found = fuzz(tmp_path, 1, range(600), time.monotonic() + 100, failed.append)
    assert not failed
    assert found.outcomes["refused"] > 20
    assert found.outcomes["used"] > 10


def test_whatever_a_number_becomes_it_can_be_packed_again():
    largest = msgspec.msgpack.encode([2**64 - 1, -(2**63), 2**63])
    for seed in range(500):
        tree = unpacked(largest)
        mutated(tree, random.Random(seed))
        assert packed(tree)
