"""How many quotes events one process takes through a real Kafka broker on the same machine.

`just kafka` starts a broker; the topics that are made have a prefix of their own. `append` puts
the events into the topic `events`; `flow` is a run of the real flow: events read from Kafka, each
quote scored, each label learned, all output appended in one transaction per batch, checkpoints
written. `flow, SQLite` is the same on the embedded log. Broker and flow share the machine: what of
it each took is told.
"""

import argparse
import os
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import msgspec
from rich.console import Console

from bench.bench_throughput import SETTINGS, SIZES, Work, full_path, held, hour, run_flow
from flows.home.home import Home, create_topics, environment_home
from flows.home.kafka import kafka_log
from flows.ingest import append_history
from flows.runtime.app import App, tune_collector
from flows.streams.quotes import stream
from state.settings import Settings, settings_from

BASE = "flow, SQLite"


class Row(msgspec.Struct, frozen=True):
    """One line of the table.

    Attributes:
        what: Was done with the events.
        size_bytes: Size of every event.
        events: Number of events.
        requests: Number of scored requests.
        labels: Number of learned labels.
        seconds: Wall time.
        cpu: Cores that this process kept busy.
        broker_cpu: Cores that the broker kept busy.
        ratio: Speed against `flow, SQLite` of events of this size.
    """

    what: str
    size_bytes: int
    events: int
    requests: int
    labels: int
    seconds: float
    cpu: float
    broker_cpu: float
    ratio: float = 1.0

    @property
    def per_s(self) -> float:
        """Events per second."""
        return self.events / self.seconds

    @property
    def gb_per_h(self) -> float:
        """Thousands of millions of bytes of events per hour."""
        return self.per_s * self.size_bytes * 3600 / 1e9


def append(events: list[bytes], settings: Settings) -> Work:
    """Append all events."""

    def work() -> tuple[int, int]:
        log = kafka_log(settings.kafka)
        create_topics(log, stream.partitions)
        append_history(log, events, stream.peek())
        log.close()
        return 0, 0

    return work


def flow(settings: Settings, home: Home) -> Work:
    """The main flow over topics that hold the events."""

    def work() -> tuple[int, int]:
        run_flow(App(settings, home, Console(quiet=True), Event()).flow())
        log = kafka_log(settings.kafka)
        done = held(log, "predictions"), held(log, "outcomes")
        log.close()
        return done

    return work


def timed(what: str, events: list[bytes], work: Work, broker: int) -> Row:
    """Run it once."""
    wall, cpu, others = time.perf_counter(), time.process_time(), cpu_s(broker)
    requests, labels = work()
    seconds = time.perf_counter() - wall
    busy = (time.process_time() - cpu) / seconds
    broker_busy = (cpu_s(broker) - others) / seconds
    return Row(what, len(events[0]), len(events), requests, labels, seconds, busy, broker_busy)


def cpu_s(pid: int) -> float:
    """Seconds that a process has computed, by Linux's /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rows(n: int, size: int, root: Path, bootstrap: str, pid: int) -> Iterator[Row]:
    """Everything once, with n events of one size."""
    events = hour(n, size)
    kafka = {"bootstrap": bootstrap, "prefix": f"{uuid.uuid4().hex[:8]}."}
    settings = settings_from({**SETTINGS, "log": "kafka", "kafka": kafka})
    base = timed(BASE, events, full_path(events, Home(root / f"{size}-sqlite")), pid)
    yield base
    for what, work in (
        ("append", append(events, settings)),
        ("flow", flow(settings, Home(root / f"{size}-kafka"))),
    ):
        row = timed(what, events, work, pid)
        yield msgspec.structs.replace(row, ratio=row.per_s / base.per_s)


def text(report: Sequence[Row]) -> str:
    """The table for people."""
    heads = ("events/s", "GB/h", "of SQLite", "cpu", "broker cpu", "requests", "labels")
    lines = [f"{'':14}{'bytes':>6}" + "".join(f"{head:>11}" for head in heads)]
    lines += (
        f"{row.what:14}{row.size_bytes:>6}{row.per_s:>11,.0f}{row.gb_per_h:>11.1f}"
        f"{row.ratio:>11.3f}{row.cpu:>11.0%}{row.broker_cpu:>11.0%}"
        f"{row.requests:>11,}{row.labels:>11,}"
        for row in report
    )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python -m bench.bench_kafka --events 200000",
    )
    parser.add_argument("--events", type=int, default=100_000, help="in each row (100000)")
    parser.add_argument("--bootstrap", default="127.0.0.1:9092", help="of the broker")
    parser.add_argument("--pid", type=int, help="of the broker on this machine (`just kafka`'s)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args(arguments)
    if options.events < 1:
        parser.error(f"--events must be positive; got {options.events}")
    tune_collector()
    broker = (
        options.bootstrap,
        options.pid or int((environment_home().root / "kafka" / "pid").read_text()),
    )
    with TemporaryDirectory() as folder:
        root = Path(folder)
        list(rows(1_000, SIZES[0], root / "warm", *broker))  # kernels compiled, JVM warm
        report = [row for size in SIZES for row in rows(options.events, size, root, *broker)]
    print(msgspec.json.encode(report).decode() if options.json else text(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
