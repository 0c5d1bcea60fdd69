"""The flights stream: will this departure from New York leave within 15 minutes of plan?

An hour before each planned departure we say how likely it is to be late. The answer comes when the
aircraft leaves, or a quarter of an hour after plan when it has not.
"""

from datetime import UTC, datetime

from flows.streams.flights_events import Arrived, Departed, Scheduled, Weather
from flows.streams.turnaround import Turnaround
from state.events import MINUTE_US
from state.features import (
    Calendar,
    Category,
    Count,
    Custom,
    Elapsed,
    Ewma,
    Field,
    Last,
    Mean,
    Rate,
    Rolling,
)
from state.stream import Label, Stream

__all__ = ["Arrived", "Departed", "Scheduled", "Weather", "stream"]


def is_late(event: Departed) -> bool:
    """Whether the aircraft left more than 15 minutes after plan."""
    return event.delay > 15


def departures(*by: str) -> Rolling:
    """How many left lately, how many of them late, and how late."""
    return Rolling(
        over=Departed,
        by=by,
        windows=("1h", "3h"),
        stats=(
            Count("departed"),
            Rate("late", is_late, prior=0.2),
            Mean("delay", "delay", prior=8.0, strength=5.0),
        ),
    )


def overdue(*by: str) -> Rolling:
    """How many should have left by now and have not; cancelled ones drop out after 3 hours."""
    return Rolling(
        over={Scheduled: 1, Departed: -1},
        at="planned",
        ahead="3h",
        by=by,
        windows=("3h",),
        stats=(Count("overdue"),),
    )


def usual(name: str, *by: str) -> Ewma:
    """How often this flight, or this route, has been late of late."""
    return Ewma(
        name, over=Departed, by=by, of=is_late, rate=0.1, prior=0.2, forget="30d", transform="logit"
    )


stream = Stream(
    name="flights",
    events=(Scheduled, Departed, Arrived, Weather),
    request=Scheduled,
    label=Label(
        on=Departed,
        of="of",
        value=is_late,
        deadline=lambda request: request.planned + 16 * MINUTE_US,
        silence=True,
        delay="80m",
    ),
    features=(
        Category("carrier"),
        Category("origin"),
        Category("dest"),
        Calendar(
            "planned", "America/New_York", ("hour", "weekday", "minute_of_day", "day_of_year")
        ),
        Field("distance"),
        Elapsed("block_minutes", since="planned", until="planned_arrival"),
        Elapsed("minutes_to_departure", since="time", until="planned"),
        departures(),
        departures("origin"),
        departures("carrier"),
        departures("origin", "carrier"),
        departures("dest"),
        overdue("origin"),
        overdue("origin", "carrier"),
        Rolling(
            over=Scheduled,
            at="planned",
            ahead="3h",
            by=("origin",),
            windows=("1h",),
            stats=(Count("planned"),),
        ),
        usual("flight_usually_late", "carrier", "flight"),
        usual("route_usually_late", "origin", "dest"),
        Custom(Turnaround, forget="36h"),
        Last(
            over=Weather,
            by=("origin",),
            values=(
                "temperature",
                "dew_point",
                "humidity",
                "wind_direction",
                "wind_speed",
                "wind_gust",
                "precipitation",
                "pressure",
                "visibility",
            ),
            expires="6h",
        ),
    ),
    crosses=(
        ("origin", "hour"),
        ("carrier", "hour"),
        ("dest", "hour"),
        ("weekday", "hour"),
        ("carrier", "origin"),
        ("origin", "dest"),
        ("carrier", "dest"),
        ("origin", "weekday"),
        ("carrier", "weekday"),
        ("dest", "weekday"),
    ),
    lateness="0s",
    dedup="48h",
    refit_from=datetime(2013, 1, 15, tzinfo=UTC),
)
