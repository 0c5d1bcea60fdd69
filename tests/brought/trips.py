"""Bike trips between stations, as Parquet of pandas: will the bike be back within half an hour?"""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from state.events import MINUTE_US, Event
from state.features import (
    Calendar,
    Category,
    Count,
    Difference,
    Distinct,
    Field,
    Labelled,
    Rate,
    Rolling,
    SinceLast,
)
from state.stream import Label, Stream

START = datetime(2025, 3, 9, 5, tzinfo=UTC)  # an hour before New York's clocks go forward


class Started(Event, frozen=True, kw_only=True):
    """A bike leaves a station; the return of the bike is its label."""

    station: int
    bike: str
    member: bool
    age: int | None


class Returned(Event, frozen=True, kw_only=True):
    """It is back, at some station."""

    bike: str
    end_station: int


stream = Stream(
    name="trips",
    events=(Started, Returned),
    request=Started,
    label=Label(
        on=Returned,
        by=("bike",),
        value=lambda _: True,
        deadline=lambda started: started.time + 30 * MINUTE_US,
        silence=False,
        delay="30m",
    ),
    features=(
        Category("station"),
        Field("member"),
        Field("age"),
        Calendar("time", "America/New_York", ("hour", "weekday")),
        Rolling(over=Started, by=("station",), windows=("1h",), stats=(Count("left"),)),
        Rolling(over=Returned, by={"station": "end_station"}, windows=("1h",),
                stats=(Count("came"),)),
        Difference("missing", "station_left_1h", "station_came_1h"),
        Distinct("bikes", over=Started, by=("station",), of="bike", windows=("6h",)),
        SinceLast("quiet", over=Returned, by={"station": "end_station"}, transform="identity"),
        Rolling(over=Labelled, by=("station",), windows=("6h",), stats=(Rate("back", "label"),)),
    ),
    crosses=(("station", "hour"),),
    dedup="7h",
)  # fmt: skip


def events(n: int) -> list[dict[str, object]]:
    """So many trips, their beginnings and ends by time; a bike may be out for hours."""
    chance, at, found = random.Random(1), START, []
    free = dict.fromkeys((f"b{i}" for i in range(60)), START)
    for i in range(n):
        at += timedelta(seconds=chance.randrange(60, 180))
        bike = chance.choice([bike for bike, since in free.items() if since <= at])
        station, minutes = chance.randrange(5), chance.choice([5, 12, 25, 45, 150])
        minutes = 45 if station == 3 else minutes  # who starts there is slow
        free[bike] = back = at + timedelta(minutes=minutes)
        found.append({
            "type": "started", "id": 2 * i, "time": at, "station": 1_000 + station, "bike": bike,
            "member": chance.random() < 0.7, "age": chance.choice([None, 31, 44]), "lat": 40.7,
        })  # fmt: skip
        found.append({
            "type": "returned", "id": 2 * i + 1, "time": back, "bike": bike,
            "end_station": 1_000 + chance.randrange(5), "lat": 40.8,
        })  # fmt: skip
    return sorted(found, key=lambda event: (event["time"], event["id"]))


_SCHEMA = pa.schema(
    {
        "type": pa.dictionary(pa.int8(), pa.large_string()),
        "id": pa.uint32(),
        "time": pa.timestamp("ns", "America/New_York"),
        "station": pa.float64(),  # as pandas makes of whole numbers with nulls
        "end_station": pa.float64(),
        "bike": pa.dictionary(pa.int32(), pa.string()),
        "member": pa.bool_(),
        "age": pa.float64(),
        "lat": pa.float32(),
        "__index_level_0__": pa.int64(),
    }
)


def write(path: Path, some: list[dict[str, object]]) -> None:
    """Parquet with the columns of both types, times in New York, an index."""
    rows = [event | {"__index_level_0__": i} for i, event in enumerate(some)]
    pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), path, row_group_size=100)


def truth(some: list[dict]) -> dict[str, int]:
    """The label of each request: whether the bike is back before half an hour has passed."""
    back, found = {}, {}
    for event in reversed(some):
        if event["type"] == "returned":
            back[event["bike"]] = event["time"]
        elif event["bike"] in back:
            within = back[event["bike"]] - event["time"] < timedelta(minutes=30)
            found[str(event["id"])] = int(within)
    return found


def columns(some: list[dict], i: int) -> dict[str, float | None]:
    """Columns of the request `some[i]`, by hand."""
    here, at = some[i]["station"], some[i]["time"]
    began = [one for one in some[:i] if one.get("station") == here]
    came = [one["time"] for one in some[:i] if one.get("end_station") == here]
    # Buckets are minutes: the window is the minute of the request and 59 before it.
    since = at.replace(second=0) - timedelta(minutes=59)
    left_1h = sum(one["time"] >= since for one in began)
    came_1h = sum(time >= since for time in came)
    return {
        "station_left_1h": left_1h, "station_came_1h": came_1h, "missing": left_1h - came_1h,
        "quiet": (at - came[-1]).total_seconds() / 60 if came else None,
    }  # fmt: skip
