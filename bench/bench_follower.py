"""Duration of `Scorer.score` while its follower works in the same process, and through swaps.

`python -m bench.bench_follower HOME`, on a home of flights that a run has filled up to April, so
that two models are promoted and there are events left after the first. The log is the home's own,
read from its files as a scorer reads it beside a flow: it grows at the rate of each line, and every
five seconds there is a new checkpoint. A thread asks 20 requests and rests for 20 ms, so that it
asks a thousand a second; `alone` it asks one and rests for 1 ms, and so finds cold caches; and
`without a break` it, or four of them, ask 20 and rest for 1 ms. A request's time is from call to
return, and applied is what the follower got done meanwhile. A swap window reaches from the first
byte of a model's file to the first answer by it.
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
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.growing_log import GrowingLog
from flows.home.configuration import find_stream
from flows.home.home import Home, create_topics
from flows.scorer import Scorer
from operators.partition.journal import Activated, Journal, JournalWriter
from operators.training.model_registry import ModelRegistry
from state.checkpoints.store import CheckpointStore
from state.events import Event
from state.log import EVENTS, Log
from state.settings import settings_from
from state.stream import Stream

_BACKLOG = 60_000
_BURST = 20
_REST_S, _SHORT_REST_S = 0.02, 0.001
_GROW_S, _CHECKPOINT_S = 0.005, 5.0
_SWAPS = 50
_SWAP_EVERY_S = 0.1
_BEYOND = 10**14
_NEXT = 300
_HEAD = (
    f"{'µs':26s}{'p50':>8}{'p99':>10}{'p999':>10}{'of idle':>9}{'requests':>10}"
    f"{'offered/s':>11}{'applied/s':>11}"
)


class Line(msgspec.Struct, frozen=True):
    """One line of the table; µs, the ratio to the first line's p99, and events a second."""

    what: str
    p50: float
    p99: float
    p999: float
    ratio: float
    n: int
    offered: float = 0.0
    applied: float = 0.0


class World:
    """A scorer of flights after the first model's activation, and what comes to it.

    Args:
        source: A home with promoted models.
        root: An empty folder.

    Attributes:
        scorer: Follows by itself.
        log: Log to follow.
    """

    def __init__(self, source: Path, root: Path) -> None:
        of_run, home, stream = Home(source.absolute()), Home(root), find_stream("flights")
        base, own = of_run.log(), home.log()
        create_topics(own, 1)
        promoted = [one for one in ModelRegistry(base).records() if one.status == "promoted"]
        self._models = [one.model for one in promoted[:2]]
        if len(self._models) < 2:
            msg = f"home must have two promoted models; got {len(self._models)} in {source}"
            raise SystemExit(msg)
        (root / "artifacts").symlink_to(of_run.root / "artifacts")
        newest = next(of_run.checkpoints().newest_first(0))
        staged = CheckpointStore(root / "staged")
        self._staged = staged.save(msgspec.structs.replace(newest, offset=_BEYOND))
        self._saved = root / "checkpoints" / "0" / self._staged.name
        self._saved.parent.mkdir(parents=True)
        entries = Journal(base, 0).entries
        begun = next(one.offset for one in entries if isinstance(one, Activated) and one.model)
        self._asked = _requests(base, begun, stream)
        self._last = self._asked[-_NEXT][0]
        self.log = GrowingLog(base, own)
        self.log.grow(begun + 1)
        self.scorer = Scorer(settings_from({}), stream, self.log, home)

    @contextmanager
    def growing(self, rate: float) -> Iterator[None]:
        """Meanwhile so many events a second come, and checkpoints; then all of them are applied."""
        stop = threading.Event()

        def grow() -> None:
            first, begin, saved = self.log.passed, time.perf_counter(), 0
            while not stop.wait(_GROW_S):
                seconds = time.perf_counter() - begin
                new = _BACKLOG if rate == float("inf") else int(rate * seconds)
                self.log.grow(min(first + new, self._last))
                if seconds >= _CHECKPOINT_S * (saved + 0.5):
                    saved += 1
                    self._save()

        thread = threading.Thread(target=grow)
        if rate:
            thread.start()
        yield
        if rate:
            stop.set()
            thread.join()
        self.wait(lambda: self.scorer.as_of[0][1] > self.log.passed - _NEXT)

    def _save(self) -> None:
        """Give the follower a checkpoint to look at: not one of where this log is, but as large."""
        self._saved.unlink(missing_ok=True)
        place, dash, rest = self._saved.name.partition("-")
        self._saved = self._saved.with_name(f"{int(place) + 1:015d}{dash}{rest}")
        self._saved.hardlink_to(self._staged)

    def swap(self, turn: int) -> tuple[float, float]:
        """Load one of two models and answer by it; when that began and when it was done."""
        model, begin = self._models[turn % 2], time.perf_counter()
        self.scorer._models._forget(model)  # noqa: SLF001 - as if it were new
        JournalWriter(self.log, 0).write(Activated(self.log.passed, model, None), 0)
        self.wait(lambda: self.scorer.models[0] == model)
        return begin, time.perf_counter()

    def wait(self, until: Callable[[], bool]) -> None:
        """Wait until a condition is true."""
        while not until():
            time.sleep(0.005)

    def ask(
        self, stop: Callable[[], bool], burst: int = _BURST, rest_s: float = _SHORT_REST_S
    ) -> NDArray[np.float64]:
        """Ask so many requests, rest, and so on; when each began and what it took (s)."""
        score, clock = self.scorer.score, time.perf_counter
        taken: list[tuple[float, float]] = []
        while not stop():
            time.sleep(rest_s)
            # Those that come next in the log: older ones would be refused, and it moves.
            first = bisect(self._asked, self.log.passed, key=itemgetter(0))
            for turn in range(burst):
                _, request = self._asked[first + (len(taken) + turn) % _NEXT]
                begin = clock()
                score(request)
                taken.append((begin, clock() - begin))
        return np.array(taken)


