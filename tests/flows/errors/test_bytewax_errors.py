"""An error in a flow is one line and exit code 2, however the flow was started."""

import shutil
import socket
import sqlite3
import uuid
from itertools import count

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from flows.home.home import create_topics
from flows.ingest import append_history
from flows.streams.quotes import stream
from flows.streams.quotes_market import Market
from state.kafka.cluster import Cluster
from state.kafka.log import KafkaLog
from tests.flow_processes import ALONE, Group, Shape, _free_ports, fill

RUN, MAIN = ("-m", "flows", "run"), ("-m", "bytewax.run", "flows.main")
INGEST, FOREIGN = ("-m", "flows", "ingest"), ("-m", "bytewax.run", "flows.ingest")
TRAIN = ("-m", "bytewax.run", "flows.train")
EXTERNAL = '[training]\ntrainer = "external"\nwait = false\n'
MAPPING = """
[ingest]
bootstrap = "{bootstrap}"
[[ingest.topics]]
topic = "{topic}"
event = "trade"
"""


@pytest.fixture(scope="module")
def tampered(tmp_path_factory):
    """A home that cannot go on: a prediction was changed, and the checkpoints are gone."""
    home = tmp_path_factory.mktemp("tampered") / "home"
    fill(home, EXTERNAL, hours=0.1)
    assert Group(home, ALONE, RUN).wait(60) == [0]
    shutil.rmtree(home / "checkpoints")
    for database in (home / "log" / "predictions").glob("*.db"):
        with sqlite3.connect(database) as connection:
            connection.execute("UPDATE records SET value = X'78' WHERE offset = 0")
        connection.close()
    return home


@pytest.fixture
def unreachable(tmp_path):
    """A home that ingests from a broker that nobody ever sees."""
    home = tmp_path / "home"
    home.mkdir()
    mapping = MAPPING.format(bootstrap="127.0.0.1:1", topic="t")
    (home / "headwater.toml").write_text(f'stream = "quotes"\n[kafka]\npatience = "1s"\n{mapping}')
    return home


def lines_of(*groups):
    """The line of each process, which says nothing else of what went wrong."""
    codes = [code for group in groups for code in group.wait(60)]
    said = groups[0].output()
    assert set(codes) == {2}, said
    assert "Traceback" not in said
    assert "panicked" not in said
    lines = [line for line in said.splitlines() if line.startswith("headwater: ")]
    assert len(lines) == len(codes), said
    told = [line for line in lines if "its own output says why" not in line]
    assert told, said
    return told


@pytest.mark.parametrize(
    ("shape", "words"),
    [(ALONE, RUN), (ALONE, (*RUN, "-w", "2")), (ALONE, MAIN), (Shape(2), ()), (Shape(1, 2), ())],
    ids=str,
)
def test_an_error_in_mid_run(tampered, shape, words):
    for line in lines_of(Group(tampered, shape, words)):
        assert line.startswith("headwater: value must equal the stored b'x'; got ")


@pytest.mark.parametrize("words", [INGEST, FOREIGN, (*FOREIGN, "-w", "2")], ids=" ".join)
def test_a_foreign_broker_out_of_reach(unreachable, words):
    (line,) = lines_of(Group(unreachable, ALONE, words))
    assert "Kafka at 127.0.0.1:1 must answer within 1 s" in line


def test_a_foreign_broker_out_of_reach_of_two_processes(unreachable):
    addresses = ";".join(f"127.0.0.1:{port}" for port in _free_ports(2))
    groups = [Group(unreachable, ALONE, (*FOREIGN, "-i", str(i), "-a", addresses)) for i in (0, 1)]
    (line,) = lines_of(*groups)
    assert "Kafka at 127.0.0.1:1 must answer within 1 s" in line


@pytest.mark.parametrize(
    "words", [(*RUN, "--process", "0", "--addresses"), (*MAIN, "-i", "0", "-a")], ids=" ".join
)
def test_an_address_that_cannot_be_used(tmp_path, words):
    home = tmp_path / "home"
    fill(home, EXTERNAL, hours=0.05)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        used = f"127.0.0.1:{taken.getsockname()[1]}"
        (line,) = lines_of(Group(home, ALONE, (*words, used)))
    rule = "addresses must be reachable, and this process's own of this machine and free"
    assert line == f"headwater: {rule}; got 'Address already in use (os error 98)'"


