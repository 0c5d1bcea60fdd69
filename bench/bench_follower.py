"""What `Scorer.score` takes while its follower works in the same process, and through swaps.

`python -m bench.bench_follower HOME`, on a home of flights whose run has promoted two models. The
scorer's own thread follows; events come from memory, at the rate of each line, so that nothing else
of this process is measured. A thread asks 20 requests and rests for a millisecond, or four of them
do; `alone` asks one and rests, and so finds cold caches. A request's time is from call to return. A
swap window reaches from the first byte of a model's file to the first answer by it.
"""

import argparse
import gc
import sys
import tempfile
import threading
import time
from bisect import bisect
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from operator import itemgetter
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.configuration import find_stream
from flows.home import Home, create_topics
from flows.scorer import Scorer
from flows.streams.flights_history import events
from operators.decisions import PublishedModels
from operators.messages import Activation, Message, Records
from state.events import Event
from state.log import Record
from state.settings import settings_from

_WARM_EVENTS = 12_000
_BATCH = 500
_BURST, _REST_S = 20, 0.001
_SWAPS = 50
_SWAP_EVERY_S = 0.1


class Line(msgspec.Struct, frozen=True):
    """One line of the table; µs, the ratio to the first line's p99, and the follower's pace."""

    what: str
    p50: float
    p99: float
    p999: float
    ratio: float
    n: int
    events_per_s: float = 0.0


class Feed:
    """Stands for the reading of a log: gives records at a rate, from memory.

    Args:
        records: In offset order.

    Attributes:
        offset: The next record.
        rate: Records a second; 0 for none, infinite for as many as are taken.
        end: As `operators.following.Follower` has it.
        level_at: Likewise.
    """

    def __init__(self, records: list[Record]) -> None:
        self._records = records
        self._given: list[Message] = []
        self.offset = 0
        self.pace(0.0)

    def pace(self, rate: float) -> None:
        """From now on, at this rate."""
        self.rate, self._since, self._first = rate, time.perf_counter(), self.offset

    def give(self, message: Message) -> None:
        """The next message, before any other record."""
        self._given.append(message)

    @property
    def end(self) -> int:
        """All has come that was given."""
        return self.offset

    @property
    def level_at(self) -> float:
        """It is never behind."""
        return time.monotonic()

    def has_served(self, model: str | None, before: int) -> bool:  # noqa: ARG002 - as followers do
        """No shadow."""
        return True

    def poll(self) -> Message | None:
        """What is due, if any."""
        if self._given:
            return self._given.pop(0)
        due = _BATCH
        if self.rate != float("inf"):
            passed = self.rate * (time.perf_counter() - self._since)
            due = min(int(passed) + self._first - self.offset, _BATCH)
        records = self._records[self.offset : self.offset + due]
        if due <= 0 or not records:
            return None
        self.offset += len(records)
        return Records(records)


class World:
    """A scorer of flights in the middle of January, and what comes to it.

    Args:
        source: A home with promoted models.
        root: An empty folder.
    """

    def __init__(self, source: Path, root: Path) -> None:
        stream, home = find_stream("flights"), Home(root)
        log = home.log()
        create_topics(log, 1)
        self.models = _published(Home(source), home, PublishedModels(log))
        peek, decode = stream.peek(), stream.decoder().decode
        records, newest = [], 0
        for offset, value in enumerate(islice(events(), 60_000)):
            newest = max(newest, peek(value)[0] or 0)
            records.append(Record(offset, newest, b"", value))
        asked = [(one.offset, decode(one.value)) for one in records]
        self._asked: list[tuple[int, Event]] = [
            (offset, event) for offset, event in asked if type(event) is stream.request
        ]
        self.feed = Feed(records)
        self.scorer = Scorer(settings_from({}), stream, log, home, follow=False)
        self._replica = self.scorer._replicas[0]  # noqa: SLF001 - its follower is replaced
        self._replica._follower = self.feed  # type: ignore[assignment]  # noqa: SLF001
        self.scorer._thread.start()  # noqa: SLF001 - and set going
        self.feed.give(Records(records[:_WARM_EVENTS]))
        self.feed.offset = _WARM_EVENTS
        self.swap(0)
        self.wait(lambda: self.scorer.as_of[0][1] >= _WARM_EVENTS)

    def swap(self, turn: int) -> tuple[float, float]:
        """Load one of two models and answer by it; when that began and when it was done."""
        model, begin = self.models[turn % 2], time.perf_counter()
        self.scorer._models._forget(model)  # noqa: SLF001 - as if it were new
        self.feed.give(Activation(turn, model, None))
        self.wait(lambda: self.scorer.models[0] == model)
        return begin, time.perf_counter()

    def wait(self, until: Callable[[], bool]) -> None:
        """Until something is true."""
        while not until():
            time.sleep(0.005)

    def ask(self, stop: Callable[[], bool], burst: int = _BURST) -> NDArray[np.float64]:
        """Ask so many requests, rest, and so on; when each began and what it took (s)."""
        score, clock = self.scorer.score, time.perf_counter
        taken: list[tuple[float, float]] = []
        while not stop():
            time.sleep(_REST_S)
            # Those that come next in the log: older ones would be refused, and it moves.
            first = bisect(self._asked, self.feed.offset, key=itemgetter(0))
            for turn in range(burst):
                _, request = self._asked[first + (len(taken) + turn) % 300]
                begin = clock()
                score(request)
                taken.append((begin, clock() - begin))
        return np.array(taken)


