"""Data quality: false alarms in healthy months, and faults that were made on purpose.

A month of requests is the training window, and the next one is live. Columns swing by hour and
weekday, are null at night or at weekends, fail for some hours, are constant or mostly null, get
new levels, or grow. In the healthy months every alert is false. Then one fault begins at some
moment, and the first look after a whole tick must name it and have its column first.

    python -m bench.bench_data_faults                 some ten minutes
    python -m bench.bench_data_faults --months 4 --runs 3
"""

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.judging.column_faults import TIME
from models.judging.column_profile import ColumnProfile, Profile
from models.judging.column_reference import Reference
from models.judging.profile_build import (
    TrainingRows,
    levels_profile,
    numbers_profile,
    training_rows,
)
from operators.shard.column_watch import ColumnWatch, Looked
from state.outputs.records import ColumnState
from state.settings import Settings

Floats = NDArray[np.float64]
Random = np.random.Generator

HOUR_US, DAY_US, MONTH = 3_600_000_000, 86_400_000_000, 30
PER_DAY = 10_000
CARRIERS = [f"carrier {i}" for i in range(16)]
IDS = [f"id {i}" for i in range(3_000)]
LEVELS = {"carrier": CARRIERS, "id": IDS}


class Rows(NamedTuple):
    """Requests: their event and append times (µs), and vectors by column."""

    times: NDArray[np.int64]
    appended: NDArray[np.int64]
    columns: dict[str, Floats]


