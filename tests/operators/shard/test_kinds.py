"""A stream with every kind of feature gives the same bytes however its batches are cut."""

from dataclasses import replace

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.shard.shard import Shard
from state.features import (
    Bins,
    Category,
    Count,
    Difference,
    Distinct,
    Labelled,
    Last,
    Latest,
    Mean,
    Rate,
    Ratio,
    Rolling,
    SinceLast,
)
from tests.operators.shard_runs import SETTINGS, Run, feed
from tests.rides import Asked, Ended, Rain, records, stream

STREAM = replace(
    stream,
    features=(
        *stream.features,
        Rolling(Ended, {"driver": "driver", "city": "city"}, ("10m", "2h", "3h"), (Count("own"),)),
        Distinct("cities", Ended, ("driver",), "city", ("20m", "2h"), most=4),
        Distinct("drivers", Ended, ("city",), "driver", ("30m",)),
        SinceLast("dry", Rain, ("city",), forget="1h"),
        Latest(Labelled, ("driver",), (3, 17), (Rate("last_late", "label"), Count("known_of"))),
        Last(Labelled, ("driver",), ("label",), "3h"),
        Latest(Ended, (), (40,), (Mean("late", "late"),)),
        Difference("later", "all_late_last40", "all_late_1h"),
        Ratio("dear", "price", "ride_minutes"),
        Bins("later_bin", of="later", edges=(-2.0, 0.0, 2.0)),
        Category("source"),
    ),
    crosses=(*stream.crosses, ("later_bin", "source")),
)
RECORDS = records(400, seed=5)
WHOLE = feed(Run(Shard(STREAM, SETTINGS, 0)), RECORDS)


def test_every_new_column_takes_more_than_one_value():
    decode = STREAM.decoder().decode
    assert any(isinstance(decode(record.value), Asked) for record in RECORDS)
    outcomes = [msgspec.json.decode(value) for value in WHOLE.values("outcomes")]
    for column in STREAM.columns[len(stream.columns) :]:
        assert len({outcome[column.name] for outcome in outcomes}) > 1, column.name


@given(cuts=st.lists(st.integers(1, len(RECORDS) - 1), max_size=12), stop=st.integers(1, 399))
@settings(deadline=None, max_examples=25)
def test_any_cut_of_the_batches_and_any_restart_gives_the_same_bytes(cuts, stop):
    run = feed(
        Run(Shard(STREAM, SETTINGS, 0)), RECORDS[:stop], cut_at=[c for c in cuts if c < stop]
    )
    again = Shard(STREAM, SETTINGS, 0)
    again.restore(run.shard.snapshot(), lambda _: None)
    assert again.snapshot() == run.shard.snapshot()
    rest = Run(again)
    rest.written = run.written
    feed(rest, RECORDS, cut_at=[c for c in cuts if c > stop])
    assert rest.written == WHOLE.written
    assert rest.shard.snapshot() == WHOLE.shard.snapshot()
