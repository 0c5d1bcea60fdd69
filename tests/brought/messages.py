"""Messages between people, as a JSON array: will there be an answer within a day?"""

import json
import random
from pathlib import Path

from state.events import DAY_US, Event
from state.features import (
    Category,
    Count,
    Distinct,
    Labelled,
    Last,
    Latest,
    Rate,
    Ratio,
    Rolling,
    SinceLast,
)
from state.stream import Label, Stream

START_S = 1_743_271_200
DAY_S = 86_400


class Sent(Event, frozen=True, kw_only=True):
    """Someone writes to someone; a message the other way is its label."""

    sender: int
    receiver: int


stream = Stream(
    name="messages",
    events=(Sent,),
    request=Sent,
    label=Label(
        on=Sent,
        by={"sender": "receiver", "receiver": "sender"},
        value=lambda _: True,
        deadline=lambda sent: sent.time + DAY_US,
        silence=False,
        delay="1d",
    ),
    features=(
        Category("receiver"),
        Rolling(over=Sent, by=("receiver",), windows=("1h", "24h"), stats=(Count("got"),)),
        Rolling(over=Sent, by={"receiver": "sender"}, windows=("24h",), stats=(Count("wrote"),)),
        Ratio("busy", "receiver_wrote_24h", "receiver_got_24h"),
        Distinct("friends", over=Sent, by={"receiver": "sender"}, of="receiver", windows=("24h",)),
        SinceLast("silent", over=Sent, by={"receiver": "sender"}, transform="identity"),
        Last(over=Labelled, by=("sender", "receiver"), values=("label",), expires="7d",
             names=("answered",)),
        Latest(over=Labelled, by=("receiver",), events=(5,), stats=(Rate("answers", "label"),)),
    ),
    dedup="25h",
    time_unit="s",
)  # fmt: skip


def events(n: int) -> list[dict[str, object]]:
    """So many messages by time; the lower someone's number, the sooner they answer."""
    chance, at, found = random.Random(3), START_S, []
    for i in range(n):
        at += chance.randrange(1, 1_200)
        one, other = chance.sample(range(1, 12), 2)
        earlier = [e for e in found[-12:] if e["receiver"] < 6]
        if earlier and chance.random() < 0.5:
            one, other = earlier[0]["receiver"], earlier[0]["sender"]
        found.append({"id": f"s{i}", "time": at, "sender": one, "receiver": other})
    return [{"type": "sent", **event} for event in found]


def write(path: Path, some: list[dict[str, object]]) -> None:
    """A JSON array over many lines, times in seconds since 1970."""
    path.write_text(json.dumps(some, indent=1))


def truth(some: list[dict]) -> dict[str, int]:
    """The label of each request: whether there is an answer before a day has passed."""
    found = {}
    for i, asked in enumerate(some):
        later = (one for one in some[i + 1 :] if one["time"] < asked["time"] + DAY_S)
        pair = asked["receiver"], asked["sender"]
        found[asked["id"]] = int(any((e["sender"], e["receiver"]) == pair for e in later))
    return found


def columns(some: list[dict], i: int) -> dict[str, float | None]:
    """Columns of the request `some[i]`, by hand."""
    other, at = some[i]["receiver"], some[i]["time"]
    wrote = [one for one in some[:i] if one["sender"] == other]
    # Buckets are 24 minutes: the window is that of the request and 59 before it.
    since = (at // 1_440 - 59) * 1_440
    wrote_24h = [one for one in wrote if one["time"] >= since]
    got = sum(one["receiver"] == other and one["time"] >= since for one in some[:i])
    return {
        "receiver_got_24h": got, "receiver_wrote_24h": len(wrote_24h),
        "busy": len(wrote_24h) / got if got else None,
        "receiver_friends_24h": len({one["receiver"] for one in wrote if one["time"] > at - DAY_S}),
        "silent": (at - wrote[-1]["time"]) / 60 if wrote else None,
    }  # fmt: skip
