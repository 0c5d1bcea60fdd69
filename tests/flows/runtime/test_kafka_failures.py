"""Each failure of the matrix for a few seconds; `just kafka-matrix` does it at full length."""

import pytest

from tests.kafka import matrix

AWAY_S = 4.0
# The other tests include the cases left out here.
CASES = [one for one in matrix.CASES if one is not matrix.flow_killed]


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    return matrix.undisturbed(tmp_path_factory.mktemp("alone") / "home")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_nothing_is_lost_or_doubled_after(case, tmp_path, wanted, broker, monkeypatch):
    monkeypatch.setattr(matrix, "SIZE_BYTES", 40_000)  # in all still more than memory may grow by
    observed = matrix.observe(case, tmp_path, wanted, AWAY_S, broker)
    assert "records the same" in observed or "nothing was skipped" in observed
    if case is matrix.broker_killed:
        assert "said 0 times" not in observed
