"""The events of the flights stream: departures from the New York airports, and their weather."""

from typing import Annotated

from msgspec import Meta

from state.events import Event, TimeUs

Code = Annotated[str, Meta(min_length=1, max_length=8)]
DelayMin = Annotated[float, Meta(ge=-24 * 60, le=7 * 24 * 60)]


class Scheduled(Event, frozen=True, kw_only=True):
    """A departure in an hour: the request."""

    carrier: Code
    flight: Annotated[int, Meta(ge=0, le=99_999)]
    origin: Code
    dest: Code
    tail: Code
    planned: TimeUs
    planned_arrival: TimeUs
    distance: Annotated[float, Meta(gt=0, le=20_000)]  # miles


class Departed(Event, frozen=True, kw_only=True):
    """An aircraft left the gate."""

    of: str  # id of its Scheduled event
    carrier: Code
    flight: Annotated[int, Meta(ge=0, le=99_999)]
    origin: Code
    dest: Code
    tail: Code
    planned: TimeUs
    delay: DelayMin


class Arrived(Event, frozen=True, kw_only=True):
    """An aircraft reached its gate."""

    of: str
    tail: Code
    dest: Code
    delay: DelayMin


class Weather(Event, frozen=True, kw_only=True):
    """The hourly report of one airport, at a time when it is certainly known."""

    origin: Code
    temperature: Annotated[float, Meta(ge=-80, le=140)] | None  # Fahrenheit
    dew_point: Annotated[float, Meta(ge=-80, le=140)] | None  # Fahrenheit
    humidity: Annotated[float, Meta(ge=0, le=100)] | None  # percent
    wind_direction: Annotated[float, Meta(ge=0, le=360)] | None  # degrees
    wind_speed: Annotated[float, Meta(ge=0, le=2_000)] | None  # miles per hour
    wind_gust: Annotated[float, Meta(ge=0, le=2_000)] | None  # miles per hour
    precipitation: Annotated[float, Meta(ge=0, le=50)] | None  # inches
    pressure: Annotated[float, Meta(ge=800, le=1_200)] | None  # millibars
    visibility: Annotated[float, Meta(ge=0, le=100)] | None  # miles
