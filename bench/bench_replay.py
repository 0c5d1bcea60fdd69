"""Speed of replay: the cost of a day inside a year, and of an event against the live flow.

`a day` is one in the middle of a year of quotes, in eight partitions with a boundary a week: how
long until an audit of it has compared its first records, and the whole command. `live` is the main
flow over an hour of quotes; `audit` and `what-if` replay that hour, in one process and in two. All
of these are done in rounds, and a line has the medians: cores are not equally fast all the time.
"""

import argparse
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from os import environ
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from bytewax.run import cli_main
from rich.console import Console

from flows.home.home import Home, create_topics
from flows.ingest import append_history
from flows.replay import audit, what_if
from flows.replay.audit import job_of
from flows.replay.replay_range import span_of
from flows.replay.worker_pool import Progress
from flows.runtime.app import App, tune_collector
from flows.streams.quotes import stream
from flows.streams.quotes_market import START_US, Market
from state.settings import Settings, settings_from

SEED = 5
TRAINING = {"trainer": "external", "wait": False}
SETTINGS = settings_from({"stream": "quotes", "training": TRAINING})
START = datetime.fromtimestamp(START_US / 1e6, UTC)
ONE_DAY = timedelta(days=1)

run_flow: Callable[..., None] = cli_main  # bytewax gives it no types


class Row(msgspec.Struct, frozen=True):
    """One line of the table.

    Attributes:
        what: Was done.
        events: Number of events read.
        seconds: Wall time.
        ratio: Speed against the line that it is held against; 0: none.
    """

    what: str
    events: int
    seconds: float
    ratio: float = 0.0


def made(root: Path, events: Iterable[bytes]) -> tuple[Home, int]:
    """A home whose log holds events, and how many."""
    home = Home(root)
    log = home.log()
    create_topics(log, stream.partitions)
    held = append_history(log, events, stream.peek())
    log.close()
    return home, held


def live(home: Home) -> float:
    """Seconds of the main flow over a home."""
    start = time.perf_counter()
    run_flow(App(SETTINGS, home, Console(quiet=True), threading.Event()).flow())
    return time.perf_counter() - start


def timed(work: Callable[..., Any], *arguments: Any) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def first_step(home: Home, settings: Settings, day: datetime) -> float:
    """Seconds until the audit of one day has compared its first records."""
    start = time.perf_counter()
    log = home.log()
    job = job_of(home, log, settings, span_of(log, day, day + ONE_DAY))
    log.close()

    class Seen(Exception):  # noqa: N818 - how a job is stopped
        pass

    def report(_: Progress) -> None:
        raise Seen

    with suppress(Seen):
        job(range(stream.partitions), report, lambda: None)
    return time.perf_counter() - start


def command(home: Home, folder: Path, day: datetime) -> float:
    """Seconds of `headwater replay` over one day, its Python included."""
    config = folder / "headwater.toml"
    config.write_text('stream = "quotes"\n[training]\ntrainer = "external"\nwait = false\n')
    words = ["replay", "--from", day.isoformat(), "--to", (day + ONE_DAY).isoformat()]
    environment = {"HEADWATER_HOME": str(home.root), "HEADWATER_CONFIG": str(config)}
    return timed(
        lambda: subprocess.run(
            [sys.executable, "-m", "flows", *words],
            env={**environ, **environment},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    )


def rows(events: int, rounds: int, history: int, days: int, root: Path) -> Iterable[Row]:
    """All lines."""
    market = Market(seed=SEED, rate_per_s=history / (days * 86_400))
    home, held = made(root / "history", market.events(days * 24.0))
    live(home)
    day = START + days // 2 * ONE_DAY
    yield Row("a day: first records", held, first_step(home, SETTINGS, day))
    yield Row("a day: whole command", held, command(home, root, day))

    hour = Market(seed=SEED, rate_per_s=1.1 * events / 3600).events(2.0)
    home, held = made(root / "hour", islice(hour, events))
    seconds = [one_round(home, root / f"round {i}") for i in range(rounds)]
    for name, base in _BASES.items():
        ratios = [of[base] / of[name] for of in seconds] if base else [0.0]
        yield Row(name, held, median(of[name] for of in seconds), median(ratios))


_BASES = {
    "live": "",
    "audit, of live": "live",
    "audit, 2 workers, of 1": "audit, of live",
    "what-if, of live": "live",
    "what-if, 2 workers, of 1": "what-if, of live",
}
"""The commands timed in a round, and their reference."""


def one_round(events: Home, root: Path) -> dict[str, float]:
    """Seconds of each of `_BASES`, in a copy of a home in which no flow has run."""
    shutil.copytree(events.root, root)
    asked: dict[str, Any] = {"home": root, "settings": SETTINGS}
    seconds = {"live": live(Home(root))}
    works: dict[str, Callable[[], Any]] = {
        "audit, of live": lambda: audit(workers=1, **asked),
        "audit, 2 workers, of 1": lambda: audit(workers=2, **asked),
        "what-if, of live": lambda: what_if({"decision.threshold": 0.2}, workers=1, **asked),
        "what-if, 2 workers, of 1": lambda: what_if(
            {"decision.threshold": 0.3}, workers=2, **asked
        ),
    }
    seconds |= {name: timed(work) for name, work in works.items()}
    shutil.rmtree(root)
    return seconds


def text(report: Sequence[Row]) -> str:
    """The table for people."""
    lines = [f"{'':30}{'events':>11}{'seconds':>10}{'µs/event':>10}{'ratio':>8}"]
    lines += (
        f"{row.what:30}{row.events:>11,}{row.seconds:>10.2f}{_per_event(row):>10}"
        f"{f'{row.ratio:.2f}' if row.ratio else '-':>8}"
        for row in report
    )
    return "\n".join(lines)


def _per_event(row: Row) -> str:
    return "-" if row.what.startswith("a day") else f"{1e6 * row.seconds / row.events:.1f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python bench/bench_replay.py --events 200000",
    )
    parser.add_argument("--events", type=int, default=1_000_000, help="of the hour (1000000)")
    parser.add_argument("--rounds", type=int, default=3, help="over it (3)")
    parser.add_argument("--history", type=int, default=200_000, help="events of it (200000)")
    parser.add_argument("--days", type=int, default=365, help="of it (365)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args(arguments)
    for name, least in (("events", 1_000), ("rounds", 1), ("history", 1_000), ("days", 15)):
        if getattr(options, name) < least:
            parser.error(f"--{name} must be at least {least}; got {getattr(options, name)}")
    tune_collector()
    with TemporaryDirectory() as root:
        report = list(
            rows(options.events, options.rounds, options.history, options.days, Path(root))
        )
    print(msgspec.json.encode(report).decode() if options.json else text(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
