"""Run a whole system for an hour and tell whether anything of it grows.

`just soak` or `python -m tests.soak --minutes 60 --rate 2000 --keys 1000000`: a flow that follows
the embedded log and refits every few minutes, its H2O, a scorer in a process of its own that
follows, and `headwater serve`, all asked meanwhile; an operator trims the log at each refit.
Memory, descriptors, threads and disk are sampled from outside, and their slopes printed at the
end. Exit code 0: none grows and the flow kept up. SIGINT ends it with the table so far.

The first half is the warm-up, for what is bounded is not full before: visitors are forgotten after
10 minutes, dictionaries whose keys come and go take their last size after some 18, and a fit has
its whole window after four refits. From then on a quantity grows if the slope of its medians of
whole cycles, at the low end of the 95 % interval, makes more of it than `ALLOWED` says.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table

from flows.home.home import Home, create_topics
from state.events import SECOND_US
from state.log import EVENTS, Entry, partition_of
from state.outputs.records import Prediction
from state.topics import PREDICTIONS
from tests.flow_processes import Group
from tests.serving import Serving
from tests.soak.sampling import (
    ALLOWED,
    FLOW,
    FOR_EVER,
    H2O,
    H2O_HEAP,
    IN_BYTES,
    MIB,
    MOST,
    Quantity,
    Samples,
)
from tests.soak.slopes import Slope, slope_of
from tests.soak.visits import KEPT_US, SEEN_SHARE, Visits, encode, stream

SETTINGS = """
stream = "tests.soak.visits:stream"
follow = true
[training]
every = "{every:g}s"
wait = false
window = "{window:g}s"
validation = "1m"
min_rows = 500
[checkpoints]
every = "30s"
[metrics]
every = "1m"
[h2o]
memory = "{heap}m"
[serve]
port = 0
drain = "1s"
"""
_SAMPLE_S, _SAY_S = 10.0, 60.0
_FEED_S = 0.1
_BEHIND_S = 10
"""By so many seconds of events the flow may be behind, by the median of all samples."""


class SoakError(Exception):
    """Something that must go on has ended."""


class Soak:
    """The system, and what is seen of it.

    Args:
        root: An empty folder.
        rate: Events a second.
        keys: Number of visitors that the state holds.
        refit_s: Time between refits, and between trims.

    Attributes:
        samples: So far.
    """

    def __init__(self, root: Path, rate: int, keys: int, refit_s: float) -> None:
        self._root, self._refit_s = root, refit_s
        root.mkdir()
        (root / "headwater.toml").write_text(
            SETTINGS.format(every=refit_s, window=4 * refit_s, heap=H2O_HEAP // MIB)
        )
        self._home = Home(root)
        self._log = self._home.log()
        create_topics(self._log, stream.partitions)
        self._visits = Visits(time.time_ns() // 1_000, rate, keys)
        self._fed = 0
        self._trim: Group | None = None
        self._trimmed = time.monotonic()
        self.samples = Samples()
        self._flow = Group(root, words=("-m", "flows", "run"))
        self._serving: Serving | None = None
        self._asking: Group | None = None

    def run(self, stop: threading.Event, end: float) -> None:
        """Feed, sample and trim until a moment or a stop.

        Raises:
            SoakError: A process has ended.
        """
        begun = time.monotonic()
        self._feed_for(5.0, stop)
        self._serving = Serving(self._root)
        threading.Thread(target=self._drain, daemon=True).start()
        words = ("-m", "tests.soak.asking", str(self._serving.port))
        asked = map(str, self._visits)
        self._asking = Group(self._root, words=(*words, *asked))
        self._feed_for(10.0, stop)
        sampled = told = time.monotonic() - _SAY_S
        while not stop.wait(_FEED_S) and (now := time.monotonic()) < end:
            self._feed()
            self._trim_if_due(now)
            if now - sampled >= _SAMPLE_S:
                sampled += _SAMPLE_S
                self._check()
                behind = Quantity(FLOW, "events behind"), self.behind()
                self.samples.take(self._processes(), self._root, [behind])
            if now - told >= _SAY_S:
                told += _SAY_S
                self._say(now - begun)

    def behind(self) -> int:
        """How many events came after the newest requests that the flow has answered."""
        behind = 0
        for partition in range(stream.partitions):
            read, end = 0, self._log.end(PREDICTIONS, partition)
            if end:
                (newest,) = self._log.read(PREDICTIONS, partition, end - 1, max_records=1)
                read = msgspec.json.decode(newest.value, type=Prediction).offset
            behind += self._log.end(EVENTS, partition) - read
        return behind

    def end(self) -> None:
        """End all processes, the flow last."""
        if self._asking is not None:
            _end(self._asking)
        if self._serving is not None:
            self._serving.end()
            self._serving.process.wait(60)
        if self._trim is not None:
            self._trim.wait(60)
        _end(self._flow)
        self._log.close()

    def _feed_for(self, seconds: float, stop: threading.Event) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not stop.wait(_FEED_S):
            self._feed()

    def _feed(self) -> None:
        """Append what has happened by now."""
        now = time.time_ns() // 1_000
        due = self._visits.number(now)
        entries: list[list[Entry]] = [[] for _ in range(stream.partitions)]
        for number in range(self._fed, due):
            event = self._visits.event(number)
            key = stream.key_of()(event).encode()
            entries[partition_of(key, stream.partitions)].append(Entry(now, key, encode(event)))
        for partition, own in enumerate(entries):
            if own:
                self._log.append(EVENTS, partition, own)
        self._fed = max(self._fed, due)

    def _trim_if_due(self, now: float) -> None:
        if self._trim is not None and self._trim.ended():
            if any(self._trim.wait(1)):
                msg = f"trim must end with 0:\n{self._trim.output()[-2000:]}"
                raise SoakError(msg)
            self._trim = None
        if self._trim is None and now - self._trimmed >= self._refit_s:
            self._trimmed = now
            before = datetime.fromtimestamp(time.time() - self._refit_s, UTC).isoformat()
            words = ("-m", "flows", "trim", "--before", before, "--all")
            self._trim = Group(self._root, words=words)

    def _drain(self) -> None:
        """Read what the service says, lest its pipe fill."""
        assert self._serving is not None
        assert self._serving.process.stderr is not None
        for line in self._serving.process.stderr:
            print(f"serve: {line}", end="", flush=True)

    def _check(self) -> None:
        for name, group in ((FLOW, self._flow), ("scorer", self._asking)):
            assert group is not None
            if group.ended():
                msg = f"{name} must go on:\n{group.output()[-3000:]}"
                raise SoakError(msg)
        assert self._serving is not None
        if self._serving.process.poll() is not None:
            msg = f"serve must go on; it ended with {self._serving.process.returncode}"
            raise SoakError(msg)

    def _processes(self) -> dict[str, int]:
        assert self._asking is not None
        assert self._serving is not None
        return {
            FLOW: self._flow.processes[0].pid,
            "scorer": self._asking.processes[0].pid,
            "serve": self._serving.process.pid,
            "this feeder": os.getpid(),
        }

    def _say(self, seconds: float) -> None:
        newest = self.samples.newest
        memory = "  ".join(
            f"{name} {newest(name, 'memory') / MIB:,.0f}" for name in (FLOW, H2O, "scorer", "serve")
        )
        disk = "  ".join(
            f"{part} {newest(part, 'disk') / MIB:,.0f}" for part in ("log", "checkpoints", FOR_EVER)
        )
        print(
            f"{seconds / 60:5.1f} min  {self._fed:>10,} events, {self.behind():>7,} behind  "
            f"{self._log.end('models', 0)} decisions  MiB: {memory}  {disk}",
            flush=True,
        )


def _end(group: Group) -> None:
    if not group.ended():
        group.signal(signal.SIGTERM)
    group.wait(120)


def _table(samples: Samples, warm_up_s: float, cycle_s: float) -> tuple[Table, bool]:
    """The slopes, and whether any quantity grows."""
    table = Table(box=None)
    for heading in ("of", "what", "level", "per hour", "95 % interval", "verdict"):
        table.add_column(heading, justify="left" if heading in {"of", "what"} else "right")
    grows = False
    first = min((times[0] for times, _ in samples.series.values()), default=0.0)
    for quantity, (times, values) in sorted(samples.series.items()):
        kept = [i for i, at in enumerate(times) if at - first >= warm_up_s]
        if len(kept) < 3:
            table.add_row(*quantity, "", "", "", "too short")
            continue
        hours = [(times[i] - first) / 3600 for i in kept]
        late = [values[i] for i in kept]
        slope = slope_of(hours, late, ALLOWED[quantity.what], cycle_s / 3600)
        verdict = _verdict(quantity, slope, max(values))
        grows = grows or verdict == "grows"
        table.add_row(*quantity, *_told(slope, quantity.what), verdict)
    return table, grows


def _verdict(quantity: Quantity, slope: Slope, highest: float) -> str:
    if quantity in MOST:
        return "within its maximum" if highest <= MOST[quantity] else "grows"
    if not slope.grows:
        return "level"
    return "by design" if quantity.of == FOR_EVER else "grows"


def _told(slope: Slope, what: str) -> tuple[str, ...]:
    unit = MIB if what in IN_BYTES else 1
    level, per_hour, low, high = (value / unit for value in slope[:4])
    unit_name = " MiB" if unit == MIB else ""
    return (
        f"{level:,.1f}{unit_name}",
        f"{per_hour:+,.1f}",
        f"{low:+,.1f} to {high:+,.1f}",
    )


def main() -> int:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=2_000, help="events a second")
    parser.add_argument("--keys", type=int, default=1_000_000, help="that the state holds")
    parser.add_argument("--refit", type=float, default=300.0, metavar="S", help="between refits")
    parser.add_argument(
        "--warm-up", type=float, metavar="MINUTES", help="not counted (half of the run)"
    )
    arguments = parser.parse_args()
    most = int(SEEN_SHARE * arguments.rate * KEPT_US / SECOND_US)
    if not 1 <= arguments.keys <= most:
        parser.error(f"--keys must be 1 to {most}, what this rate brings; got {arguments.keys}")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    folder = Path(tempfile.mkdtemp(prefix="headwater-soak-"))
    print(f"home in {folder}, removed at the end", flush=True)
    soak = Soak(folder / "home", arguments.rate, arguments.keys, arguments.refit)
    warm_up = 30 * arguments.minutes if arguments.warm_up is None else 60 * arguments.warm_up
    problem, grows = "", False
    try:
        soak.run(stop, time.monotonic() + 60 * arguments.minutes)
        behind = median(soak.samples.series[Quantity(FLOW, "events behind")][1])
        if behind > _BEHIND_S * arguments.rate:
            problem = f"the flow must keep up; it was {behind:,.0f} events behind"
    except SoakError as error:
        problem = str(error)
    finally:  # also after a failure of the soak's own: an hour's figures are not made again
        table, grows = _table(soak.samples, warm_up, arguments.refit)
        Console(width=120).print(table)
        soak.end()
        shutil.rmtree(folder)
    print(problem or ("something grows" if grows else "none grows"))
    return int(grows or bool(problem))


if __name__ == "__main__":
    sys.exit(main())
