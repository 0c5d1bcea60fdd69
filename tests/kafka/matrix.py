"""Failures that a flow on Kafka survives, each for real, with the bytes of an undisturbed run.

`just kafka-matrix` or `python -m tests.kafka.matrix --away 30` prints a table of what was done and
what was observed; a short form of each case runs with the tests. An undisturbed run on the embedded
log of the same events says what must be there. The harness looks at the log with a reader of its
own.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

from confluent_kafka.admin import NewTopic
from rich.console import Console
from rich.table import Table

from flows.home.home import ALL_TOPICS, Home, create_topics, wanted_topics
from flows.ingest import append_history
from flows.streams.quotes import stream
from flows.streams.quotes_market import Market
from operators.shard.shard import TOPICS
from state.kafka.cluster import Cluster
from state.kafka.log import KafkaLog
from state.kafka.topics import Topics, config_of
from state.log import EVENTS, Log, LogError, Record, SequenceConflictError
from tests.flow_processes import Group, Shape, fill
from tests.kafka.broker import Broker, free_ports

SETTINGS = """
[training]
trainer = "external"
wait = false
every = "20m"
[metrics]
every = "10m"
[checkpoints]
every = "300ms"
"""
SLOW = '"fetch.message.max.bytes" = 4000, "queued.min.messages" = 1'
"""Fetches little ahead, so that what is deleted has not been fetched yet."""
SHORT = '"queued.max.messages.kbytes" = 1024'
"""Fetches at most 1 MiB of a partition ahead."""
IN_FLIGHT = 2**20
"""Most bytes of a partition between reader and sinks, where memory is looked at."""
LITTLE_IN_FLIGHT = 2_500
"""The same elsewhere: about one batch, so that a run is as far as its outputs say."""
STALLED_MB, LATER_MB = 8 * 8, 200
"""Allowed growth of memory: data fetched, held and in flight per partition; and the rest."""
SIZE_BYTES = 100_000
"""Of most events where memory is looked at: some 200 MB in all."""

FLOW = ("-m", "flows", "run")
HOURS = 0.5
_LOOK_EVERY_S = 0.05
_PATIENCE_S = 150.0

Records = dict[tuple[str, int], list[Record]]


def held(log: Log) -> Records:
    """All that a log holds, by topic and partition."""
    return {
        (topic, p): log.read(topic, p, log.start(topic, p), max_records=10**6)
        for topic in ALL_TOPICS
        for p in range(log.partitions(topic))
    }


def undisturbed(root: Path) -> Records:
    """The outputs of an undisturbed run on the embedded log."""
    fill(root, SETTINGS, HOURS)
    flow = Group(root, words=FLOW)
    assert flow.wait(_PATIENCE_S) == [0], flow.output()
    log = Home(root).log()
    wanted = held(log)
    log.close()
    return wanted


def _events(size_bytes: int = 0) -> Iterator[bytes]:
    return Market(seed=3, rate_per_s=1.2, size_bytes=size_bytes).events(HOURS)


class Site:
    """A home and topics of its own on brokers, with the same events.

    Args:
        root: Directory of the home; created here.
        brokers: The first is asked.
        batch: Records in a step: few, and the run takes longer.
        options: Options of librdkafka, as TOML.
        small: Append the events in small pieces.
        outputs_on: The broker that alone has what the flow writes; 0: Kafka places it.
        first: Append so many of the events; None: all.
        in_flight: Most bytes of a partition between reader and sinks.
    """

    def __init__(
        self,
        root: Path,
        *brokers: Broker,
        batch: int = 15,
        options: str = "",
        small: bool = False,
        outputs_on: int = 0,
        first: int | None = None,
        in_flight: int = LITTLE_IN_FLIGHT,
    ):
        self.root, self._prefix, self._first = root, f"{uuid.uuid4().hex[:8]}.", first
        self.cluster = Cluster(brokers[0].bootstrap, {}, lambda _: None)
        bootstrap = ",".join(one.bootstrap for one in brokers)
        root.mkdir(parents=True)
        (root / "headwater.toml").write_text(
            f'stream = "quotes"\nlog = "kafka"\n{SETTINGS}'
            f"[reading]\nbatch = {batch}\nin_flight = {in_flight}\n"
            f'[kafka]\nbootstrap = "{bootstrap}"\nprefix = "{self._prefix}"\n'
            f'replication = {len(brokers)}\ncommit = "150ms"\n'
            f"options = {{ {options} }}\n"
        )
        pieces = {"batch.num.messages": 20} if small else {}
        log = KafkaLog(
            Cluster(bootstrap, pieces), prefix=self._prefix, replication=len(brokers), writer="fill"
        )
        if outputs_on:
            self._place(outputs_on)
        create_topics(log, stream.partitions)
        append_history(log, islice(_events(), first), stream.peek())
        log.close()
        self.log = KafkaLog(self.cluster, prefix=self._prefix)
        self.topics = Topics(self.cluster, self.cluster.consumer({}), len(brokers))

    def _place(self, outputs_on: int) -> None:
        """Make what the flow writes on that broker, and all else on the other."""
        admin = self.cluster.admin()
        topics = []
        for topic, count in wanted_topics(stream.partitions).items():
            broker = outputs_on if topic in TOPICS else 3 - outputs_on
            places = [[broker]] * count
            topics.append(
                NewTopic(self.name(topic), count, replica_assignment=places, config=config_of(1))
            )
        for made in admin.create_topics(topics).values():
            made.result()

    def append_rest(self, size_bytes: int) -> None:
        """Append the other events, padded to this size."""
        events = chain(
            islice(_events(), self._first), islice(_events(size_bytes), self._first, None)
        )
        append_history(self.log, events, stream.peek())

    def name(self, topic: str) -> str:
        """Kafka's of a topic."""
        return self._prefix + topic

    def start(self) -> Group:
        """Run the flow."""
        return Group(self.root, words=FLOW)

    def predictions(self) -> int:
        """How many there are."""
        return sum(self.log.end("predictions", p) for p in range(stream.partitions))

    def until(self, flow: Group, wanted: Records, share: float) -> None:
        """Wait until this share of the predictions is there."""
        flow.until(lambda: self.predictions() >= share * _most(wanted), _PATIENCE_S)

    def finish(self, flow: Group, wanted: Records) -> int:
        """Let the flow come to its end and compare every record; how many are the same."""
        assert flow.wait(_PATIENCE_S) == [0], flow.output()
        return self.compare(wanted)

    def compare(self, wanted: Records) -> int:
        """Compare every record; how many there are.

        Raises:
            AssertionError: One differs, is missing, or is there twice.
        """
        there, compared = held(self.log), 0
        for place, records in wanted.items():
            if place[0] == EVENTS and self._first is not None:
                continue
            first = self.log.start(*place) if place[0] == EVENTS else 0
            assert there[place] == records[first:], f"{place} must be as in the undisturbed run"
            compared += len(there[place])
        return compared

    def close(self) -> None:
        """Let go of the brokers."""
        self.log.close()


