"""The numbers of a stream's definition are refused where they mean nothing, with their place."""

import math
from dataclasses import replace
from datetime import datetime

import pytest

from state.features import Bins, Count, Ewma, Field, Last, Mean, Rate, Rolling, Sum
from state.stream import StreamError
from tests.rides import START_US, Asked, Ended, records, stream


def rolling(*stats, **changes):
    given = {"over": Asked, "by": ("city",), "windows": ("1h",), "stats": stats or (Count(),)}
    return Rolling(**given | changes)


def reading(_):
    return 1.0


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        (rolling(bucket="0s"), r"bucket in microseconds must lie from 1 .* got 0"),
        (rolling(bucket="1ms", windows=("365d",)), r"buckets of a key must lie from 0 to 1e\+06"),
        (rolling(bucket="1ms", ahead="365d", at="pickup"), "buckets of a key must lie"),
        (rolling(over={Asked: math.nan}), "weight must lie from -1e"),
        (rolling(over={Asked: math.inf}), "weight must lie from -1e"),
        (rolling(windows=()), "Rolling must have a column"),
        (rolling(windows=("60000d",)), "duration must be at most 50000d"),
        (rolling(Mean("m", of=reading, prior=math.nan)), "prior of 'm' must lie from"),
        (rolling(Mean("m", of=reading, strength=-1.0)), "strength of 'm' must lie from 0"),
        (rolling(Mean("m", of=reading, strength=math.inf)), "strength of 'm' must lie from 0"),
        (rolling(Rate("r", of=reading, prior=1.5)), "prior of 'r' must lie from 0 to 1"),
        (Ewma("e", Asked, ("city",), reading, 0.0, 0.0, "1h"), "rate must lie from 4.94"),
        (Ewma("e", Asked, ("city",), reading, 1.5, 0.0, "1h"), "rate must lie from 4.94.* to 1;"),
        (Ewma("e", Asked, ("city",), reading, math.nan, 0.0, "1h"), "rate must lie"),
        (Ewma("e", Asked, ("city",), reading, 0.5, math.inf, "1h"), "prior must lie"),
        (Last(Asked, ("city",), (), "1h"), "Last must have a column"),
        (Bins("b", stream.columns[0].name, (0.0, math.nan)), "edge must lie from"),
        (Bins("b", stream.columns[0].name, (0.0, math.inf)), "edge must lie from"),
    ],
)
def test_a_number_without_a_meaning_is_refused(feature, message):
    with pytest.raises(StreamError, match=message) as refused:
        replace(stream, features=(*stream.features, feature))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"partitions": 0}, "partitions must lie from 1 to 10000; got 0"),
        ({"partitions": 10**9}, "partitions must lie from 1 to 10000"),
        ({"partitions": 1.5}, "partitions must be a whole number"),
        ({"lateness": "9999999d"}, "duration must be at most 50000d; got '9999999d' in lateness"),
        ({"refit_from": datetime(2020, 1, 1)}, "refit_from must have a time zone"),  # noqa: DTZ001
    ],
)
def test_a_number_of_the_stream_itself_is_refused(changes, message):
    with pytest.raises(StreamError, match=message):
        replace(stream, **changes)


def test_numbers_at_their_bounds_are_taken():
    features = (
        Field("price"),
        rolling(Sum("s", of=reading), Rate("r", of=reading, prior=0, strength=0)),
        Ewma("e", Asked, ("city",), reading, 1.0, -1e100, "50000d"),
    )
    assert len(replace(stream, features=features, crosses=()).columns) == 4


@pytest.mark.parametrize("deadline", [math.nan, math.inf, None, "soon", START_US + 0.5, 10**30])
def test_a_deadline_that_is_no_time_makes_a_dead_letter(deadline):
    label = replace(stream.label, deadline=lambda _: deadline)
    check = replace(stream, label=label).check()
    decode = stream.decoder().decode
    asked = next(e for e in (decode(r.value) for r in records(20)) if isinstance(e, Asked))
    assert check(asked).startswith("the label's deadline must be ")
    assert stream.check()(asked) is None


@pytest.mark.parametrize("label", [2, -1, 0.5, math.nan, None, "yes", []])
def test_a_label_that_is_neither_true_nor_false_makes_a_dead_letter(label):
    check = replace(stream, label=replace(stream.label, value=lambda _: label)).check()
    decode = stream.decoder().decode
    ended = next(e for e in (decode(r.value) for r in records(200)) if isinstance(e, Ended))
    assert check(ended) == "the label must be true or false"
    assert stream.check()(ended) is None
