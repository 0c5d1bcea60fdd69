"""The main flow as people start it, in process groups, on a generated log of quotes."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from flows.home.home import Home, create_topics
from flows.ingest import append_history
from flows.streams.quotes import stream
from flows.streams.quotes_market import Market
from tests.waiting import until

REPOSITORY = Path(__file__).parents[1]


class Shape(NamedTuple):
    """Numbers of processes and workers of the flow."""

    workers: int = 1
    processes: int = 1

    def __str__(self):
        return f"-w {self.workers}" if self.processes == 1 else f"-i/-a of {self.processes}"


ALONE = Shape()


def fill(root: Path, settings: str, hours: float, rate_per_s: float = 1.2) -> int:
    """Make a home with its settings and a log of quotes; return how many events it holds."""
    root.mkdir(parents=True)
    (root / "headwater.toml").write_text(f'stream = "quotes"\n{settings}')
    log = Home(root).log()
    create_topics(log, stream.partitions)
    market = Market(seed=3, rate_per_s=rate_per_s)
    events = append_history(log, market.events(hours), stream.peek())
    log.close()
    return events


class Group:
    """A process group that runs the flow, or other words after `python`, on a home.

    Its output is added to `output.txt` beside the home; `before` is called in each process before
    Python starts.
    """

    def __init__(
        self,
        root: Path,
        shape: Shape = ALONE,
        words: tuple[str, ...] = (),
        before: Callable[[], object] | None = None,
    ):
        self._output = root.with_name(f"{root.name}-output.txt")
        self._seen = self._output.stat().st_size if self._output.exists() else 0
        environment = {
            **os.environ,
            "HEADWATER_HOME": str(root),
            "HEADWATER_CONFIG": str(root / "headwater.toml"),
            "RUST_BACKTRACE": "0",
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        with self._output.open("ab") as output:
            for own in [words] if words else _words(shape):
                process = subprocess.Popen(
                    [sys.executable, *own],
                    cwd=REPOSITORY,
                    env=environment,
                    stdout=output,
                    stderr=output,
                    process_group=self.processes[0].pid if self.processes else 0,
                    preexec_fn=before,  # noqa: PLW1509 - it touches no lock
                )
                self.processes.append(process)

    def ended(self) -> bool:
        """Whether one of the processes has ended."""
        return any(process.poll() is not None for process in self.processes)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all processes at once."""
        os.killpg(self.processes[0].pid, number)

    def wait(self, timeout_s: float) -> list[int]:
        """The exit codes, once all have ended."""
        return [process.wait(timeout_s) for process in self.processes]

    def until(self, condition: Callable[[], object], within_s: float = 120.0) -> None:
        """Return once a condition holds; a flow that ends before that has failed."""
        until(lambda: condition() or self.ended(), within_s, told=self.output)
        assert condition(), self.output()

    def output(self) -> str:
        """The output since the start."""
        return self._output.read_bytes()[self._seen :].decode()


def _words(shape: Shape) -> list[tuple[str, ...]]:
    flow = ("-m", "bytewax.run", "flows.main")
    if shape.processes == 1:
        return [(*flow, "-w", str(shape.workers))]
    addresses = ";".join(f"127.0.0.1:{port}" for port in _free_ports(shape.processes))
    return [(*flow, "-i", str(i), "-a", addresses) for i in range(shape.processes)]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