def _said(flow: Group) -> str:
    """Number of times it printed the awaited line."""
    return f"said {flow.output().count('Waiting for Kafka')} times what it waits for"


def _last_line(flow: Group) -> str:
    lines = [line for line in flow.output().splitlines() if line.startswith("headwater: ")]
    return lines[-1] if lines else "no line"


def broker_killed(site: Site, broker: Broker, wanted: Records, away_s: float) -> str:
    """Broker killed in mid-run, back after a while; twice."""
    flow = site.start()
    for share in (0.2, 0.5):
        site.until(flow, wanted, share)
        broker.kill()
        time.sleep(away_s)
        broker.start()
    same = site.finish(flow, wanted)
    return f"one process, {_said(flow)}; {same:,} records the same"


def flow_killed(site: Site, broker: Broker, wanted: Records, away_s: float) -> str:
    """Flow killed with kill -9 in mid-run and started again; three times."""
    del broker, away_s
    for share in (0.2, 0.5, 0.8):
        flow = site.start()
        site.until(flow, wanted, share)
        flow.signal(signal.SIGKILL)
        flow.wait(10)
    return f"{site.finish(site.start(), wanted):,} records the same"


def both_killed(site: Site, broker: Broker, wanted: Records, away_s: float) -> str:
    """Broker and flow killed; the flow started while the broker is away; twice."""
    flow, stopped = site.start(), 0
    for share in (0.2, 0.5):
        site.until(flow, wanted, share)
        broker.kill()
        flow.signal(signal.SIGKILL)
        flow.wait(10)
        flow = site.start()
        time.sleep(away_s)
        broker.start()
        if flow.ended():
            assert flow.wait(10) == [2], flow.output()
            assert "must answer within" in _last_line(flow)
            stopped += 1
            flow = site.start()
    same = site.finish(flow, wanted)
    return f"{stopped} starts ended with exit code 2 and one line; {same:,} records the same"


