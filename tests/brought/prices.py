"""Half-hourly electricity prices of two zones, as CSV: will the zone's next price be higher?"""

import csv
import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from state.events import HOUR_US, Event
from state.features import (
    Bins,
    Calendar,
    Difference,
    Ewma,
    Field,
    Latest,
    Mean,
    Ratio,
    Rolling,
    SinceLast,
)
from state.stream import Label, Stream

START = datetime(2025, 3, 29, 18, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)


class Priced(Event, frozen=True, kw_only=True):
    """The price of half an hour; the next of its zone is its label."""

    zone: str
    price: float
    demand: float | None = None


stream = Stream(
    name="prices",
    events=(Priced,),
    request=Priced,
    label=Label(
        on=Priced,
        by=("zone",),
        value=lambda later, request: later.price > request.price,
        deadline=lambda priced: priced.time + HOUR_US,
        silence=None,
        delay="1h",
    ),
    features=(
        Field("price"),
        Field("demand"),
        Calendar("time", "Australia/Sydney", ("minute_of_day", "weekday")),
        Rolling(over=Priced, by=("zone",), windows=("24h",), stats=(Mean("price", "price"),),
                bucket="30m"),
        Difference("above_day", "price", "zone_price_24h"),
        Ratio("of_day", "price", "zone_price_24h"),
        Bins("dear", of="above_day", edges=(-5.0, 0.0, 5.0)),
        Latest(over=Priced, by=("zone",), events=(3,), stats=(Mean("price", "price"),)),
        Ewma("usual", over=Priced, by=("zone",), of="price", rate=0.1, prior=30.0, forget="7d"),
        SinceLast("gap", over=Priced, by=("zone",), transform="identity"),
    ),
    crosses=(("dear", "weekday"),),
    key="zone",
    partitions=2,
    dedup="25h",
)  # fmt: skip


def events(n: int) -> list[dict[str, object]]:
    """So many prices by time; they swing about 30, and a reading is missing now and then."""
    chance, found = random.Random(2), []
    prices = {"nsw": 30.0, "vic": 45.0}
    for i in range(n // 2):
        at = (START + i * HALF_HOUR).replace(tzinfo=None)
        for zone, before in prices.items():
            prices[zone] = price = round(30 + (before - 30) * chance.uniform(-1, 1.4) + 1, 2)
            found.append({
                "id": f"{zone}{i}", "time": at.isoformat(" "), "zone": zone, "price": price,
                "demand": chance.choice([None, 7_000.5]),
            })  # fmt: skip
    return found


def write(path: Path, some: list[dict[str, object]]) -> None:
    """CSV with semicolons, times without a zone, no type."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        written = csv.DictWriter(file, list(some[0]), delimiter=";")
        written.writeheader()
        written.writerows(some)


def truth(some: list[dict]) -> dict[str, int]:
    """The label of each request but the last of each zone."""
    found = {}
    for zone in ("nsw", "vic"):
        own = [event for event in some if event["zone"] == zone]
        found |= {one["id"]: int(later["price"] > one["price"]) for one, later in pairwise(own)}
    return found


def columns(some: list[dict], i: int) -> dict[str, float | None]:
    """Columns of the request `some[i]`, by hand."""
    own, price = (
        [one["price"] for one in some[:i] if one["zone"] == some[i]["zone"]],
        some[i]["price"],
    )
    if not own:
        return {"above_day": None, "of_day": None, "gap": None}
    usual = fmean(own[-47:])  # the 48th half hour of the window is the request's own
    return {
        "zone_price_24h": usual, "above_day": price - usual, "of_day": price / usual,
        "zone_price_last3": fmean(own[-3:]), "gap": 30.0,
    }  # fmt: skip