@pytest.mark.parametrize("words", [MAIN, TRAIN, FOREIGN], ids=lambda words: words[-1])
def test_a_log_out_of_reach(tmp_path, words):
    home = tmp_path / "home"
    home.mkdir()
    mapping = MAPPING.format(bootstrap="127.0.0.1:1", topic="t")
    (home / "headwater.toml").write_text(
        f'stream = "quotes"\nlog = "kafka"\n{EXTERNAL}'
        f'[kafka]\nbootstrap = "127.0.0.1:1"\npatience = "1s"\n{mapping}'
    )
    (line,) = lines_of(Group(home, ALONE, words))
    assert "Kafka at 127.0.0.1:1 must answer within 1 s" in line


@pytest.fixture
def site(tmp_path, broker):
    """Makes homes on the broker, each with events to read and a foreign topic to follow."""
    logs = []

    def make(name):
        prefix, topic = f"{uuid.uuid4().hex[:8]}.", f"foreign.{uuid.uuid4().hex[:8]}"
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        producer.produce(topic, b"no event")
        producer.flush()
        logs.append(KafkaLog(Cluster(broker.bootstrap, {}), prefix=prefix, writer="fill"))
        create_topics(logs[-1], stream.partitions)
        append_history(logs[-1], Market(seed=3, rate_per_s=1.2).events(0.05), stream.peek())
        home = tmp_path / name
        home.mkdir()
        mapping = MAPPING.format(bootstrap=broker.bootstrap, topic=topic)
        (home / "headwater.toml").write_text(
            f'stream = "quotes"\nlog = "kafka"\nfollow = true\n{EXTERNAL}[kafka]\n'
            f'bootstrap = "{broker.bootstrap}"\nprefix = "{prefix}"\npatience = "10s"\n{mapping}'
        )
        return home, logs[-1]

    yield make
    for log in logs:
        log.close()


@pytest.fixture
def start():
    """Starts flows that end with the test."""
    started = []

    def group(home, shape, words):
        started.append(Group(home, shape, words))
        return started[-1]

    yield group
    for process in [process for one in started for process in one.processes]:
        process.kill()
        process.wait()


FLOWS = {
    "main": (ALONE, MAIN),
    "run": (ALONE, RUN),
    "main of two": (Shape(1, 2), ()),
    "train": (ALONE, TRAIN),
    "ingest": (ALONE, FOREIGN),
}


@pytest.mark.timeout(600)
def test_a_broker_that_is_lost_in_mid_run(site, start, broker):
    groups = []
    for name, (shape, words) in FLOWS.items():
        home, log = site(name)
        group = start(home, shape, words)
        begun = {
            "train": lambda group=group: "Waiting for boundaries" in group.output(),
            "ingest": lambda log=log: log.end("dead_letters", stream.partitions),
        }
        group.until(begun.get(name, lambda log=log: log.end("predictions", 7)))
        groups.append(group)
    broker.kill()
    try:
        for group in groups:
            for line in lines_of(group):
                assert f"Kafka at {broker.bootstrap} must answer within 10 s" in line
    finally:
        broker.start()


@pytest.mark.timeout(600)
def test_the_older_of_two_flows(site, start):
    home, log = site("home")
    older = start(home, ALONE, MAIN)
    older.until(lambda: log.end("predictions", 7))
    newer = start(home, ALONE, MAIN)
    hours = count(0.05, 0.005)

    def has_ended():  # it learns of the other with the next that it has to write
        append_history(log, Market(seed=3, rate_per_s=1.2).events(next(hours)), stream.peek())
        return older.ended()

    newer.until(has_ended)
    assert older.processes[0].wait() == 2
    (line,) = [line for line in older.output().splitlines() if line.startswith("headwater: ")]
    assert "must be the only one; got fenced off by " in line


def test_a_setting_that_leaves_nothing_to_train(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "headwater.toml").write_text('[training]\npinned = "gbm-1"\n')
    assert lines_of(Group(home, ALONE, TRAIN)) == [
        "headwater: training.pinned must be empty where fits are made; got 'gbm-1'"
    ]


def test_an_error_that_nobody_expects_keeps_its_traceback(tmp_path):
    home = tmp_path / "home"
    fill(home, EXTERNAL, hours=0.05)
    broken = "import flows.runtime.partitions as p; p.Partitions.open = lambda *_: 1 / 0"
    run = "sys.argv = ['run', 'flows.main']; runpy.run_module('bytewax.run', run_name='__main__')"
    group = Group(home, ALONE, ("-c", f"{broken}\nimport runpy, sys; {run}"))
    assert group.wait(60) == [1]
    assert group.output().count("ZeroDivisionError: division by zero") == 1
    assert "panicked" not in group.output()
    assert "headwater: " not in group.output()
