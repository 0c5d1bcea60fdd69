"""A flow as several processes of bytewax on this machine: started, watched and ended together.

A process that this one started stops cleanly when its standard input ends. That is how all are
stopped, and what happens when this one is killed: none is left behind.
"""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from queue import Empty, Queue

from flows.terminal.json_lines import JsonLines

_LOOK_EVERY_S = 0.1
_PATIENCE_S = 10.0
_SHOWN = 5
_PEER = "all processes of a flow must run"
"""Part of the message of a process that ends because another one has ended."""


class _Child:
    """One process; each line of its output is printed with the process's number in front.

    Args:
        number: Number of the process, from 0.
        words: Command line of the process.
        ended: Receives the child when the process and its output have ended.
    """

    def __init__(self, number: int, words: Sequence[str], ended: "Queue[_Child]") -> None:
        self.number, self._ended = number, ended
        self.last: deque[str] = deque(maxlen=_SHOWN)
        prefix = f"[{number}] "
        width = shutil.get_terminal_size().columns - len(prefix)
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "COLUMNS": str(width)},
            process_group=0,  # else Ctrl-C would reach it beside this process, and end it at once
        )
        threading.Thread(target=self._pass_on, args=(prefix,), daemon=True).start()

    def stop(self) -> None:
        """Let it end cleanly; nothing happens the second time."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    @property
    def is_peer(self) -> bool:
        """Whether it ended because another did."""
        return any(_PEER in line for line in self.last)

    def _pass_on(self, prefix: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.last.append(line.rstrip("\n"))
            if isinstance(sys.stderr, JsonLines):
                sys.stderr.pass_on(line, self.number)
            else:
                sys.stderr.write(f"{prefix}{line}")
        self.process.wait()
        self._ended.put(self)


def run_processes(count: int, words: Sequence[str], stop: threading.Event) -> int:
    """Run a flow as several connected processes until it ends.

    If one process fails, all are ended, and its last lines are repeated.

    Args:
        count: Number of processes.
        words: Command line of each process, without `--process` and `--addresses`.
        stop: Ends the processes cleanly when it is set.

    Returns:
        The exit code: 0, or that of the process that failed; 2 if a signal ended it.
    """
    addresses = ";".join(f"127.0.0.1:{port}" for port in _free_ports(count))
    ended: Queue[_Child] = Queue()
    with _killed_at_the_end() as children:
        for number in range(count):
            own = [*words, "--process", str(number), "--addresses", addresses]
            children.append(_Child(number, own, ended))
        failed = list(_failures(children, ended, stop))
    if not failed:
        return 0
    first = next((child for child in failed if not child.is_peer), failed[0])
    code = first.process.returncode
    told = f"signal {-code}" if code < 0 else f"exit code {code}"
    sys.stderr.write(
        f"headwater: process {first.number} of {count} ended with {told}, so the others were ended "
        "too; its last lines:\n"
    )
    sys.stderr.write("".join(f"  {line}\n" for line in first.last))
    return code if code > 0 else 2


def _failures(
    children: Sequence[_Child], ended: "Queue[_Child]", stop: threading.Event
) -> Iterator[_Child]:
    """Yield failed children in order; after the first failure the others get a little time."""
    left, limit = len(children), float("inf")
    while left and time.monotonic() < limit:
        if stop.is_set():
            for child in children:
                child.stop()
        try:
            child = ended.get(timeout=_LOOK_EVERY_S)
        except Empty:
            continue
        left -= 1
        if child.process.returncode:
            yield child
            stop.set()
            limit = min(limit, time.monotonic() + _PATIENCE_S)


@contextmanager
def _killed_at_the_end() -> Iterator[list[_Child]]:
    children: list[_Child] = []
    try:
        yield children
    finally:
        for child in children:
            child.process.kill()
            child.process.wait()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def stop_with_parent(stop: threading.Event) -> None:
    """Have a process that `run_processes` started stop cleanly when it is to, or is left alone.

    Args:
        stop: Is set then.
    """

    def watch() -> None:
        sys.stdin.buffer.read()
        stop.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()