def two_flows(site: Site, broker: Broker, wanted: Records, away_s: float) -> str:
    """A second flow on the same partitions; the first hangs (SIGSTOP) meanwhile, then goes on."""
    del broker, away_s
    older = site.start()
    site.until(older, wanted, 0.2)
    older.signal(signal.SIGSTOP)
    newer = site.start()
    site.until(newer, wanted, 0.4)
    older.signal(signal.SIGCONT)
    assert older.wait(_PATIENCE_S) == [2], older.output()
    line = _last_line(older)
    assert "fenced off by" in line, line
    assert f"pid {newer.processes[0].pid} " in line, line
    same = site.finish(newer, wanted)
    return f"the older ended with exit code 2 and named the newer; {same:,} records the same"


def unread_deleted(site: Site, broker: Broker, wanted: Records, away_s: float) -> str:
    """Retention deletes events under the reader (its fetches are kept small)."""
    del broker, away_s
    flow = site.start()
    site.until(flow, wanted, 0.2)
    flow.signal(signal.SIGSTOP)
    site.topics.configure(site.name(EVENTS), {"retention.ms": "1"})
    limit = time.monotonic() + _PATIENCE_S
    for p in range(stream.partitions):
        while _first_physical(site, p) == 0:
            assert time.monotonic() < limit
            time.sleep(_LOOK_EVERY_S)
    flow.signal(signal.SIGCONT)
    assert flow.wait(_PATIENCE_S) == [2], flow.output()
    line = _last_line(flow)
    assert EVENTS in line, line
    skipped_nothing(site, wanted)
    return f"exit code 2: {line.removeprefix('headwater: ')}; nothing was skipped"


def _first_physical(site: Site, partition: int) -> int:
    return site.log._partition(EVENTS, partition)._watermarks().low


def skipped_nothing(site: Site, wanted: Records) -> None:
    """Check that the predictions that are there are the first of those that must be."""
    for p in range(stream.partitions):
        there = site.log.read("predictions", p, 0, max_records=10**6)
        assert there == wanted["predictions", p][: len(there)]


def read_deleted(site: Site, broker: Broker, wanted: Records, away_s: float) -> str:
    """Events behind the newest checkpoints deleted in mid-run, then the flow killed."""
    del broker, away_s
    flow = site.start()
    site.until(flow, wanted, 0.5)
    store, deleted = Home(site.root).checkpoints(), 0
    for p in range(stream.partitions):
        deleted += site.log.trim(EVENTS, p, next(store.newest_first(p)).offset)
    assert deleted
    site.until(flow, wanted, 0.7)
    flow.signal(signal.SIGKILL)
    flow.wait(10)
    same = site.finish(site.start(), wanted)
    return f"{deleted:,} events deleted, both went on; {same:,} records the same"


def leader_lost(site: Site, broker: Broker, wanted: Records, away_s: float) -> str:
    """The leader of half the partitions killed (two brokers, two copies), later started again."""
    flow = site.start()
    site.until(flow, wanted, 0.2)
    led = site.cluster.consumer({}).list_topics(site.name("predictions"), 10)
    leaders = [p.leader for p in led.topics[site.name("predictions")].partitions.values()]
    assert 2 in leaders
    broker.kill()
    site.until(flow, wanted, 0.5)
    time.sleep(away_s)
    broker.start()
    same = site.finish(flow, wanted)
    return f"one process went on without it, {_said(flow)}; {same:,} records the same"


def sink_stalled(site: Site, broker: Broker, wanted: Records, away_s: float) -> str:
    """The broker of the outputs hangs (SIGSTOP), that of 200 MB of events does not."""
    flow = Group(site.root, words=(*FLOW, "--follow"))
    while "waiting for new events" not in flow.output():
        assert not flow.ended(), flow.output()
        time.sleep(_LOOK_EVERY_S)
    before = _resident_mb(flow)
    assert 0 < site.predictions() < _most(wanted) / 2
    flow.signal(signal.SIGSTOP)
    site.append_rest(SIZE_BYTES)
    broker.pause()
    flow.signal(signal.SIGCONT)
    limit = time.monotonic() + away_s
    stalled = _most_resident_mb(flow, lambda: time.monotonic() > limit)
    broker.resume()
    after = _most_resident_mb(flow, lambda: flow.ended() or site.predictions() == _most(wanted))
    flow.signal(signal.SIGTERM)
    assert flow.wait(_PATIENCE_S) == [0], flow.output()
    same = site.finish(site.start(), wanted)
    told = f"resident {before:.0f} → {stalled:.0f} MB, and at most {after:.0f} until the end"
    assert stalled < before + STALLED_MB, told
    assert after < before + LATER_MB, told
    return f"{told}; {_said(flow)}; {same:,} records the same"


