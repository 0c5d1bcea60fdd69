"""How the cost of an event grows: with history, with keys, with windows.

One shard takes events of its own stream: three in five are seen, one in five asks, one in five is
the label of a request of before. Each row is the last part of a run, after a first part that fills
the windows, and the least processor time of several rounds, in which all rows take turns.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count, islice

import msgspec
import numpy as np
import psutil

from flows.runtime.app import tune_collector
from operators.shard.messages import Records
from operators.shard.shard import Shard
from state.events import SECOND_US, Event
from state.features import Count, Mean, Rolling
from state.log import Record
from state.settings import settings_from
from state.stream import Label, Stream

START_US = 1_700_000_000_000_000
PER_S = 100
WINDOWS = ("1m", "2m", "5m", "10m", "15m", "20m", "30m", "1h")
KEYS = 1_000
OPEN_WINDOWS = 2
BATCH = 1_000
SETTINGS = settings_from({"training": {"every": "3650d"}, "metrics": {"every": "5m"}})
encode = msgspec.json.Encoder().encode


class Seen(Event, frozen=True, kw_only=True):
    """Something happens to a key."""

    key: int
    size: float


class Asked(Event, frozen=True, kw_only=True):
    """A request about a key."""

    key: int


class Told(Event, frozen=True, kw_only=True):
    """The label of a request."""

    of: str
    good: bool


class Row(msgspec.Struct, frozen=True):
    """One line of the table.

    Attributes:
        what: Grows from row to row.
        value: Its size.
        us: Processor time of an event, µs.
        ratio: Of that of the first row of its kind.
        state_mb: Size of the shard's checkpoint.
    """

    what: str
    value: int
    us: float
    ratio: float
    state_mb: float


def stream_of(windows: int) -> Stream:
    """The stream, with so many open windows for each key."""
    return Stream(
        name="growth",
        events=(Seen, Asked, Told),
        request=Asked,
        label=Label(
            on=Told,
            of="of",
            value=lambda told: told.good,
            deadline=lambda asked: asked.time + 60 * SECOND_US,
            silence=False,
            delay="2m",
        ),
        features=(Rolling(Seen, ("key",), WINDOWS[-windows:], (Count(), Mean("size", "size"))),),
        partitions=1,
    )


def records(keys: int) -> Iterator[Record]:
    """Records without end, from the first offset on."""
    chance = np.random.default_rng(7)
    for first in count(0, 5 * BATCH):
        key = chance.integers(keys, size=5 * BATCH).tolist()
        size = chance.normal(size=5 * BATCH).tolist()
        for i in range(5 * BATCH):
            offset = first + i
            time_us = START_US + offset * SECOND_US // PER_S
            event: dict[str, object] = {"id": f"e{offset}", "time": time_us}
            match offset % 5:
                case 3:
                    event |= {"type": "asked", "key": key[i]}
                case 4:
                    request = max(offset - 101, offset % 100 - 1)
                    event |= {"type": "told", "of": f"e{request}", "good": size[i] > 0}
                case _:
                    event |= {"type": "seen", "key": key[i], "size": size[i]}
            yield Record(offset, time_us, b"", encode(event))


class Run:
    """One shard and its records.

    Args:
        keys: Number of keys.
        windows: Number of open windows.
    """

    def __init__(self, keys: int, windows: int) -> None:
        self._shard = Shard(stream_of(windows), SETTINGS, 0)
        self._records = records(keys)

    def go_on(self, events: int) -> float:
        """Take so many events; return the processor time of one, µs."""
        seconds = 0.0
        for _ in range(events // BATCH):
            batch = Records(list(islice(self._records, BATCH)))
            started = time.process_time()
            self._shard.apply(batch)
            seconds += time.process_time() - started
        return seconds / events * 1e6

    def state_mb(self) -> float:
        """Size of a checkpoint."""
        return len(self._shard.snapshot()) / 1e6


def history(lengths: Sequence[int], last: int) -> Iterator[tuple[int, float, float]]:
    """One run: its length so far, and the time of an event in its last part."""
    run, done = Run(KEYS, OPEN_WINDOWS), 0
    for length in lengths:
        run.go_on(length - last - done)
        us, done = run.go_on(last), length
        yield length, us, run.state_mb()


def rows(events: int, rounds: int) -> Iterator[Row]:
    """The table."""
    last = max(events // 4, BATCH)
    lengths = [events, 4 * events, 16 * events]
    found: dict[tuple[str, int], tuple[float, float]] = {}
    Run(KEYS, OPEN_WINDOWS).go_on(5 * BATCH)  # kernels compiled
    for _ in range(rounds):
        measured = [("events before", *one) for one in history(lengths, last)]
        for what, values in (("keys", (1_000, 10_000, 100_000)), ("windows", (1, 2, 4, 8))):
            for value in values:
                run = Run(value, OPEN_WINDOWS) if what == "keys" else Run(KEYS, value)
                run.go_on(events - last)
                measured.append((what, value, run.go_on(last), run.state_mb()))
        for what, value, us, state_mb in measured:
            least, _ = found.get((what, value), (us, 0.0))
            found[what, value] = min(us, least), state_mb
    for (what, value), (us, state_mb) in found.items():
        first = next(one for (kind, _), (one, _) in found.items() if kind == what)
        yield Row(what, value, us, us / first, state_mb)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=400_000, help="of a run (400000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of all rows (3)")
    given = parser.parse_args(arguments)
    if given.events < 4 * BATCH or given.rounds < 1:
        parser.error(f"--events must be at least {4 * BATCH}, --rounds at least 1")
    tune_collector()
    print(f"{'':<14}{'':>12}{'µs/event':>10}{'ratio':>8}{'state MB':>10}")
    for row in rows(given.events, given.rounds):
        print(
            f"{row.what:<14}{row.value:>12,}{row.us:>10.2f}{row.ratio:>8.2f}{row.state_mb:>10.1f}"
        )
    print(f"resident at the end: {psutil.Process().memory_info().rss / 1e6:,.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
