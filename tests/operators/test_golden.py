"""What an earlier format version wrote still replays to what it gave then."""

import msgspec
import pytest

from operators.shard import TOPICS
from state.chain import first_unlinked
from state.outputs import Reason
from tests.golden.trips import stream
from tests.golden_log import GOLDEN, golden_log, replay, values

VERSIONS = sorted(path.name for path in GOLDEN.iterdir() if path.name.isdecimal())


@pytest.fixture(scope="module", params=VERSIONS)
def golden(request):
    return GOLDEN / request.param


@pytest.fixture(scope="module")
def log(golden, tmp_path_factory):
    root = tmp_path_factory.mktemp("golden")
    log = golden_log(golden, root)
    before = [values(log, "activations", p) for p in range(stream.partitions)]
    replay(golden, log, root)
    assert [values(log, "activations", p) for p in range(stream.partitions)] == before
    yield log
    log.close()


def expected(golden, topic, partition):
    return (golden / f"{topic}.{partition}.jsonl").read_bytes().splitlines()


def approximately(value):
    """Floats within 1e-12 of themselves: another libm may round the last place otherwise.

    So may the hash over them differ; it is checked by itself.
    """
    match value:
        case dict():
            return {name: approximately(of) for name, of in value.items() if name != "chain"}
        case list():
            return [approximately(of) for of in value]
        case float():
            return pytest.approx(value, rel=1e-12, abs=0)
    return value


@pytest.mark.parametrize("partition", range(stream.partitions))
@pytest.mark.parametrize("topic", TOPICS)
def test_it_gives_what_it_gave(golden, log, topic, partition):
    found = [msgspec.json.decode(value) for value in values(log, topic, partition)]
    before = [msgspec.json.decode(value) for value in expected(golden, topic, partition)]
    assert len(found) == len(before)
    for one, other in zip(found, before, strict=True):
        assert list(one) == list(other)
        assert one | {"chain": ""} == approximately(other) | {"chain": ""}


@pytest.mark.parametrize("partition", range(stream.partitions))
def test_its_predictions_are_linked_then_and_now(golden, log, partition):
    assert first_unlinked(expected(golden, "predictions", partition)) is None
    assert first_unlinked(values(log, "predictions", partition)) is None


def test_it_holds_one_of_everything(golden):
    def fields(topic, name):
        lines = [line for p in range(2) for line in expected(golden, topic, p)]
        return {msgspec.json.decode(line).get(name) for line in lines}

    assert fields("dead_letters", "reason") == set(Reason.__args__)
    assert fields("activations", "type") == {"activated", "crossed"}
    assert fields("predictions", "model") == {None, "gbm-1"}
    assert fields("outcomes", "label") == {0, 1}
    assert len(fields("predictions", "id")) > 100
