"""Throughput of quotes events in one process, through a Kafka broker on the same machine.

`just kafka` starts a broker; the topics that are made have a prefix of their own. `append` puts
the events into the topic `events`; `consume` reads and decodes them in a plain loop, the least that
any program on Kafka does; `flow` is a run of the real flow: events read from Kafka, each quote
scored, each label learned, all output appended in transactions, checkpoints written. `flow, SQLite`
is the same on the embedded log.

A flow starts until its partitions are open, works until all is appended, and ends when the summary
is printed. Rates are of the work alone. Rounds are interleaved; of each row the round with the
median of the work is shown. Broker and flow share the machine: the cores that each kept busy are in
the table.
"""

import argparse
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import NamedTuple

import msgspec
from confluent_kafka import TopicPartition
from rich.console import Console

from bench.bench_throughput import SETTINGS, SIZES, held, hour, run_flow
from flows.home.home import Home, create_topics, environment_home
from flows.home.kafka import kafka_log
from flows.ingest import append_history
from flows.runtime.app import App, tune_collector
from flows.streams.quotes import stream
from operators.partition.partition_runner import PartitionRunner
from state.kafka.cluster import Cluster
from state.log import EVENTS, Log
from state.settings import Settings, settings_from

BASE = "consume"
_READ, _WAIT_S = 10_000, 0.1


class Row(msgspec.Struct, frozen=True):
    """One line of the table.

    Attributes:
        what: Was done with the events.
        size_bytes: Of every event.
        events: How many.
        requests: How many of them were scored.
        labels: How many requests got their label and were learned.
        start_s: Wall time until the work began.
        work_s: Wall time of the work.
        end_s: Wall time after it.
        cpu: Cores that this process kept busy in all that time.
        broker_cpu: Cores that the broker kept busy in it.
        ratio: Speed against `consume` of events of this size.
    """

    what: str
    size_bytes: int
    events: int
    requests: int
    labels: int
    start_s: float
    work_s: float
    end_s: float
    cpu: float
    broker_cpu: float
    ratio: float = 1.0

    @property
    def per_s(self) -> float:
        """Events per second of work."""
        return self.events / self.work_s

    @property
    def cpu_us(self) -> float:
        """Microseconds that this process computed for each event, start and end included."""
        return 1e6 * self.cpu * (self.start_s + self.work_s + self.end_s) / self.events

    @property
    def gb_per_h(self) -> float:
        """Thousands of millions of bytes of events per hour of work."""
        return self.per_s * self.size_bytes * 3600 / 1e9


class Done(NamedTuple):
    """Work between two values of `time.perf_counter`.

    Attributes:
        began: Begin of the work.
        ended: End of the work.
        requests: Number of requests scored.
        labels: Number of labels learned.
    """

    began: float
    ended: float
    requests: int = 0
    labels: int = 0


Work = Callable[[], Done]


class TimedApp(App):
    """The main flow, which notes when its work begins and ends."""

    opened = ended = 0.0

    def _open(self, partition: int) -> PartitionRunner:
        runner = super()._open(partition)
        self.opened = time.perf_counter()
        return runner

    def _ended(self) -> None:
        self.ended = time.perf_counter()
        super()._ended()


def append(events: list[bytes], settings: Settings) -> Work:
    """Append all events."""

    def work() -> Done:
        log = kafka_log(settings.kafka)
        create_topics(log, stream.partitions)
        began = time.perf_counter()
        append_history(log, events, stream.peek())
        ended = time.perf_counter()
        log.close()
        return Done(began, ended)

    return work


def consume(count: int, settings: Settings) -> Work:
    """Read and decode so many events with nothing but Kafka's client and msgspec."""

    def work() -> Done:
        decode = stream.decoder().decode
        consumer = Cluster(settings.kafka.bootstrap, {}).consumer({})
        name = f"{settings.kafka.prefix}{EVENTS}"
        consumer.list_topics(name)
        began, left = time.perf_counter(), count
        consumer.assign([TopicPartition(name, p, 0) for p in range(stream.partitions)])
        while left:
            for message in consumer.consume(_READ, _WAIT_S):
                if message.error() is None:
                    decode(message.value() or b"")
                    left -= 1
        ended = time.perf_counter()
        consumer.close()
        return Done(began, ended)

    return work


