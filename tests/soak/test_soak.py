"""The soak's own parts: its verdicts, its events, and what it looks at."""

import os
import random
from collections import Counter

import pytest

from state.log import partition_of
from tests.soak.sampling import FOR_EVER, Quantity, Samples
from tests.soak.slopes import slope_of
from tests.soak.visits import KEPT_US, Asked, Seen, Taken, Visits, stream

HOURS = [i / 360 for i in range(270)]
"""Three quarters of an hour, every ten seconds."""
CYCLE = 1 / 12


def sawtooth(i, height=100.0):
    """Of a tenth of the level, every five minutes."""
    return height * (i % 30) / 30


def noise(i):
    return random.Random(i).gauss(0, 10)


@pytest.mark.parametrize(
    ("shape", "grows"),
    [
        (lambda _: 1000.0, False),
        (lambda i: 1000.0 + sawtooth(i) + noise(i), False),
        (lambda i: 1000.0 + sawtooth(i) + noise(i) + 200 * HOURS[i], True),
        (lambda i: 1000.0 + sawtooth(i, 1000.0) + noise(i), False),
        (lambda i: 1000.0 + sawtooth(i, 1000.0) + noise(i) + 200 * HOURS[i], True),
        (lambda i: 1000.0 + 30 * HOURS[i], True),
        (lambda i: 1000.0 - 200 * HOURS[i], False),
        (lambda i: 1000.0 + (5000.0 if i == 200 else 0.0), False),
    ],
)
def test_growth_is_told_from_a_sawtooth_from_noise_and_from_one_wrong_sample(shape, grows):
    slope = slope_of(HOURS, [shape(i) for i in range(270)], 5.0, CYCLE)
    assert slope.grows == grows
    assert slope.low <= slope.per_hour <= slope.high


def test_the_slope_of_a_line_is_its_own():
    slope = slope_of(HOURS, [7.0 + 40.0 * at for at in HOURS], 1.0, CYCLE)
    assert slope.per_hour == pytest.approx(40.0)
    assert (slope.low, slope.high) == (pytest.approx(40.0), pytest.approx(40.0))


def test_as_many_visitors_as_wanted_are_new_within_what_the_state_holds():
    rate, keys = 200, 50_000
    visits = Visits(1_800_000_000_000_000, rate, keys)
    events = [visits.event(n) for n in range(rate * 120)]
    new = {event.visitor for event in events if type(event) is Seen}
    lasted = 120 * 1_000_000
    assert len(new) == pytest.approx(keys * lasted / KEPT_US, rel=0.02)


def test_every_label_is_of_a_request_before_it_in_the_same_partition():
    visits = Visits(1_800_000_000_000_000, 200, 50_000)
    events = [visits.event(n) for n in range(200 * 60)]
    asked = {event.id: event for event in events if type(event) is Asked}
    taken = [event for event in events if type(event) is Taken and event.of in asked]
    assert len(taken) == pytest.approx(len(asked) * 40 / 60, rel=0.02)
    for event in taken:
        request = asked[event.of]
        assert 0 < event.time - request.time < 60_000_000
        assert event.visitor == request.visitor
    assert 0.2 < sum(event.paid for event in taken) / len(taken) < 0.8
    keys = Counter(partition_of(event.visitor.encode(), stream.partitions) for event in events)
    assert min(keys.values()) > 0.4 * len(events)


def test_processes_and_the_parts_of_a_home_are_sampled(tmp_path):
    for path, size in (
        ("log/events/0.db", 5_000), ("log/models/0.db", 4_000), ("snapshots/0/1.parquet", 4_000),
        ("checkpoints/0/1.ckpt", 9_000), ("tmp/x", 1),
    ):  # fmt: skip
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(bytes(size))
    samples = Samples()
    samples.take({"this": os.getpid()}, tmp_path)
    assert samples.newest("log", "disk") >= 5_000
    assert samples.newest("checkpoints", "disk") >= 9_000
    assert samples.newest(FOR_EVER, "disk") >= 8_000
    assert 0 < samples.newest("the rest", "disk") < 8_000
    assert samples.newest("this", "memory") > 2**20
    assert samples.newest("this", "threads") >= 1
    with (tmp_path / "open").open("wb"):
        samples.take({"this": os.getpid()}, tmp_path)
    _, (before, after) = samples.series[Quantity("this", "descriptors")]
    assert after == before + 1
