"""Time from a request to its readable prediction on Kafka, at a steady rate.

`just kafka` starts a broker; the topics that are made have a prefix of their own. Events of the
quotes stream are appended one by one, by a producer without transactions as a mirror's is, so that
the topic is hardly ever at its end. `headwater run` with `follow = true` runs beside it as a
process. A latency begins when a request is handed to the producer, and ends when a consumer that
sees committed records only has its prediction; with `--scorer`, when a scorer in the process that
measures counts the event in.
"""

import argparse
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import msgspec
import numpy as np
from confluent_kafka import TopicPartition

from bench.bench_throughput import hour
from flows.home.home import create_topics
from flows.home.kafka import kafka_log
from flows.scorer import Scorer
from flows.streams.quotes import stream
from state.kafka.cluster import Cluster
from state.kafka.records import header_of
from state.log import EVENTS, partition_of
from state.outputs.records import Prediction
from state.settings import Kafka, settings_from

REPOSITORY = Path(__file__).parents[1]
SIZE_BYTES = 300
WARM_S = 5.0
_SETTINGS = """\
stream = "quotes"
log = "kafka"
follow = true

[training]
trainer = "external"
wait = false
every = "3650d"

[kafka]
bootstrap = "{bootstrap}"
prefix = "{prefix}"
commit = "{commit}"
"""
_PATIENCE_S = 60.0
_QUIET_S = 1.0
_TURN_S = 0.002

Place = tuple[int, int]
"""Partition and offset in `events`."""


class Latency(msgspec.Struct, frozen=True):
    """Latencies from requests to their answers.

    Attributes:
        per_s: Events per second that were appended.
        measured: Number of measured latencies.
        p50_ms: Median.
        p99_ms: 99th percentile.
        max_ms: The longest.
        said: Output of the flow.
    """

    per_s: float
    measured: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    said: str


class Watcher(Protocol):
    """Notes when answers come."""

    at: dict[Place, float]

    def look(self) -> bool:
        """Note what came in the last few milliseconds; whether anything did."""

    def close(self) -> None:
        """Let go of the connections."""


class Predictions:
    """Times at which each prediction could be read.

    Args:
        cluster: Where.
        prefix: Prefix of the topic's name in Kafka.

    Attributes:
        at: The time (s), by place of the request.
    """

    def __init__(self, cluster: Cluster, prefix: str) -> None:
        self.at: dict[Place, float] = {}
        self._decode = msgspec.json.Decoder(Prediction).decode
        self._consumer = cluster.consumer({})
        name = f"{prefix}predictions"
        self._consumer.assign([TopicPartition(name, p, 0) for p in range(stream.partitions)])

    def look(self) -> bool:
        """See `Watcher.look`."""
        messages = [m for m in self._consumer.consume(1000, _TURN_S) if m.error() is None]
        now = time.perf_counter()
        for message in messages:
            one = self._decode(message.value() or b"")
            self.at[one.partition, one.offset] = now
        return bool(messages)

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()


class Counted:
    """Times at which a scorer had counted each event.

    Args:
        scorer: Follows all partitions.

    Attributes:
        at: The time (s), by place of the event.
    """

    def __init__(self, scorer: Scorer) -> None:
        self.at: dict[Place, float] = {}
        self._scorer = scorer
        self._passed = {p: offset for p, (_, offset) in scorer.as_of.items()}

    def look(self) -> bool:
        """See `Watcher.look`."""
        time.sleep(_TURN_S)
        now, before = time.perf_counter(), len(self.at)
        for partition, (_, offset) in self._scorer.as_of.items():
            new = range(self._passed[partition], offset)
            self.at.update(((partition, one), now) for one in new)
            self._passed[partition] = offset
        return len(self.at) > before

    def close(self) -> None:
        """Stop following."""
        self._scorer.close()