def report(world: World, seconds: float) -> Iterator[Line]:
    """All lines."""
    first = 1.0
    for what, rate, burst, rest_s in (
        ("follower idle", 0.0, _BURST, _REST_S),
        ("5,000 events/s", 5_000.0, _BURST, _REST_S),
        ("a backlog", float("inf"), _BURST, _REST_S),
        ("idle, alone", 0.0, 1, _SHORT_REST_S),
        ("5,000, alone", 5_000.0, 1, _SHORT_REST_S),
        ("idle, without a break", 0.0, _BURST, _SHORT_REST_S),
        ("5,000, without a break", 5_000.0, _BURST, _SHORT_REST_S),
        ("follower idle again", 0.0, _BURST, _REST_S),
    ):
        with world.growing(rate):
            before, begin = world.scorer.as_of[0][1], time.perf_counter()
            end = begin + seconds
            taken = world.ask(lambda end=end: time.perf_counter() > end, burst, rest_s)  # type: ignore[misc]
            applied = (world.scorer.as_of[0][1] - before) / (time.perf_counter() - begin)
        line = _line(what, taken[:, 1], first, rate, applied)
        first = line.p99 if first == 1.0 else first
        yield msgspec.structs.replace(line, ratio=line.p99 / first)
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


def _line(
    what: str, taken: NDArray[np.float64], p99: float, offered: float = 0.0, applied: float = 0.0
) -> Line:
    p50, high, highest = np.quantile(taken * 1e6, [0.5, 0.99, 0.999]).tolist()
    return Line(what, p50, high, highest, high / p99, len(taken), offered, applied)


def _requests(log: Log, begin: int, stream: Stream) -> list[tuple[int, Event]]:
    """All from an offset on, each with its own."""
    decode, found, offset = stream.decoder().decode, [], begin
    while records := log.read(EVENTS, 0, offset):
        events = ((one.offset, decode(one.value)) for one in records)
        found += [(at, event) for at, event in events if type(event) is stream.request]
        offset += len(records)
    return found


def main(words: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each line but the swaps")
    parser.add_argument("--json", action="store_true")
    words_read = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as root:
        world = World(words_read.home, Path(root))
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        if not words_read.json:
            print(_HEAD)
        with world.scorer:
            for line in report(world, words_read.seconds):
                _print(line, words_read.json)


def _print(line: Line, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(line).decode())
        return
    print(
        f"{line.what:26s}{line.p50:8.1f}{line.p99:10.1f}{line.p999:10.1f}{line.ratio:8.1f}×"
        f"{line.n:10,}{line.offered:11,.0f}{line.applied:11,.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
