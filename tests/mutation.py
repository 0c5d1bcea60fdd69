"""Change the source a little at a time; a test must fail each time, or something is not tested.

`just mutate` or `python -m tests.mutation gate order shard --count 100 --seed 1`. The changes are
Cosmic Ray's, made in a copy of the checkout. What survives is printed as a diff; some of it changes
nothing that can be observed, the rest asks for a test.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.progress import track

if TYPE_CHECKING:
    from cosmic_ray.work_item import WorkItem, WorkResult

ROOT = Path(__file__).parents[1]
TOPS = ("flows", "operators", "models", "state", "tests", "bench", "pyproject.toml")
SLOWEST = 3
"""How many times as long as without a change the tests may take: some changes never end."""


class Part(NamedTuple):
    """Source files and the tests that are to notice a change in them, both by pattern."""

    sources: tuple[str, ...]
    tests: tuple[str, ...]


PARTS = {
    "gate": Part(
        ("models/refit/gate.py",), ("models/refit/gate.py", "tests/models/refit/test_gate.py")
    ),
    "order": Part(
        (
            "operators/partition/ordered_input.py",
            "operators/partition/decider.py",
            "operators/partition/journal.py",
        ),
        ("tests/operators/partition",),
    ),
    "shard": Part(("operators/shard/*.py",), ("tests/operators/shard",)),
}


class NoCopyError(Exception):
    """The tests fail without any change."""


def changes(sources: list[Path], count: int, seed: int) -> "list[WorkItem]":
    """Some of the changes that can be made, in the order of the files.

    Args:
        sources: Files to mutate.
        count: Most mutations.
        seed: Chooses them.
    """
    from cosmic_ray.commands import init  # noqa: PLC0415 - needs an extra
    from cosmic_ray.work_db import WorkDB, use_db  # noqa: PLC0415

    with use_db(":memory:", WorkDB.Mode.create) as db:
        init(sources, db, {})
        everything = [item for item in db.work_items if item.mutations]
    everything.sort(key=_place)
    chosen = random.Random(seed).sample(everything, min(count, len(everything)))
    return sorted(chosen, key=_place)


def _place(item: "WorkItem") -> tuple[str, tuple[int, int], str, int]:
    (change,) = item.mutations
    return (str(change.module_path), change.start_pos, change.operator_name, change.occurrence)


def copied(folder: Path) -> None:
    """Copy what the tests need, so that nothing else sees the changes."""
    for top in TOPS:
        source = ROOT / top
        if source.is_dir():
            shutil.copytree(source, folder / top, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / top)


def tried(part: Part, count: int, seed: int, console: Console) -> "Iterator[WorkResult]":
    """Make the changes of a part in the current folder, one after the other.

    Raises:
        NoCopyError: The tests fail without any change.
    """
    from cosmic_ray.mutating import mutate_and_test  # noqa: PLC0415 - needs an extra

    words = [sys.executable, "-m", "pytest", "-n0", "-m", "", "-x", "-q", "-p", "no:cacheprovider"]
    words += part.tests
    began = time.monotonic()
    plain = subprocess.run(words, capture_output=True, text=True, check=False)
    if plain.returncode:
        msg = f"tests must pass without a change; got {plain.stdout[-2000:]}"
        raise NoCopyError(msg)
    patience = SLOWEST * (time.monotonic() - began)
    sources = [file for pattern in part.sources for file in sorted(Path().glob(pattern))]
    for item in track(changes(sources, count, seed), "changes tried", console=console):
        yield mutate_and_test(item.mutations, " ".join(words), patience)


def main(words: list[str] | None = None) -> int:
    """Run it; the exit code is 1 if a change survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (all)")
    parser.add_argument("--count", type=int, default=100, help="most changes for each part (100)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the changes (1)")
    given = parser.parse_args(words)
    console, survived = Console(), 0
    with tempfile.TemporaryDirectory() as folder:
        copied(Path(folder))
        os.chdir(folder)
        os.environ["PYTHONPATH"] = folder
        for name in given.parts or PARTS:
            results = list(tried(PARTS[name], given.count, given.seed, console))
            lived = [one for one in results if one.test_outcome == "survived"]
            for one in lived:
                console.print(one.diff, markup=False, highlight=False)
            print(f"{name}: {len(results)} changes, {len(lived)} survived")
            survived += len(lived)
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
