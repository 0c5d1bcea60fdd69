"""The flights stream: will this departure from New York leave within 15 minutes of plan?

The request comes an hour before each planned departure. The label comes when the aircraft leaves,
or 16 minutes after plan if it has not left.
"""

from datetime import UTC, datetime

from flows.streams.flights_events import Arrived, Departed, Scheduled, Weather
from flows.streams.turnaround import Turnaround
from state.events import MINUTE_US
from state.features import (
    Bins,
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
)
from state.stream import Label, Stream

__all__ = ["Arrived", "Departed", "Scheduled", "Weather", "stream"]


def is_late(event: Departed) -> bool:
    """Whether the aircraft left more than 15 minutes after plan."""
    return event.delay > 15


def is_very_late(event: Departed) -> bool:
    """Whether it left more than an hour after plan, which hints at weather or a broken schedule."""
    return event.delay > 60


def left_early(event: Departed) -> bool:
    """Whether it left before plan."""
    return event.delay < 0


# Windows of one feature share buckets of a minute, as in the first homes.
BUCKET = "1m"


def departed(*by: str, windows: tuple[str, ...] = ("1h",)) -> Rolling:
    """Number of recent departures."""
    return Rolling(over=Departed, by=by, windows=windows, stats=(Count("departed"),), bucket=BUCKET)


def extremes(*by: str) -> Rolling:
    """Shares of recent departures that were very late, and early."""
    return Rolling(
        over=Departed,
        by=by,
        windows=("3h",),
        stats=(Rate("very_late", is_very_late, prior=0.06), Rate("early", left_early)),
    )


def delays(*by: str) -> Rolling:
    """Mean delay of recent departures."""
    return Rolling(
        over=Departed,
        by=by,
        windows=("1h", "3h"),
        stats=(Mean("delay", "delay", prior=8.0, strength=5.0),),
        bucket=BUCKET,
    )


def late(*by: str, windows: tuple[str, ...] = ("1h", "3h")) -> Rolling:
    """Share of recent late labels, including flights that have not left yet."""
    return Rolling(
        over=Labelled,
        by=by,
        windows=windows,
        stats=(Rate("late", "label", prior=0.2),),
        bucket=BUCKET if len(windows) > 1 else None,
    )


def overdue(*by: str) -> Rolling:
    """Number of overdue departures; cancelled ones drop out after 3 hours."""
    return Rolling(
        over={Scheduled: 1, Departed: -1},
        at="planned",
        ahead="3h",
        by=by,
        windows=("1h", "3h"),
        stats=(Count("overdue"),),
        bucket=BUCKET,
    )


def usual(name: str, *by: str, rate: float = 0.1) -> Ewma:
    """Long-term share of late labels, per key and not per time."""
    return Ewma(
        name,
        over=Labelled,
        by=by,
        of="label",
        rate=rate,
        prior=0.2,
        forget="60d",
        transform="logit",
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
        departed(windows=("1h", "3h")),
        departed("origin"),
        departed("carrier"),
        departed("origin", "carrier"),
        departed("dest"),
        extremes(),
        extremes("origin"),
        extremes("carrier"),
        extremes("origin", "carrier"),
        extremes("dest"),
        extremes("carrier", "flight"),
        delays(),
        delays("origin"),
        delays("carrier"),
        delays("origin", "carrier"),
        delays("dest"),
        late(),
        late("origin"),
        late("carrier"),
        late("origin", "carrier"),
        late("dest"),
        late(windows=("30m",)),
        late("origin", windows=("30m",)),
        late(windows=("12h",)),
        late("origin", windows=("12h",)),
        late("carrier", windows=("12h",)),
        late("origin", "carrier", windows=("12h",)),
        late("dest", windows=("12h",)),
        late("carrier", "flight", windows=("26h",)),
        overdue(),
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
        usual("flight_lately_late", "carrier", "flight", "origin", rate=0.3),
        usual("flight_always_late", "carrier", "flight", "origin", rate=0.03),
        usual("route_usually_late", "origin", "dest"),
        usual("carrier_route_usually_late", "carrier", "origin", "dest"),
        usual("origin_lately_late", "origin"),
        usual("origin_carrier_lately_late", "origin", "carrier", rate=0.2),
        Ewma(
            "flight_usual_delay",
            over=Departed,
            by=("carrier", "flight", "origin"),
            of="delay",
            rate=0.1,
            prior=8.0,
            forget="60d",
        ),
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
        Bins(
            "slack_bin",
            of="turnaround_slack",
            edges=(-120, -60, -30, -15, 0, 10, 20, 30, 40, 50, 60, 75, 90, 120, 180, 300, 480, 960),
        ),
        Bins(
            "overdue_bin",
            of="origin_overdue_3h",
            edges=(1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40),
        ),
        Bins(
            "late_bin",
            of="origin_late_1h",
            edges=(0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6),
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
        ("slack_bin", "overdue_bin"),
        ("slack_bin", "carrier"),
        ("slack_bin", "hour"),
        ("overdue_bin", "hour"),
        ("overdue_bin", "dest"),
        ("late_bin", "hour"),
        ("late_bin", "carrier"),
    ),
    lateness="0s",
    dedup="48h",
    refit_from=datetime(2013, 1, 15, tzinfo=UTC),
)
