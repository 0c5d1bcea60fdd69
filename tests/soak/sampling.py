"""Sample the resources of processes and folders from outside."""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import psutil

MIB = 2**20
ALLOWED = {
    "memory": 8 * MIB,
    "descriptors": 1,
    "threads": 1,
    "disk": 8 * MIB,
    "keys": 4,
    "values": 8 * MIB,
    "heap": 8 * MIB,
    "events behind": 1_000,
}
"""Growth over the judged part that still counts as none: for memory, two bytes per event."""

IN_BYTES = frozenset({"memory", "disk", "values", "heap"})

FLOW, H2O = "run", "H2O of run"
H2O_HEAP = 2**30
_BESIDE_HEAP = 2**29
FOR_EVER = "kept for ever"
_KEPT_FOR_EVER = ("snapshots", "artifacts", "log/models", "log/activations", "log/snapshots")
"""Parts of a home that are kept by design, trimmed or not: cuts, models and decisions."""


class Quantity(NamedTuple):
    """The processes and folders to sample.

    Attributes:
        of: A process, or a part of the home.
        what: A key of `ALLOWED`.
    """

    of: str
    what: str


MOST = {Quantity(H2O, "memory"): H2O_HEAP + _BESIDE_HEAP}
"""Quantities that may grow up to a limit.

Java gives back no heap before it has taken its maximum, so its slope tells nothing. What H2O holds
is judged by its slope all the same: the keys of its store, the size of their values, and the heap
that is in use right after a collection, for which the soak asks once a minute.
"""

_COLLECT_S, _HEARTBEAT_S = 60.0, 1.5
"""How often; and how long it takes H2O to tell what it found."""


class Samples:
    """Series of all quantities.

    Attributes:
        series: Times (s) and values by quantity.
    """

    def __init__(self) -> None:
        self.series: dict[Quantity, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
        self._collected = 0.0

    def take(
        self, processes: dict[str, int], home: Path, others: Iterable[tuple[Quantity, float]] = ()
    ) -> None:
        """Look at processes, by name and id, and at the folders of a home.

        Args:
            processes: Their ids by name.
            home: Its folder.
            others: What was found elsewhere at the same time.
        """
        now = time.monotonic()
        collect = now - self._collected >= _COLLECT_S
        if collect:
            self._collected = now
        found = [*_processes(processes, collect=collect), *_folders(home), *others]
        for quantity, value in found:
            times, values = self.series[quantity]
            times.append(now)
            values.append(value)

    def newest(self, of: str, what: str) -> float:
        """The last value; 0 where there is none."""
        return self.series[Quantity(of, what)][1][-1] if Quantity(of, what) in self.series else 0.0


def _processes(processes: dict[str, int], *, collect: bool) -> Iterator[tuple[Quantity, float]]:
    for name, pid in processes.items():
        process = psutil.Process(pid)
        yield from _process(name, process)
        for child in process.children(recursive=True) if name == FLOW else ():
            with suppress(psutil.NoSuchProcess):  # H2O may end between two fits
                if child.name() == "java":
                    yield from _process(H2O, child)
                    yield from _held_by_h2o(child, collect=collect)


def _held_by_h2o(java: psutil.Process, *, collect: bool) -> Iterator[tuple[Quantity, float]]:
    """Figures that H2O reports on its own store and heap; none if it does not answer."""
    ports = [one.laddr.port for one in java.net_connections() if one.status == "LISTEN"]
    with suppress(OSError, ValueError):  # it starts, ends or is busy
        here = f"http://127.0.0.1:{min(ports)}/3"
        if collect:
            with urlopen(f"{here}/GarbageCollect", data=b"", timeout=10):
                time.sleep(_HEARTBEAT_S)
        with urlopen(f"{here}/Cloud?skip_ticks=true", timeout=2) as answer:
            (node,) = json.load(answer)["nodes"]
        yield Quantity(H2O, "keys"), node["num_keys"]
        yield Quantity(H2O, "values"), node["mem_value_size"]
        if collect:
            yield Quantity(H2O, "heap"), node["pojo_mem"] + node["mem_value_size"]


def _process(name: str, process: psutil.Process) -> list[tuple[Quantity, float]]:
    with process.oneshot():
        return [
            (Quantity(name, "memory"), process.memory_full_info().uss),
            (Quantity(name, "descriptors"), process.num_fds()),
            (Quantity(name, "threads"), process.num_threads()),
        ]


def _folders(home: Path) -> Iterator[tuple[Quantity, float]]:
    sizes = {"log": 0, "checkpoints": 0, FOR_EVER: 0, "the rest": 0}
    for path in home.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                sizes[_part(str(path.relative_to(home)))] += path.stat().st_blocks * 512
    for part, size in sizes.items():
        yield Quantity(part, "disk"), size


def _part(path: str) -> str:
    if path.startswith(_KEPT_FOR_EVER):
        return FOR_EVER
    top = path.partition("/")[0]
    return top if top in {"log", "checkpoints"} else "the rest"