class Feed:
    """Appends events to `events`, one by one, without waiting for any.

    Args:
        cluster: Where.
        prefix: Prefix of the topic's name in Kafka.

    Attributes:
        at: The time (s) at which each event was handed over, by place.
    """

    def __init__(self, cluster: Cluster, prefix: str) -> None:
        self.at: dict[Place, float] = {}
        self._producer = cluster.producer({"linger.ms": 1})
        self._name, self._peek = f"{prefix}{EVENTS}", stream.peek()
        self._ends = [0] * stream.partitions

    def run(self, events: Sequence[bytes], rate: float) -> None:
        """Append all at so many per second, and wait until they are there."""
        began, done = time.perf_counter(), 0
        while done < len(events):
            due = round((time.perf_counter() - began) * rate)
            for event in events[done:due]:
                self._append(event)
            done = max(done, due)
            self._producer.poll(_TURN_S)
        self._producer.flush()

    def _append(self, event: bytes) -> None:
        key = self._peek(event)[1]
        partition = partition_of(key, stream.partitions)
        place = partition, self._ends[partition]
        self._ends[partition] += 1
        headers = header_of(place[1], time.time_ns() // 1000, b"feed")
        self.at[place] = time.perf_counter()
        self._producer.produce(self._name, event, key, partition, headers=headers)


@contextmanager
def flowing(root: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The flow as a process; what it prints goes to `said.txt`."""
    environment = {
        **os.environ,
        "HEADWATER_HOME": str(root / "home"),
        "HEADWATER_CONFIG": str(root / "headwater.toml"),
    }
    words = [sys.executable, "-m", "flows", "run"]
    with (
        (root / "said.txt").open("wb") as said,
        subprocess.Popen(
            words, cwd=REPOSITORY, env=environment, stdout=said, stderr=said
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


def measure(
    bootstrap: str,
    rate: float,
    seconds: float,
    *,
    warm_s: float = WARM_S,
    scorer: bool = False,
    commit: str = str(Kafka().commit),
) -> Latency:
    """Feed a flow, and time its answers.

    Args:
        bootstrap: Address of the broker.
        rate: Events per second, of all partitions together.
        seconds: Duration of the measurement.
        warm_s: Seconds for which the flow is fed first, after its first answer.
        scorer: Time a scorer beside the flow and not the predictions.
        commit: The flow's `kafka.commit`.
    """
    prefix = f"{uuid.uuid4().hex[:8]}."
    log = kafka_log(settings_from({"kafka": {"bootstrap": bootstrap, "prefix": prefix}}).kafka)
    create_topics(log, stream.partitions)
    log.close()
    cluster, first = Cluster(bootstrap, {}), round(rate)
    events = hour(first + round(rate * (warm_s + seconds)), SIZE_BYTES)
    feed = Feed(cluster, prefix)
    watcher: Watcher = Predictions(cluster, prefix)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        settings = root / "headwater.toml"
        settings.write_text(_SETTINGS.format(bootstrap=bootstrap, prefix=prefix, commit=commit))
        with flowing(root) as flow:
            feed.run(events[:first], rate)
            _await_first(watcher, flow)
            if scorer:
                watcher.close()
                watcher = Counted(Scorer.open(settings, home=root / "home"))
            feeding = threading.Thread(target=feed.run, args=(events[first:], rate))
            began = time.perf_counter()
            feeding.start()
            while feeding.is_alive():
                watcher.look()
            took = time.perf_counter() - began
            _take_rest(watcher)
            watcher.close()
        said = (root / "said.txt").read_text()
    found = [
        1000 * (at - feed.at[place])
        for place, at in watcher.at.items()
        if feed.at[place] >= began + warm_s
    ]
    p50, p99 = np.percentile(found, (50, 99))
    per_s = (len(events) - first) / took
    return Latency(per_s, len(found), float(p50), float(p99), max(found), said)


def _await_first(watcher: Watcher, flow: "subprocess.Popen[bytes]") -> None:
    limit = time.monotonic() + _PATIENCE_S
    while not watcher.look():
        if flow.poll() is not None or time.monotonic() > limit:
            msg = f"flow must answer within {_PATIENCE_S:g} s; got no prediction"
            raise SystemExit(msg)


def _take_rest(watcher: Watcher) -> None:
    """Take what still comes, until nothing does for a while."""
    quiet = time.monotonic()
    limit = quiet + _PATIENCE_S
    while time.monotonic() < min(limit, quiet + _QUIET_S):
        if watcher.look():
            quiet = time.monotonic()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python -m bench.bench_kafka_latency --rate 200 --seconds 60",
    )
    parser.add_argument("--rate", type=float, default=1_000, help="events per second (1000)")
    parser.add_argument("--seconds", type=float, default=20, help="that are measured (20)")
    parser.add_argument("--scorer", action="store_true", help="time a scorer beside the flow")
    parser.add_argument(
        "--commit",
        action="append",
        help="the flow's kafka.commit (20ms); several are measured in turn",
    )
    parser.add_argument("--rounds", type=int, default=1, help="through all of them (1)")
    parser.add_argument("--bootstrap", default="127.0.0.1:9092", help="of the broker")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(arguments)
    if options.rate < 1 or options.seconds < 1:
        parser.error(
            f"--rate and --seconds must be at least 1; got {options.rate:g}, {options.seconds:g}"
        )
    commits = options.commit or [str(Kafka().commit)]
    for commit in commits * options.rounds:
        found = measure(
            options.bootstrap, options.rate, options.seconds, scorer=options.scorer, commit=commit
        )
        if options.json:
            print(msgspec.json.encode(found).decode())
        else:
            print(
                f"commit {commit}: {found.per_s:,.0f} events/s, {found.measured:,} latencies: "
                f"p50 {found.p50_ms:.0f} ms, p99 {found.p99_ms:.0f} ms, max {found.max_ms:.0f} ms"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
