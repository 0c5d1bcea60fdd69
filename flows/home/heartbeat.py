"""Heartbeats: each process of a flow notes its resources in `running/` of the home."""

import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

from state.regular_file import read_regular

BEAT_S = 5.0
FRESH_S = 4 * BEAT_S
"""A process whose newest beat is older has ended, or hangs."""
_FORGOTTEN_S = 86_400.0
_MOST_BYTES = 2**20
_JAVA = "java"


class Usage(msgspec.Struct, frozen=True):
    """Resources that one process uses.

    Attributes:
        role: `flow`, `trainer`, or `h2o` for a child of these.
        pid: Process id on its machine.
        cpu_s: Processor time since its start, seconds.
        memory_bytes: Resident memory.
        descriptors: Number of open files, sockets and the like.
        threads: Number of threads.
    """

    role: str
    pid: int
    cpu_s: float
    memory_bytes: int
    descriptors: int
    threads: int


class Beat(msgspec.Struct, frozen=True):
    """One heartbeat.

    Attributes:
        host: Name of the machine, or of the container.
        at: When it was written, Unix time of that machine.
        started: When the process began, the same.
        processes: The process itself, then H2O where it is its child.
    """

    host: str
    at: float
    started: float
    processes: list[Usage]


class Heartbeat:
    """Writes a beat now and every five seconds, in a thread of its own, until `close`.

    A disk that is full or away stops no flow: the beat is left out.

    Args:
        root: The home's directory.
        role: Role of this process, see `Usage`.
        stop: Ends the thread when it is set.
    """

    def __init__(self, root: Path, role: str, stop: threading.Event) -> None:
        host = socket.gethostname()
        self._folder, self._role, self._host, self._stop = root / "running", role, host, stop
        plain = re.sub(r"[^\w.-]", "_", host)
        self._path = self._folder / f"{role}-{plain}-{os.getpid()}.json"
        self._process = psutil.Process()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        _forget(self._folder)
        self._write()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def close(self) -> None:
        """Take the beat away: the process ends on purpose."""
        self._ended.set()
        with self._lock, suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            if self._stop.is_set():
                self.close()
            else:
                self._write()

    def _write(self) -> None:
        own = self._process
        beat = Beat(self._host, time.time(), own.create_time(), [_usage(self._role, own)])
        beat.processes.extend(_children_of(own))
        part = self._path.with_suffix(".part")
        with self._lock, suppress(OSError):
            if not self._ended.is_set():
                self._folder.mkdir(parents=True, exist_ok=True)
                part.write_bytes(msgspec.json.encode(beat))
                part.replace(self._path)


def beats_in(root: Path, now: float) -> list[Beat]:
    """The processes of a home that live, by their newest beats; oldest process first.

    Args:
        root: The home's directory.
        now: Unix time.
    """
    found = []
    for path in (root / "running").glob("*.json"):
        with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            beat = msgspec.json.decode(read_regular(path, _MOST_BYTES), type=Beat)
            if now - beat.at <= FRESH_S:
                found.append(beat)
    return sorted(found, key=lambda beat: (beat.started, beat.host))


def _usage(role: str, process: psutil.Process) -> Usage:
    with process.oneshot():
        times = process.cpu_times()
        return Usage(
            role,
            process.pid,
            times.user + times.system,
            process.memory_info().rss,
            process.num_fds(),
            process.num_threads(),
        )


def _children_of(process: psutil.Process) -> Iterator[Usage]:
    """H2O, wherever it is below this process."""
    with suppress(psutil.Error):
        for child in process.children(recursive=True):
            with suppress(psutil.Error):  # it may end at any moment
                if child.name() == _JAVA:
                    yield _usage("h2o", child)


def _forget(folder: Path) -> None:
    """Remove the beats of processes that were killed long ago."""
    limit = time.time() - _FORGOTTEN_S
    for path in (*folder.glob("*.json"), *folder.glob("*.part")):
        with suppress(OSError):
            if path.stat().st_mtime < limit:
                path.unlink()
