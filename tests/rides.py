"""A small stream with a feature of every kind, and its events: will this ride be late?"""

import random
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from state.events import HOUR_US, MINUTE_US, SECOND_US, Event, TimeUs
from state.features import (
    Calendar,
    Category,
    Count,
    Custom,
    Elapsed,
    Ewma,
    Field,
    Labelled,
    Last,
    Mean,
    Rate,
    Rolling,
    Sum,
)
from state.log import Record
from state.stream import Label, Stream

START_US = round(datetime(2024, 3, 30, 20, tzinfo=UTC).timestamp() * 1e6)  # a night of 23 hours

City = Annotated[str, Meta(min_length=1, max_length=8)]
Minutes = Annotated[float, Meta(ge=0, le=300)]


class Asked(Event, frozen=True, kw_only=True):
    """Someone wants to be there in time: the request."""

    city: City
    driver: Annotated[int, Meta(ge=0, le=99)]
    pickup: TimeUs
    arrive: TimeUs
    price: Annotated[float, Meta(ge=0, le=1e6)]
    car: str | None = None


class Ended(Event, frozen=True, kw_only=True):
    """A ride is over: the label."""

    of: str
    city: City
    driver: Annotated[int, Meta(ge=0, le=99)]
    pickup: TimeUs
    late: Annotated[float, Meta(ge=-300, le=300)]


class Rain(Event, frozen=True, kw_only=True):
    """A gauge reports."""

    city: City
    fell: Annotated[float, Meta(ge=0, le=500)] | None
    wind: Annotated[float, Meta(ge=0, le=200)]


NO_RIDE = (0, -3 * HOUR_US)


class Streak:
    """Late rides of a driver, with no pause of two hours between any two rides."""

    columns = ("streak", "since_ride")
    observes = (Ended,)

    def __init__(self):
        self.streaks: dict[int, tuple[int, int]] = {}

    def observe(self, event):
        streak, time = self.streaks.get(event.driver, NO_RIDE)
        if event.time - time > 2 * HOUR_US:
            streak = 0
        self.streaks[event.driver] = (streak + (event.late > 5), max(event.time, time))

    def values(self, request):
        streak, time = self.streaks.get(request.driver, NO_RIDE)
        if request.time - time > 2 * HOUR_US:
            return (0.0, float("nan"))
        return (float(streak), (request.time - time) / MINUTE_US)

    def forget(self, before):
        self.streaks = {driver: s for driver, s in self.streaks.items() if s[1] >= before}

    def snapshot(self):
        return msgspec.msgpack.encode(self.streaks)

    def restore(self, state):
        self.streaks = msgspec.msgpack.decode(state, type=dict[int, tuple[int, int]])


def squared(event):
    return event.late**2


stream = Stream(
    name="rides",
    events=(Asked, Ended, Rain),
    request=Asked,
    label=Label(
        on=Ended,
        of="of",
        value=lambda event: event.late > 5,
        deadline=lambda request: request.arrive + 10 * MINUTE_US,
        silence=True,
        delay="2h",
    ),
    features=(
        Category("city"),
        Category("car"),
        Calendar("pickup", "Europe/Berlin", ("hour", "weekday", "minute_of_day", "day_of_year")),
        Field("price", transform="log1p"),
        Elapsed("ride_minutes", since="pickup", until="arrive"),
        Rolling(
            over=Ended,
            by=(),
            windows=("10m", "1h"),
            stats=(Count("ended"), Mean("late", "late", prior=2.0, strength=3.0)),
        ),
        Rolling(
            over=Ended,
            by=("city", "driver"),
            windows=("30m", "2h"),
            stats=(Count(), Sum("late", "late"), Mean("square", squared)),
            bucket="5m",
        ),
        Rolling(
            over={Asked: 1, Ended: -1},
            at="pickup",
            ahead="30m",
            by=("city",),
            windows=("20m", "1h"),
            stats=(Count("open"),),
        ),
        Rolling(
            over=Labelled,
            by=("driver",),
            windows=("1h",),
            stats=(Count("known"), Rate("late", "label", prior=0.3, strength=4.0)),
        ),
        Ewma("usual", over=Labelled, by=("city", "driver"), of="label", rate=0.2, prior=0.3,
             forget="90m", transform="logit"),
        Ewma("usual_late", over=Ended, by=("driver",), of="late", rate=0.3, prior=1.0,
             forget="45m"),
        Last(over=Rain, by=("city",), values=("fell", "wind"), expires="40m"),
        Custom(Streak, forget="2h"),
    ),
    crosses=(("city", "hour"),),
    lateness="5m",
    dedup="4h",
)  # fmt: skip

encode = msgspec.json.Encoder().encode


LAGS_S = [0, 0, 0, 0, 0, 60, 400, 3000, 9000, -10_800]
"""Delays of the gauges' reports; the last gauge's clock is three hours ahead."""


def history(n, seed=1):
    """Events in log order: some minutes late, some repeated, some rides without an end."""
    chance = random.Random(seed)
    time, events, cities = START_US + 3 * HOUR_US, [], ["ber", "muc", "ham"]
    for i in range(n):
        time += chance.randrange(120) * SECOND_US
        at = max(time - chance.choice(LAGS_S) * SECOND_US, START_US)
        city, driver = chance.choice(cities), chance.randrange(6)
        source = chance.choice(["app", "desk"])
        if chance.random() < 0.15:
            fell = chance.choice([None, 0.0, chance.uniform(0, 20)])
            events.append((time, Rain(id=f"r{i}", time=at, city=city, fell=fell, wind=i % 30 / 2)))
            continue
        pickup = time + chance.randrange(25) * MINUTE_US
        asked = Asked(
            id=f"a{i}",
            time=time,
            source=source,
            city=city,
            driver=driver,
            pickup=pickup,
            arrive=pickup + chance.randrange(5, 50) * MINUTE_US,
            price=round(chance.lognormvariate(3, 1), 2),
            car=chance.choice([None, "van", "cab"]),
        )
        events.append((time, asked))
        if chance.random() < 0.85:
            late = round(chance.gauss(4 + driver - 2 * (city == "ber"), 6), 1)
            end = asked.arrive + round(late * MINUTE_US)
            ended = Ended(
                id=f"e{i}", time=end, of=asked.id, city=city, driver=driver, pickup=pickup,
                late=min(max(late, -300.0), 300.0),
            )  # fmt: skip
            events.append((end + chance.choice([0, 0, 0, 200]) * SECOND_US, ended))
            if chance.random() < 0.05:
                events.append((end + 300 * SECOND_US, ended))
    events.sort(key=lambda pair: pair[0])
    return [event for _, event in events], [time for time, _ in events]


def records(n, seed=1):
    """The same as the log holds them."""
    events, times = history(n, seed)
    return numbered(
        (time, event.source.encode(), encode(event))
        for event, time in zip(events, times, strict=True)
    )


def numbered(entries):
    """Records from (append time, key, value) triples."""
    return [Record(i, *entry) for i, entry in enumerate(entries)]
