"""What processes and folders take, from outside."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

MIB = 2**20
ALLOWED = {"memory": 8 * MIB, "descriptors": 1, "threads": 1, "disk": 8 * MIB}
"""What a quantity may grow by over a whole run without growing: of memory a byte an event."""

FLOW, H2O = "run", "H2O of run"
FOR_EVER = "kept for ever"
_KEPT_FOR_EVER = ("snapshots", "artifacts", "log/models", "log/activations", "log/snapshots")
"""What a home keeps by design, trimmed or not: cuts, models and decisions."""


class Quantity(NamedTuple):
    """What is sampled.

    Attributes:
        of: A process, or a part of the home.
        what: A key of `ALLOWED`.
    """

    of: str
    what: str


class Samples:
    """Series of all quantities.

    Attributes:
        series: Times (s) and values by quantity.
    """

    def __init__(self) -> None:
        self.series: dict[Quantity, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))

    def take(self, processes: dict[str, int], home: Path) -> None:
        """Look at processes, by name and id, and at the folders of a home."""
        now = time.monotonic()
        found = [*_processes(processes), *_folders(home)]
        for quantity, value in found:
            times, values = self.series[quantity]
            times.append(now)
            values.append(value)

    def newest(self, of: str, what: str) -> float:
        """The last value; 0 where there is none."""
        return self.series[Quantity(of, what)][1][-1] if Quantity(of, what) in self.series else 0.0


def _processes(processes: dict[str, int]) -> Iterator[tuple[Quantity, float]]:
    for name, pid in processes.items():
        process = psutil.Process(pid)
        yield from _process(name, process)
        for child in process.children(recursive=True) if name == FLOW else ():
            with suppress(psutil.NoSuchProcess):  # H2O may end between two fits
                if child.name() == "java":
                    yield from _process(H2O, child)


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