def flow(settings: Settings, home: Home) -> Work:
    """The main flow over a log that holds the events."""

    def work() -> Done:
        app = TimedApp(settings, home, Console(quiet=True), Event())
        run_flow(app.flow())
        log = home.log() if settings.log == "sqlite" else kafka_log(settings.kafka)
        done = Done(app.opened, app.ended, held(log, "predictions"), held(log, "outcomes"))
        log.close()
        return done

    return work


def timed(what: str, events: list[bytes], work: Work, broker: int) -> Row:
    """Run it once."""
    wall, cpu, others = time.perf_counter(), time.process_time(), cpu_s(broker)
    began, ended, requests, labels = work()
    end = time.perf_counter()
    busy = (time.process_time() - cpu) / (end - wall)
    broker_busy = (cpu_s(broker) - others) / (end - wall)
    return Row(
        what,
        len(events[0]),
        len(events),
        requests,
        labels,
        began - wall,
        ended - began,
        end - ended,
        busy,
        broker_busy,
    )


def cpu_s(pid: int) -> float:
    """Seconds that a process has computed, by Linux's /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rows(n: int, size: int, root: Path, bootstrap: str, pid: int) -> Iterator[Row]:
    """Everything once, with n events of one size."""
    events = hour(n, size)
    kafka = {"bootstrap": bootstrap, "prefix": f"{uuid.uuid4().hex[:8]}."}
    settings = settings_from({**SETTINGS, "log": "kafka", "kafka": kafka})
    embedded, home = settings_from(SETTINGS), Home(root / f"{size}-sqlite")
    _fill(home.log(), events)
    for what, work in (
        ("append", append(events, settings)),
        (BASE, consume(n, settings)),
        ("flow, SQLite", flow(embedded, home)),
        ("flow", flow(settings, Home(root / f"{size}-kafka"))),
    ):
        yield timed(what, events, work, pid)


def _fill(log: Log, events: list[bytes]) -> None:
    create_topics(log, stream.partitions)
    append_history(log, events, stream.peek())
    log.close()


def medians(rounds: Sequence[Sequence[Row]]) -> Iterator[Row]:
    """Choose for each row the round with the median work, and compare it with `consume`."""
    shown = [
        sorted(same, key=lambda row: row.work_s)[len(same) // 2]
        for same in zip(*rounds, strict=True)
    ]
    (base,) = [row.per_s for row in shown if row.what == BASE]
    return (msgspec.structs.replace(row, ratio=row.per_s / base) for row in shown)


def text(report: Sequence[Row]) -> str:
    """The table for people."""
    heads = ("events/s", "GB/h", "of consume", "start s", "work s", "end s", "cpu µs", "cores")
    wide = (*heads, "broker's", "requests", "labels")
    lines = [f"{'':14}{'bytes':>6}" + "".join(f"{head:>11}" for head in wide)]
    lines += (
        f"{row.what:14}{row.size_bytes:>6}{row.per_s:>11,.0f}{row.gb_per_h:>11.1f}"
        f"{row.ratio:>11.3f}{row.start_s:>11.1f}{row.work_s:>11.1f}{row.end_s:>11.1f}"
        f"{row.cpu_us:>11.1f}{row.cpu:>11.2f}{row.broker_cpu:>11.2f}"
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
    parser.add_argument("--events", type=int, default=300_000, help="in each row (300000)")
    parser.add_argument("--rounds", type=int, default=1, help="of which the medians are shown (1)")
    parser.add_argument("--bootstrap", default="127.0.0.1:9092", help="of the broker")
    parser.add_argument("--pid", type=int, help="of the broker on this machine (`just kafka`'s)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args(arguments)
    if min(options.events, options.rounds) < 1:
        parser.error(
            f"--events and --rounds must be positive; got {options.events}, {options.rounds}"
        )
    tune_collector()
    broker = (
        options.bootstrap,
        options.pid or int((environment_home().root / "kafka" / "pid").read_text()),
    )
    with TemporaryDirectory() as folder:
        root = Path(folder)
        list(rows(1_000, SIZES[0], root / "warm", *broker))  # kernels compiled, JVM warm
        report: list[Row] = []
        for size in SIZES:
            rounds = [
                list(rows(options.events, size, root / str(number), *broker))
                for number in range(options.rounds)
            ]
            report += medians(rounds)
    print(msgspec.json.encode(report).decode() if options.json else text(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
