"""A shard tells that its answers have become wrong, and asks for a fit."""

import math
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from models.scoring.bound_model import Offline
from operators.shard.messages import Boundary
from state.events import HOUR_US, MINUTE_US
from state.outputs.records import Alert
from state.settings import settings_from
from tests.operators.shard.test_learning import MOJOS, NAMES, activation
from tests.operators.shard_runs import Run, feed, rides_shard
from tests.rides import START_US, Asked, Ended, encode, numbered

FIRST_US = START_US + 6 * HOUR_US
# So soon after the beginning a year without a false alarm would need more labels.
SETTINGS = {"metrics": {"every": "20m"}, "clock": {"span": "30m"}}
SOON = settings_from(SETTINGS | {"drift": {"false_alarms": "7d", "rest": "6h"}})


def world(n, seed, flip=None, back=10**9, delay_us=MINUTE_US // 2):
    """Rides whose label follows the price; from one to another the other way round."""
    rng, events = np.random.default_rng(seed), []
    for i in range(n):
        time = FIRST_US + i * MINUTE_US
        price = float(rng.lognormal(3, 1))
        slope = -3 if flip is not None and flip <= i < back else 3
        is_late = rng.random() < 1 / (1 + math.exp(-slope * (math.log(price) - 3)))
        asked = Asked(
            id=f"a{i}", time=time, city="ber", driver=1, pickup=time, arrive=time + 20 * MINUTE_US,
            price=price,
        )  # fmt: skip
        ended = Ended(
            id=f"e{i}", time=time + delay_us, of=f"a{i}", city="ber", driver=1, pickup=time,
            late=9.0 if is_late else 0.0,
        )  # fmt: skip
        events += [asked, ended]
    return numbered((event.time, b"", encode(event)) for event in events)


def alerts(run):
    found = [msgspec.json.decode(value, type=Alert) for value in run.values("alerts")]
    return [one for one in found if one.kind == "drift"]


def begun(made, settings=SOON, until=None):
    """A run whose first offline model comes after four hundred requests."""
    run = Run(rides_shard(settings))
    feed(run, made[:800])
    run.take(activation(run.shard, "priced", 0))
    return feed(run, made[:until])


FLIPPED = world(3_500, seed=8, flip=2_500)


def alarmed():
    """A run up to the first alarm after the flip."""
    run = begun(FLIPPED, until=5_000)
    assert (alerts(run), run.shard.wants_fit(0)) == ([], False)
    for until in range(5_002, 6_000, 2):
        if alerts(feed(run, FLIPPED[:until])):
            return run
    return pytest.fail("a flip must raise an alarm")


def test_a_flip_is_told_with_its_time_and_a_fit_is_wanted_from_then_on():
    run = alarmed()
    (first,) = alerts(run)
    flip_us = FIRST_US + 2_500 * MINUTE_US
    assert flip_us < first.time < flip_us + 3 * HOUR_US
    assert "answers are too sure since 2024-04-0" in first.message
    assert not run.shard.wants_fit(0)
    feed(run, FLIPPED[:5_200])
    assert (run.shard.wants_fit(50), run.shard.wants_fit(500)) == (True, False)


def test_a_fit_is_wanted_also_when_the_learners_have_corrected_the_answers():
    run = alarmed()
    feed(run, FLIPPED)
    assert alerts(run) == alerts(alarmed())
    assert run.shard.wants_fit(900)
    assert not run.shard.wants_fit(1_000)


def test_a_storm_of_an_hour_asks_for_no_fit():
    stormy = world(2_900, seed=8, flip=2_500, back=2_560)
    run = begun(stormy, until=5_000)
    for until in range(5_000, len(stormy), 100):
        assert not feed(run, stormy[:until]).shard.wants_fit(100)
    assert len(alerts(run)) == 1


def test_an_offline_model_that_comes_after_the_alarm_is_trusted_again():
    run = alarmed()
    feed(run, FLIPPED[:5_600])
    assert run.shard.wants_fit(50)
    run.take(activation(run.shard, "a", 1))
    assert not run.shard.wants_fit(0)


def test_a_cut_takes_the_change_with_it():
    run = feed(alarmed(), FLIPPED[:5_600])
    run.take(Boundary(FIRST_US + 4_000 * MINUTE_US))
    flip_us = FIRST_US + 2_500 * MINUTE_US
    assert abs(run.cuts[-1].change - flip_us) < HOUR_US
    assert not run.shard.wants_fit(0)
    run.take(Boundary(FIRST_US + 4_100 * MINUTE_US))
    assert run.cuts[-1].change == 0


def test_what_is_still_learned_before_the_first_offline_model_is_no_drift():
    run = Run(rides_shard(SOON))
    feed(run, FLIPPED)
    assert alerts(run) == []


def test_a_world_that_stays_as_it_is_raises_no_alarm():
    assert alerts(begun(world(3_500, seed=9))) == []


def test_the_batches_and_a_snapshot_in_between_change_nothing():
    whole = begun(FLIPPED)
    first, second = begun(FLIPPED, until=5_150), Run(rides_shard(SOON))
    second.shard.restore(
        first.shard.snapshot(),
        lambda model: Offline(model, MOJOS[model], NAMES, second.shard.levels),
    )
    second.written = first.written
    feed(second, FLIPPED, cut_at=range(5_151, 7_000, 37))
    assert second.written == whole.written
    assert second.shard.snapshot() == whole.shard.snapshot()


@pytest.mark.parametrize("rest", ["1h", "14d"])
def test_alarms_come_no_closer_than_the_rest(rest):
    run = begun(FLIPPED, settings_from(SETTINGS | {"drift": {"false_alarms": "1h", "rest": rest}}))
    times = [one.time for one in alerts(run)]
    least = {"1h": HOUR_US, "14d": 14 * 24 * HOUR_US}[rest]
    assert times
    assert all(later - one >= least - 2 * MINUTE_US for one, later in pairwise(times))
