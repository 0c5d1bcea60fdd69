"""A prediction is a function of the log before a request and of the request: nothing else."""

import msgspec
import pytest

from operators.shard.messages import Activation, Records
from state.outputs.records import Prediction
from tests.operators.shard_runs import Run, rides_shard
from tests.rides import Asked, records, stream

RECORDS = records(400, seed=5)


def predictions(run):
    found = [msgspec.json.decode(value, type=Prediction) for value in run.values("predictions")]
    return [msgspec.structs.replace(one, chain="") for one in found]


@pytest.mark.parametrize("model", [None, "gbm-1"])
def test_predict_says_what_apply_then_writes(model, request):
    run = Run(rides_shard())
    if model:
        offline = request.getfixturevalue("offline")
        run.take(Activation(0, model, offline(run.shard, model)))
    decode = stream.decoder().decode
    said = {}
    for record in RECORDS:
        event = decode(record.value)
        if isinstance(event, Asked):
            made = run.shard.predict(event)
            said[record.offset] = msgspec.structs.replace(made, key=record.key.decode())
        run.take(Records([record]))
    written = predictions(run)
    assert len(written) > 150
    assert [said[one.offset] for one in written] == written


def test_predict_changes_nothing():
    run = Run(rides_shard())
    run.take(Records(RECORDS[:200]))
    before = run.shard.snapshot()
    event = next(
        one
        for one in (stream.decoder().decode(record.value) for record in RECORDS[200:])
        if isinstance(one, Asked)
    )
    new = msgspec.structs.replace(event, city="new", car="new", time=event.time + 10**10)
    run.shard.predict(event)
    run.shard.predict(new)
    assert run.shard.snapshot() == before


def test_a_request_that_would_be_a_dead_letter_is_refused():
    run = Run(rides_shard())
    run.take(Records(RECORDS))
    event = stream.decoder().decode(next(r.value for r in RECORDS if b'"asked"' in r.value))
    late = msgspec.structs.replace(event, time=run.shard.event_time - 3 * 3_600_000_000)
    with pytest.raises(ValueError, match=r"time must be at most .* behind the newest event's"):
        run.shard.predict(late)
    ahead = msgspec.structs.replace(
        event, time=run.shard.event_time, pickup=run.shard.event_time * 2
    )
    with pytest.raises(ValueError, match="pickup must be at most 30m after time"):
        run.shard.predict(ahead)