def report(world: World, seconds: float) -> Iterator[Line]:
    """All lines."""
    first = 1.0
    for what, rate, burst in (
        ("follower idle", 0.0, _BURST),
        ("5,000 events/s", 5_000.0, _BURST),
        ("full speed", float("inf"), _BURST),
        ("follower idle, alone", 0.0, 1),
        ("5,000 events/s, alone", 5_000.0, 1),
        ("follower idle again", 0.0, _BURST),
    ):
        before = world.scorer.as_of[0][1]
        world.feed.pace(rate)
        end = time.perf_counter() + (min(seconds, 2.0) if rate else seconds)
        begin = time.perf_counter()
        taken = world.ask(lambda end=end: time.perf_counter() > end, burst)  # type: ignore[misc]
        pace = (world.scorer.as_of[0][1] - before) / (time.perf_counter() - begin)
        line = _line(what, taken[:, 1], first, pace)
        first = line.p99 if first == 1.0 else first
        yield msgspec.structs.replace(line, ratio=line.p99 / first)
    world.feed.pace(0.0)
    yield from _swaps(world)


def _swaps(world: World) -> Iterator[Line]:
    stop = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(world.ask, stop.is_set) for _ in range(4)]
        windows = []
        for turn in range(1, _SWAPS + 1):
            time.sleep(_SWAP_EVERY_S)
            windows.append(world.swap(turn))
        stop.set()
        taken = np.concatenate([one.result() for one in asking])
    begins, ends = np.array(windows).T
    at = np.searchsorted(begins, taken.sum(axis=1)) - 1
    inside = (at >= 0) & (taken[:, 0] <= ends[at])
    outside = _line("4 threads, no swap", taken[~inside, 1], 1.0)
    yield msgspec.structs.replace(outside, ratio=1.0)
    yield _line(f"4 threads, in {_SWAPS} swaps", taken[inside, 1], outside.p99)


def _line(what: str, taken: NDArray[np.float64], p99: float, pace: float = 0.0) -> Line:
    p50, high, highest = np.quantile(taken * 1e6, [0.5, 0.99, 0.999]).tolist()
    return Line(what, p50, high, highest, high / p99, len(taken), pace)


def _published(source: Home, home: Home, models: PublishedModels) -> list[str]:
    log = source.log()
    promoted = [one for one in PublishedModels(log).records() if one.status == "promoted"][:2]
    log.close()
    for number, one in enumerate(promoted, 1):
        for sha256 in filter(None, (one.sha256, one.rows_sha256)):
            home.artifacts().put(source.artifacts().get(sha256))
        models.publish(msgspec.structs.replace(one, boundary=number))
    if len(promoted) < 2:
        msg = f"home must have two promoted models; got {len(promoted)} in {source.root}"
        raise SystemExit(msg)
    return [one.model for one in promoted]


def main(words: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the idle lines")
    parser.add_argument("--json", action="store_true")
    words_read = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as root:
        world = World(words_read.home, Path(root))
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        with world.scorer:
            for line in report(world, words_read.seconds):
                _print(line, words_read.json)


def _print(line: Line, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(line).decode())
        return
    figures = f"{line.p50:8.1f} {line.p99:9.1f} {line.p999:9.1f} {line.ratio:6.1f}× {line.n:7d}"
    print(f"{line.what:24s} {figures} {line.events_per_s:8.0f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
