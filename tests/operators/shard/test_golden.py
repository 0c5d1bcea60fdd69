"""Logs of earlier format versions replay to the outputs recorded then."""

import shutil
from functools import partial

import msgspec
import pytest

from operators.partition.ordered_input import with_model
from operators.partition.recovery import recover
from operators.shard.shard import TOPICS, Shard
from state.checkpoints.store import CheckpointStore
from state.outputs.prediction_chain import first_unlinked
from state.outputs.records import DeadLetterReason
from tests.golden.trips import stream
from tests.golden_log import (
    GOLDEN,
    SETTINGS,
    golden_log,
    offline,
    ordered_input,
    replay,
    settings_of,
    values,
)

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


@pytest.mark.parametrize("partition", range(stream.partitions))
def test_its_checkpoint_goes_on_to_what_it_gave_or_is_passed_over_and_said(
    golden, log, partition, tmp_path, caplog
):
    kept = golden / f"{partition}.ckpt"
    if not kept.exists():
        assert golden.name == "1"
        return
    store = CheckpointStore(tmp_path)
    (tmp_path / str(partition)).mkdir()
    shutil.copy(kept, tmp_path / str(partition) / "000000000060-periodic.ckpt")
    (checkpoint,) = store.newest_first(partition)
    shard = recover(
        lambda of: Shard(stream, SETTINGS if of is None else settings_of(of), partition),
        partition,
        store,
        log,
        partial(offline, golden),
    )
    if checkpoint.shape != shard.shape:
        assert f"got '{checkpoint.shape}'" in caplog.text
        assert shard.position.offset == 0
        return
    assert shard.position.offset == checkpoint.offset > 0
    counters, made = shard.counters, {topic: [] for topic in TOPICS}
    source, load = ordered_input(log, shard), partial(offline, golden)
    while (message := source.poll()) is not None:
        for topic, (_, entries) in shard.apply(with_model(message, shard, load)).entries.items():
            made[topic] += (msgspec.json.decode(entry.value) for entry in entries)
    for topic in TOPICS:
        rest = expected(golden, topic, partition)[counters[topic] :]
        assert [one | {"chain": ""} for one in made[topic]] == [
            approximately(msgspec.json.decode(value)) | {"chain": ""} for value in rest
        ]
    assert len(made["predictions"]) > 10


def test_with_two_models_a_checkpoint_of_this_version_is_taken(tmp_path):
    store = CheckpointStore(tmp_path)
    (tmp_path / "0").mkdir()
    shutil.copy(GOLDEN / "6/0.ckpt", tmp_path / "0" / "000000000060-periodic.ckpt")
    (checkpoint,) = store.newest_first(0)
    shard = Shard(stream, SETTINGS, 0)
    shard.restore(checkpoint.shard, lambda model: offline(GOLDEN / "6", model, shard))
    assert (shard.model, shard.older) == ("gbm-2", "gbm-1")


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

    assert fields("dead_letters", "reason") == {*DeadLetterReason.__args__} - {"unmatched"}
    kinds = (
        {"activated", "crossed"} if golden.name == "1" else {"activated", "crossed", "configured"}
    )
    assert fields("activations", "type") == kinds
    second = {"gbm-2"} if golden.name >= "3" else set()
    assert fields("predictions", "model") == {None, "gbm-1"} | second
    assert fields("outcomes", "label") == {0, 1}
    assert len(fields("predictions", "id")) > 100
    if golden.name >= "6":
        lines = [line for p in range(2) for line in expected(golden, "metrics", p)]
        for name in (b'"ahead"', b'"estimated"'):
            assert any(name in line for line in lines)
