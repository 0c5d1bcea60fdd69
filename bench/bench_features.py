"""Memory and speed of a hundred thousand keys in windows from minutes to a week.

Each event counts in 5 minutes, an hour, a day and a week of its key; every tenth is followed by a
request that reads them all. Keys are drawn by their rank (`even`: all alike; `zipf`: few with most
of the events), over more than a week of event time.
"""

import argparse
import resource
import sys
import time

import msgspec
import numpy as np

from state.durations import Duration
from state.events import DAY_US, Event
from state.features import Count, Mean, Rolling
from state.stream import Label, Stream
from state.vector.feature_state import FeatureState
from state.vector.memory import key_memory

START_US = 1_700_000_000_000_000
SPAN_US = 8 * DAY_US


class Seen(Event, frozen=True, kw_only=True):
    """Something happens to a key."""

    key: int
    size: float


class Asked(Event, frozen=True, kw_only=True):
    """A request."""

    key: int


STREAM = Stream(
    name="keys",
    events=(Seen, Asked),
    request=Asked,
    label=Label(
        on=Seen,
        of="source",
        value=lambda _: True,
        deadline=lambda asked: asked.time,
        silence=False,
        delay="1h",
    ),
    features=(Rolling(Seen, ("key",), ("5m", "1h", "24h", "7d"), (Count(), Mean("size", "size"))),),
    dedup="8d",
)


class Row(msgspec.Struct, frozen=True):
    """One line of the table.

    Attributes:
        what: The way in which keys are drawn.
        events: Number of events observed.
        per_s: Events a second of processor time, reading included.
        keys: Number of keys in the state at the end.
        state_mb: Size of the pool of blocks.
        peak_mb: Largest resident memory of the process.
    """

    what: str
    events: int
    per_s: float
    keys: int
    state_mb: float
    peak_mb: float


def drawn(what: str, keys: int, events: int) -> np.ndarray:
    """The key of each event."""
    chance = np.random.default_rng(1)
    if what == "even":
        return chance.integers(keys, size=events)
    weights = 1.0 / np.arange(1, keys + 1)
    return chance.choice(keys, size=events, p=weights / weights.sum())


def measured(what: str, keys: int, events: int) -> Row:
    """Observe all events, forgetting in turn as a shard does."""
    of_event = drawn(what, keys, events).tolist()
    state, row = FeatureState(STREAM), np.zeros(len(STREAM.columns))
    state.reader([])
    step, turn = SPAN_US // events, START_US
    seconds = 0.0
    for first in range(0, events, 10_000):
        batch = [
            Seen(id="e", time=START_US + i * step, key=of_event[i], size=i % 7)
            for i in range(first, min(first + 10_000, events))
        ]
        requests = [Asked(id="r", time=one.time, key=one.key) for one in batch[::10]]
        started = time.process_time()
        for i, seen in enumerate(batch):
            state.observe(seen)
            if i % 10 == 0:
                state.read(requests[i // 10], row)
        now = batch[-1].time
        state.forget_in_turn(turn, now, now - Duration.parse("7d"))
        turn = now
        seconds += time.process_time() - started
    held = len(state._arena.tables[-1].blocks)  # noqa: SLF001
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    cells = state._arena._end  # noqa: SLF001
    return Row(what, events, events / seconds, held, cells * 8 / 1e6, peak)


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--only", choices=("even", "zipf"))
    given = parser.parse_args(arguments)
    print("  ".join(f"a key: {one}" for one in key_memory(STREAM)))
    print(
        f"{'keys':<6}{'events':>12}{'events/s':>12}{'keys held':>12}{'state MB':>10}{'peak MB':>10}"
    )
    for what in (given.only,) if given.only else ("even", "zipf"):
        row = measured(what, given.keys, given.events)
        print(
            f"{row.what:<6}{row.events:>12,}{row.per_s:>12,.0f}{row.keys:>12,}"
            f"{row.state_mb:>10,.0f}{row.peak_mb:>10,.0f}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
