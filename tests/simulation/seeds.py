"""One seed: a system driven through its schedule, and its promises checked."""

import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.simulation.promises import check
from tests.simulation.system import System

STEPS = 700
_SHOWN = 60
_MEMORY = Path("/dev/shm")


class Outcome(NamedTuple):
    """Result of a seed.

    Attributes:
        seed: The seed.
        failure: The broken promise; empty: none.
        told: The schedule, in short.
        faults: Number of faults, by kind.
        compared: Records, by topic.
        seconds: It took.
    """

    seed: int
    failure: str
    told: list[str]
    faults: Counter[str]
    compared: dict[str, int]
    seconds: float


def simulate(seed: int, steps: int = STEPS) -> Outcome:
    """Run one seed and check all promises."""
    begun = time.perf_counter()
    folder = tempfile.mkdtemp(
        prefix="headwater-simulation-", dir=_MEMORY if _MEMORY.is_dir() else None
    )
    root = Path(folder)
    failure, compared = "", {}
    try:
        (root / "home").mkdir()
        (root / "undisturbed").mkdir()
        system = System(seed, root / "home")
        try:
            system.run(steps)
            compared = check(system, root / "undisturbed")
        except Exception as error:  # noqa: BLE001 - whatever it is, the seed has found it
            failure = f"{type(error).__name__}: {error}"
    finally:
        shutil.rmtree(root)
    told = system.faults.told
    return Outcome(
        seed, failure, told, system.faults.counts, compared, time.perf_counter() - begun
    )  # fmt: skip


def said(outcome: Outcome) -> str:
    """A failed seed for people, with the end of its schedule."""
    lines = outcome.told[-_SHOWN:]
    head = f"seed {outcome.seed}: {outcome.failure[:2000]}"
    if len(lines) < len(outcome.told):
        lines = [outcome.told[0], f"… {len(outcome.told) - _SHOWN - 1} lines …", *lines]
    return "\n  ".join([head, *lines])