def _most(wanted: Records) -> int:
    """How many predictions there must be."""
    return sum(len(records) for (topic, _), records in wanted.items() if topic == "predictions")


def _most_resident_mb(flow: Group, done: Callable[[], bool]) -> float:
    """The most memory it has until then."""
    most = 0.0
    while not done():
        most = max(most, _resident_mb(flow))
        time.sleep(_LOOK_EVERY_S)
    return most


def _resident_mb(flow: Group) -> float:
    """The memory it has; 0 once it has ended."""
    status = Path(f"/proc/{flow.processes[0].pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024 if "VmRSS" in status else 0.0


def two_processes(site: Site, broker: Broker, wanted: Records, away_s: float) -> str:
    """Two processes of a flow (-i/-a) on eight partitions, killed in mid-run and begun again."""
    del broker, away_s
    flow = Group(site.root, Shape(processes=2))
    site.until(flow, wanted, 0.3)
    flow.signal(signal.SIGKILL)
    flow.wait(10)
    flow = Group(site.root, Shape(processes=2))
    assert flow.wait(_PATIENCE_S) == [0, 0], flow.output()
    return f"{site.compare(wanted):,} records the same"


Case = Callable[[Site, Broker, Records, float], str]
CASES: tuple[Case, ...] = (
    broker_killed,
    flow_killed,
    both_killed,
    two_flows,
    unread_deleted,
    read_deleted,
    leader_lost,
    sink_stalled,
    two_processes,
)


@contextmanager
def pair(folder: Path) -> Iterator[tuple[Broker, Broker]]:
    """Two brokers; the first is the controller, so that the second can be lost."""
    port, controller, sasl, *others = free_ports(5)
    one = Broker(folder / "1", (port, controller, sasl), copies=2)
    two = Broker(folder / "2", (others[0], controller, others[1]), node=2, copies=2)
    one.start()
    try:
        two.start()
        yield one, two
    finally:
        two.kill()
        one.kill()


def observe(case: Case, folder: Path, wanted: Records, away_s: float, broker: Broker) -> str:
    """Let it happen; what was observed.

    Raises:
        AssertionError: A promise was broken.
    """
    if case in {leader_lost, sink_stalled}:
        with pair(folder / "pair") as (one, two):
            if case is leader_lost:
                site = Site(folder / case.__name__, one, two)
            else:
                site = Site(
                    folder / case.__name__,
                    one,
                    options=SHORT,
                    outputs_on=2,
                    first=200,
                    in_flight=IN_FLIGHT,
                )
            observed = case(site, two, wanted, away_s)
            site.close()
            return observed
    slow = case is unread_deleted
    site = Site(
        folder / case.__name__,
        broker,
        batch=5 if slow else 15,
        options=SLOW if slow else "",
        small=slow,
    )
    observed = case(site, broker, wanted, away_s)
    site.close()
    return observed


def main() -> int:
    """Print the table; the exit code is 1 if something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--away", type=float, default=30.0, metavar="S", help="seconds (30)")
    names = [case.__name__ for case in CASES]
    parser.add_argument("--case", action="append", choices=names, help="only this; may be repeated")
    arguments = parser.parse_args()
    folder, failed = Path(tempfile.mkdtemp(prefix="headwater-kafka-")), 0
    table = Table("what was done", "what was observed", "s", box=None)
    broker = Broker(folder / "broker", free_ports(3))
    broker.start()
    wanted = undisturbed(folder / "alone")
    for case in CASES:
        if arguments.case and case.__name__ not in arguments.case:
            continue
        started = time.monotonic()
        try:
            observed = observe(case, folder, wanted, arguments.away, broker)
        except (AssertionError, LogError, SequenceConflictError) as error:
            observed, failed = f"FAILED: {error}", 1
        seconds = f"{time.monotonic() - started:.0f}"
        print(f"{case.__name__}: {observed} ({seconds} s)", file=sys.stderr, flush=True)
        table.add_row((case.__doc__ or "").rstrip("."), observed, seconds)
    broker.kill()
    Console().print(table)
    if not failed:
        shutil.rmtree(folder)
    return failed


if __name__ == "__main__":
    sys.exit(main())
