"""Three streams as people bring them, in small and made up: bike trips, power prices, messages."""

import csv
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from msgspec import Meta

from state.events import DAY_US, HOUR_US, MINUTE_US, Event
from state.features import Calendar, Category, Count, Ewma, Field, Labelled, Rate, Rolling
from state.stream import Label, Stream

START = datetime(2025, 3, 29, 18, tzinfo=UTC)
_NEW_YORK = ZoneInfo("America/New_York")
Station = Annotated[int, Meta(ge=0, le=9_999)]


class Started(Event, frozen=True, kw_only=True):
    """A bike leaves a station: will it be back within half an hour?"""

    station: Station
    bike: str
    member: bool
    age: float | None


class Returned(Event, frozen=True, kw_only=True):
    """It is back."""

    of: str
    station: Station


trips = Stream(
    name="trips",
    events=(Started, Returned),
    request=Started,
    label=Label(
        on=Returned,
        of="of",
        value=lambda _: True,
        deadline=lambda started: started.time + 30 * MINUTE_US,
        silence=False,
        delay="30m",
    ),
    features=(
        Category("station"),
        Category("bike"),
        Field("member"),
        Field("age"),
        Calendar("time", "America/New_York", ("hour", "weekday")),
        Rolling(over=Started, by=("station",), windows=("1h",), stats=(Count("left"),)),
        Rolling(over=Labelled, by=("station",), windows=("6h",), stats=(Rate("back", "label"),)),
    ),
    crosses=(("station", "hour"),),
    dedup="7h",
)


class Priced(Event, frozen=True, kw_only=True):
    """The price of half an hour: will the next be higher?"""

    zone: str
    price: float
    demand: float | None = None


class Moved(Event, frozen=True, kw_only=True):
    """The next price has come."""

    of: str
    zone: str
    up: bool


prices = Stream(
    name="prices",
    events=(Priced, Moved),
    request=Priced,
    label=Label(
        on=Moved,
        of="of",
        value=lambda moved: moved.up,
        deadline=lambda priced: priced.time + 2 * HOUR_US,
        silence=False,
        delay="2h",
    ),
    features=(
        Field("price"),
        Field("demand"),
        Calendar("time", "Australia/Sydney", ("minute_of_day", "weekday")),
        Ewma("usual", over=Priced, by=("zone",), of="price", rate=0.1, prior=30.0, forget="7d"),
    ),
    key="zone",
    partitions=2,
)  # fmt: skip


class Sent(Event, frozen=True, kw_only=True):
    """Someone writes to someone: will there be an answer within a day?"""

    sender: Station
    receiver: Station


class Answered(Event, frozen=True, kw_only=True):
    """There is."""

    of: str


messages = Stream(
    name="messages",
    events=(Sent, Answered),
    request=Sent,
    label=Label(
        on=Answered,
        of="of",
        value=lambda _: True,
        deadline=lambda sent: sent.time + DAY_US,
        silence=False,
        delay="1d",
    ),
    features=(
        Category("receiver"),
        Rolling(over=Sent, by=("receiver",), windows=("1h", "24h"), stats=(Count("got"),)),
        Rolling(over=Sent, by=("sender",), windows=("24h",), stats=(Count("wrote"),)),
        Rolling(over=Labelled, by=("receiver",), windows=("24h",), stats=(Rate("said", "label"),)),
    ),
    dedup="4d",  # an answer long after the deadline is ignored while its request is known
    time_unit="s",
)

Truth = dict[str, int]
"""The label of each request."""


def write_trips(path: Path, n: int) -> Truth:
    """CSV as a city gives it: local times with their zone, empty cells, a column too many."""
    chance, at, rows, truth = random.Random(1), START, [], {}
    for i in range(n):
        at += timedelta(seconds=chance.randrange(1, 90))
        minutes = chance.choice([5, 12, 25, 45, 300])
        age = chance.choice(["", "31", "44.0"])
        member = chance.choice(["true", "False", "1"])
        station = chance.randrange(5) + 1_000
        bike = chance.choice(["classic", "electric, folding"])
        rows.append((at, ["started", f"t{i}", station, bike, member, age, 40.7, ""]))
        back = ["returned", f"b{i}", 2, "", "", "", 40.8, f"t{i}"]
        rows.append((at + timedelta(minutes=minutes), back))
        truth[f"t{i}"] = int(minutes < 30)
    rows.sort(key=lambda row: row[0])
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        written = csv.writer(file)
        written.writerow(["type", "id", "station", "bike", "member", "age", "lat", "of", "time"])
        for time, row in rows:
            written.writerow([*row, time.astimezone(_NEW_YORK).isoformat(" ")])
    return truth


def write_prices(path: Path, n: int) -> Truth:
    """CSV with semicolons and ISO times without a zone."""
    chance, rows, truth = random.Random(2), [], {}
    for zone in ("nsw", "vic"):
        before = 30.0
        for i in range(n // 2):
            at = (START + i * timedelta(minutes=30)).replace(tzinfo=None)
            price = round(before * chance.uniform(0.8, 1.25), 2)
            if i:
                told = {"type": "moved", "id": f"m{zone}{i}", "of": f"{zone}{i - 1}"}
                rows.append((at, told | {"zone": zone, "up": price > before}))
                truth[f"{zone}{i - 1}"] = int(price > before)
            asked = {"type": "priced", "id": f"{zone}{i}", "zone": zone, "price": price}
            rows.append((at, asked | {"demand": chance.choice([None, 7_000.5])}))
            before = price
    rows.sort(key=lambda row: row[0])
    names = ["time", "type", "id", "zone", "price", "demand", "of", "up"]
    with path.open("w", newline="") as file:
        written = csv.DictWriter(file, names, delimiter=";")
        written.writeheader()
        written.writerows({"time": at.isoformat()} | row for at, row in rows)
    return truth


def write_messages(path: Path, n: int) -> Truth:
    """A JSON array, times in seconds since 1970."""
    chance, at, rows, truth = random.Random(3), round(START.timestamp()), [], {}
    for i in range(n):
        at += chance.randrange(900)
        one, other = chance.sample(range(20), 2)
        sent = {"type": "sent", "id": f"s{i}", "time": at, "sender": one, "receiver": other}
        rows.append(sent)
        hours = chance.choice([1, 5, 30, 80])
        rows.append({"type": "answered", "id": f"a{i}", "time": at + hours * 3600, "of": f"s{i}"})
        truth[f"s{i}"] = int(hours < 24)
    rows.sort(key=lambda row: row["time"])
    path.write_text(json.dumps(rows, indent=1))
    return truth