def rows(random: Random, first_day: int, days: int = MONTH, per_day: int = PER_DAY) -> Rows:
    """Healthy requests of some days.

    Args:
        random: Of everything random.
        first_day: Number of the first day.
        days: Number of days.
        per_day: Mean number of requests of a day; nights have a third of a day's.
    """
    n = days * per_day
    chance = 1.0 + 0.5 * np.sin(2 * np.pi * (np.arange(24) - 9) / 24)
    hours = random.choice(24, n, p=chance / chance.sum())
    times = np.sort(random.integers(0, days, n) * DAY_US + hours * HOUR_US)
    times = times + random.integers(0, HOUR_US, n) + first_day * DAY_US
    times.sort()
    day = times / DAY_US
    hour, weekday = times // HOUR_US % 24, times // DAY_US % 7
    swing = np.sin(2 * np.pi * day) + 0.5 * np.sin(2 * np.pi * day / 7)
    is_night, is_weekend = (hour < 6), (weekday >= 5)
    outages = _outages(random, first_day, days)
    counts = random.poisson(20.0 * np.exp(0.6 * swing)).astype(np.float64)
    columns = {
        "price": random.lognormal(3.0 + 0.2 * swing, 1.0),
        "wind": 8.0 + 4.0 * swing + random.normal(0.0, 2.0, n),
        "count": counts,
        "hour": hour.astype(np.float64),
        "weekday": weekday.astype(np.float64),
        "month": day // MONTH % 12 + 1,
        "constant": np.full(n, 1.0),
        "flag": (random.random(n) < 0.001).astype(np.float64),
        "mostly null": np.where(random.random(n) < 0.98, np.nan, random.normal(size=n)),
        "null at night": np.where(is_night, np.nan, random.normal(size=n)),
        "null at weekends": np.where(is_weekend & (random.random(n) < 0.9), np.nan, counts),
        "failing": np.where(outages[(day - first_day).astype(int), hour], np.nan, counts),
        "null at times": np.where(random.random(n) < 0.004, np.nan, random.normal(size=n)),
        "growing": 100.0 + day + random.normal(size=n),
        "weather": 10.0 + np.repeat(random.normal(size=days * 24), np.bincount(
            (times - first_day * DAY_US) // HOUR_US, minlength=days * 24)),
        "carrier": np.minimum(random.geometric(0.25, n) - 1, len(CARRIERS) - 1).astype(np.float64),
        "id": np.minimum(random.pareto(0.8, n) * 10, len(IDS) - 1).astype(int).astype(np.float64),
    }  # fmt: skip
    late = random.exponential(2_000_000.0, n)
    return Rows(times, times + late.astype(np.int64), columns)


def _outages(random: Random, first_day: int, days: int) -> NDArray[np.bool_]:
    """Hours in which a column fails, about two a week."""
    del first_day
    return np.asarray(random.random((days, 24)) < 2.0 / 168)


Fault = Callable[[Rows, int], Rows]


def _column(name: str, how: Callable[[Floats, Random], Floats]) -> Fault:
    def made(of: Rows, begin: int) -> Rows:
        values = of.columns[name].copy()
        values[begin:] = how(values[begin:], np.random.default_rng(begin))
        return of._replace(columns={**of.columns, name: values})

    return made


def _clock(of: Rows, begin: int) -> Rows:
    """The clock that requests are timed by is an hour slow: what hangs on the hour goes with it."""
    times = of.times.copy()
    times[begin:] -= HOUR_US
    hours = of.columns["hour"].copy()
    hours[begin:] = times[begin:] // HOUR_US % 24
    return of._replace(times=times, columns={**of.columns, "hour": hours})


class Designed(NamedTuple):
    """A fault: how it is made, its column, and the kind that must be named."""

    make: Fault
    column: str
    kind: str


FAULTS = {
    "unit x 1,000": Designed(_column("price", lambda x, _: x * 1_000), "price", "out_of_range"),
    "unit / 1,000": Designed(_column("growing", lambda x, _: x / 1_000), "growing", "out_of_range"),
    "level renamed": Designed(
        _column("carrier", lambda x, _: np.where(x == 1, len(CARRIERS), x)),
        "carrier", "unseen_levels",
    ),
    "5 % nulls": Designed(
        _column("wind", lambda x, r: np.where(r.random(len(x)) < 0.05, np.nan, x)),
        "wind", "nulls",
    ),
    "clock 1 h slow": Designed(_clock, TIME, "clock"),
    "column is null": Designed(_column("wind", lambda x, _: x * np.nan), "wind", "stopped"),
    "column stands still": Designed(
        _column("count", lambda x, _: np.full(len(x), x[0])), "count", "constant"
    ),
}  # fmt: skip


def profile_of(of: Rows) -> Profile:
    """The profile of a training window."""
    known = training_rows(np.zeros(len(of.times), np.int64), of.times)
    columns = [_profile(name, values, known) for name, values in of.columns.items()]
    return Profile(
        start=int(of.times[0]), end=int(of.times[-1]), rows=len(of.times), columns=columns
    )


def _profile(name: str, values: Floats, known: TrainingRows) -> ColumnProfile:
    share = 0.3 if name in {"hour", "count"} else 0.02
    if name in LEVELS:
        return levels_profile(name, [LEVELS[name][int(i)] for i in values], known, share)
    return numbers_profile(name, values, known, share)


class Live:
    """A month of live requests, one look at each tick of an hour.

    Args:
        profile: The training window.
        settings: Settings `columns` apply.
    """

    def __init__(self, profile: Profile, settings: Settings | None = None) -> None:
        names = [column.name for column in profile.columns]
        levels = {
            place: [*LEVELS[name], f"renamed {name}"]
            for place, name in enumerate(names)
            if name in LEVELS
        }
        self.watch = ColumnWatch(len(names), 0, settings or Settings())
        self.watch.refer("gbm-1", Reference(profile, names, levels))
        self.tick = 0

    def run(self, of: Rows) -> list[tuple[int, Looked]]:
        """All looks, with the event time of their ticks."""
        vectors, found = np.column_stack(list(of.columns.values())), []
        assert self.watch.window is not None
        add = self.watch.window.add
        for row, at, appended in zip(vectors, of.times.tolist(), of.appended.tolist(), strict=True):
            add(row, at, appended)
            tick = at - at % HOUR_US
            if tick > self.tick:
                if self.tick:
                    found.append((tick, self.watch.look(tick)))
                self.tick = tick
        return found


class Found(NamedTuple):
    """The result of one fault.

    Attributes:
        is_first: Whether its column stood first at the first look after a whole tick.
        is_named: Whether its kind was named there.
        others: Number of other columns with a new fault.
    """

    is_first: bool
    is_named: bool
    others: int


def found(fault: Designed, seed: int, per_day: int = PER_DAY) -> Found:
    """Make one fault two days after the start of the live month, and look once."""
    random = np.random.default_rng([7, seed])
    live = Live(profile_of(rows(random, MONTH, per_day=per_day)))
    of = rows(random, 2 * MONTH, 4, per_day)
    begin = int(random.integers(2 * per_day, 3 * per_day))
    looks = live.run(fault.make(of, begin))
    since = int(of.appended[begin])
    tick, looked = next(one for one in looks if one[0] >= since + HOUR_US)
    states: dict[str, ColumnState] = looked.states
    first = next(iter(states), "")
    alerts = [a for at, one in looks if at <= tick for a in one.alerts if a.time > since]
    others = {a.message.partition(" of partition")[0] for a in alerts} - {fault.column}
    is_named = first == fault.column and fault.kind in states[first].faults
    return Found(first == fault.column, is_named, len(others))


def healthy(seed: int, per_day: int = PER_DAY) -> list[str]:
    """Alerts of a healthy month."""
    random = np.random.default_rng([3, seed])
    live = Live(profile_of(rows(random, MONTH, per_day=per_day)))
    looks = live.run(rows(random, 2 * MONTH, per_day=per_day))
    return [alert.message for _, looked in looks for alert in looked.alerts]


def cost_us(columns: int, per_hour: int, seed: int = 0) -> float:
    """CPU time of one vector with so many numbers, its share of the looks included, µs."""
    random = np.random.default_rng(seed)
    n = 50_000
    times = np.sort(random.integers(0, MONTH * DAY_US, n))
    known = training_rows(np.zeros(n, np.int64), times)
    values = {f"x{i}": random.lognormal(size=n) for i in range(columns)}
    own = [numbers_profile(name, of, known, 0.1) for name, of in values.items()]
    profile = Profile(start=int(times[0]), end=int(times[-1]), rows=n, columns=own)
    live = Live(profile)
    at = np.arange(n) * (HOUR_US // per_hour)
    live.run(Rows(at, at, values))
    started = time.process_time()
    live.run(Rows(at + DAY_US * MONTH, at + DAY_US * MONTH, values))
    return (time.process_time() - started) / n * 1e6


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=40, help="healthy months")
    parser.add_argument("--runs", type=int, default=20, help="runs of each fault")
    arguments = parser.parse_args()
    for columns in (10, 30, 70):
        costs = (f"{cost_us(columns, of):.2f} µs at {of:,}/h" for of in (100, 1_000, 10_000))
        print(f"{columns} columns, a request: {', '.join(costs)}", flush=True)
    print(f"{'fault':22}{'first':>8}{'named':>8}{'others':>8}")
    for name, fault in FAULTS.items():
        all_ = [found(fault, seed) for seed in range(arguments.runs)]
        first, named, others = (sum(of) for of in zip(*all_, strict=True))
        print(f"{name:22}{first:>8}{named:>8}{others:>8}", flush=True)
    false = 0
    for seed in range(arguments.months):
        told = healthy(seed)
        false += len(told)
        for line in told:
            print(f"month {seed}: {line}", flush=True)
    print(f"{arguments.months} healthy months: {false} alerts")


if __name__ == "__main__":
    main()
