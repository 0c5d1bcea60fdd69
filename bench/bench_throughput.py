"""Throughput of quotes events in one process, by part and through the whole path.

Events are made before the clock starts. `shard` is the shards in a loop, from records to encoded
output; `full path` is a run of the real flow: events read from the SQLite log, output appended
with its sequence numbers, checkpoints written. With learning, every quote is scored and every
label learned. `predict only` is a burst of quotes and trades shorter than any deadline: all quotes
are scored and none is labelled. `decode` is msgspec alone; `River` decodes, predicts and learns
with `StandardScaler | LogisticRegression` on dicts of the quote's own numbers, nothing else.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import msgspec
from bytewax.run import cli_main
from rich.console import Console
from river.linear_model import LogisticRegression
from river.preprocessing import StandardScaler

from flows.home.home import Home, create_topics
from flows.ingest import append_history
from flows.runtime.app import App, tune_collector
from flows.streams.quotes import SIGNALS, Filled, Quote, stream
from flows.streams.quotes_market import SHORTEST_LIFE_US, Market
from operators.shard.messages import Records
from operators.shard.shard import Shard
from state.events import HOUR_US, MINUTE_US
from state.log import Log, Record, partition_of
from state.settings import settings_from

SIZES = (300, 1_000)
SEED = 5
SETTINGS = {
    "stream": "quotes",
    "training": {"trainer": "external", "wait": False, "every": "3650d"},
}

run_flow: Callable[..., None] = cli_main  # bytewax gives it no types


class Row(msgspec.Struct, frozen=True):
    """One line of the table.

    Attributes:
        what: Was done with the events.
        size_bytes: Size of every event.
        events: Number of events.
        requests: Number of scored requests.
        labels: Number of learned labels, by event or by silence.
        seconds: Wall time.
        cpu: Share of them in which this process computed; well below 1, another one was in the way.
        ratio: Speed against `decode` of events of this size.
    """

    what: str
    size_bytes: int
    events: int
    requests: int
    labels: int
    seconds: float
    cpu: float
    ratio: float = 1.0

    @property
    def per_s(self) -> float:
        """Events per second."""
        return self.events / self.seconds

    @property
    def mb_per_s(self) -> float:
        """Millions of bytes of events per second."""
        return self.per_s * self.size_bytes / 1e6


Work = Callable[[], tuple[int, int]]
"""Does what is timed; returns how many requests were scored and how many labels learned."""


def hour(n: int, size: int) -> list[bytes]:
    """An hour of the market: n events, labels and deadlines among them."""
    market = Market(seed=SEED, rate_per_s=1.1 * n / 3600, size_bytes=size)
    return list(islice(market.events(hours=2.0), n))


def burst(n: int, size: int) -> list[bytes]:
    """Quotes and trades in less time than the shortest life of a quote."""
    hours = SHORTEST_LIFE_US / HOUR_US
    market = Market(seed=SEED, rate_per_s=2.0 * n / (3600 * hours), size_bytes=size)
    events = (event for event in market.events(hours) if b'"type":"filled"' not in event[:20])
    return list(islice(events, n))


def decode(events: list[bytes]) -> Work:
    """Decode every event and drop it."""
    decoder = stream.decoder()

    def work() -> tuple[int, int]:
        for event in events:
            decoder.decode(event)
        return 0, 0

    return work


def river(events: list[bytes]) -> Work:
    """Decode, predict each quote, learn from each word on what became of one."""
    decoder = stream.decoder()
    model = StandardScaler() | LogisticRegression()

    def work() -> tuple[int, int]:
        waiting: dict[str, dict[str, float]] = {}
        requests = labels = 0
        for raw in events:
            event = decoder.decode(raw)
            if isinstance(event, Quote):
                row = {name: getattr(event, name) for name in SIGNALS}
                row["minutes_to_expiry"] = (event.expires - event.time) / MINUTE_US
                model.predict_proba_one(row)
                waiting[event.id] = row
                requests += 1
            elif isinstance(event, Filled) and event.of in waiting:
                model.learn_one(waiting.pop(event.of), event.filled)
                labels += 1
        return requests, labels

    return work


def shards(events: list[bytes]) -> Work:
    """One shard for each partition of the stream, in turn, as the reader would feed them."""
    settings = settings_from(SETTINGS)
    records: list[list[Record]] = [[] for _ in range(stream.partitions)]
    peek = stream.peek()
    for event in events:
        event_time, key = peek(event)
        assert event_time is not None
        part = records[partition_of(key, stream.partitions)]
        part.append(Record(len(part), event_time, key, event))

    def work() -> tuple[int, int]:
        all_shards = [Shard(stream, settings, p) for p in range(stream.partitions)]
        batch = settings.reading.batch
        for first in range(0, max(map(len, records)), batch):
            for shard, part in zip(all_shards, records, strict=True):
                shard.apply(Records(part[first : first + batch]))
        counters = [shard.counters for shard in all_shards]
        return sum(c["predictions"] for c in counters), sum(c["outcomes"] for c in counters)

    return work


def full_path(events: list[bytes], home: Home) -> Work:
    """The main flow over a log that holds the events."""
    log = home.log()
    create_topics(log, stream.partitions)
    append_history(log, events, stream.peek())

    def work() -> tuple[int, int]:
        run_flow(App(settings_from(SETTINGS), home, Console(quiet=True), Event()).flow())
        return held(log, "predictions"), held(log, "outcomes")

    return work


def held(log: Log, topic: str) -> int:
    """Records in all partitions of a topic."""
    return sum(log.end(topic, partition) for partition in range(log.partitions(topic)))


def timed(what: str, events: list[bytes], work: Work) -> Row:
    """Run it once."""
    wall, cpu = time.perf_counter(), time.process_time()
    requests, labels = work()
    seconds = time.perf_counter() - wall
    busy = (time.process_time() - cpu) / seconds
    return Row(what, len(events[0]), len(events), requests, labels, seconds, busy)


def rows(n: int, size: int, root: Path) -> Iterator[Row]:
    """Everything once, with n events of one size."""
    learned, scored = hour(n, size), burst(n, size)
    # So short that one pass may be far off.
    passes = [timed("decode", learned, decode(learned)) for _ in range(5)]
    base = min(passes, key=lambda row: row.seconds)
    yield base
    for what, events, work in (
        ("River", learned, river(learned)),
        ("shard, predict only", scored, shards(scored)),
        ("shard", learned, shards(learned)),
        ("full path, predict only", scored, full_path(scored, Home(root / f"{size}-burst"))),
        ("full path", learned, full_path(learned, Home(root / f"{size}-hour"))),
    ):
        row = timed(what, events, work)
        yield msgspec.structs.replace(row, ratio=row.per_s / base.per_s)


def text(report: Sequence[Row]) -> str:
    """The table for people."""
    heads = ("events/s", "MB/s", "GB/h", "of decode", "cpu", "requests", "labels")
    lines = [f"{'':24}{'bytes':>6}" + "".join(f"{head:>11}" for head in heads)]
    lines += (
        f"{row.what:24}{row.size_bytes:>6}{row.per_s:>11,.0f}{row.mb_per_s:>11.1f}"
        f"{row.mb_per_s * 3.6:>11.1f}{row.ratio:>11.3f}{row.cpu:>11.0%}"
        f"{row.requests:>11,}{row.labels:>11,}"
        for row in report
    )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python bench/bench_throughput.py --events 200000",
    )
    parser.add_argument("--events", type=int, default=100_000, help="in each row (100000)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args(arguments)
    if options.events < 1:
        parser.error(f"--events must be positive; got {options.events}")
    tune_collector()
    with TemporaryDirectory() as root:
        list(rows(1_000, SIZES[0], Path(root) / "warm"))  # kernels compiled, modules loaded
        report = [row for size in SIZES for row in rows(options.events, size, Path(root))]
    print(msgspec.json.encode(report).decode() if options.json else text(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
