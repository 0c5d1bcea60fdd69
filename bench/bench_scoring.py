"""How long a vector takes to become a probability, one row and many.

Vectors are random, as wide as flights' and a tenth of them missing; online and residual models have
learned from some of them. `in parts` is the same answer from one model after the other.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.streams.flights import stream
from models.compiled import CompiledBlend
from models.ensemble import Ensemble
from models.mojo import Mojo, read_mojo
from models.offline import Offline
from models.online import OnlineModels

ROWS = 1_000
SEED = 7


class Row(msgspec.Struct, frozen=True):
    """One line of the table; times in µs per row, the ratio to the first line's p50."""

    what: str
    p50: float
    p99: float
    p999: float
    ratio: float = 1.0


def vectors(levels: dict[int, list[str]]) -> NDArray[np.float64]:
    """Random vectors of the flights stream."""
    random = np.random.default_rng(SEED)
    rows = random.normal(20.0, 30.0, (ROWS, len(stream.columns)))
    for place, names in levels.items():
        rows[:, place] = random.integers(len(names), size=ROWS)
    rows[random.random(rows.shape) < 0.1] = np.nan
    return rows


def timed(what: str, turns: int, ask: Callable[[int], object], per: int = 1) -> Row:
    """Percentiles over so many calls; `per` is how many rows a call takes."""
    ask(0)
    taken = np.empty(turns)
    for turn in range(turns):
        start = time.perf_counter_ns()
        ask(turn % ROWS)
        taken[turn] = time.perf_counter_ns() - start
    p50, p99, p999 = np.quantile(taken / 1e3 / per, [0.5, 0.99, 0.999]).tolist()
    return Row(what, p50, p99, p999)


def report(mojo: Mojo, turns: int) -> list[Row]:
    """All lines, for one offline model of the flights stream."""
    columns = stream.columns
    domains = dict(zip(mojo.columns, mojo.domains, strict=True))
    places = {column.name: i for i, column in enumerate(columns)}
    levels = {
        places[column.name]: list(domains.get(column.name) or (f"bin{i}" for i in range(10)))
        for column in columns
        if column.categorical
    }
    models = OnlineModels(
        ["level" if column.categorical else column.transform for column in columns],
        [(places[a], places[b]) for a, b in stream.crosses],
    )
    ensemble = Ensemble()
    offline = Offline("bench", mojo, list(places), levels)
    rows = vectors(levels)
    for turn, row in enumerate(rows):
        models.learn(row, turn % 5 == 0, 0.2)
    blend = CompiledBlend(models, ensemble)
    own = np.ascontiguousarray(rows[:, [places[name] for name in mojo.columns]])

    def in_parts(turn: int) -> float:
        tree = offline.predict(rows[turn])
        online, residual = models.predict(rows[turn], tree)
        return ensemble.blend(online, tree, residual)

    lines = [
        timed("in parts", turns, in_parts),
        timed("vector to ensemble", turns, lambda turn: blend.predict(rows[turn], offline)),
        timed(f"{mojo.algorithm} one row", turns, lambda turn: mojo.score(own[turn])),
        timed(
            f"{mojo.algorithm} {ROWS} rows", turns // 100, lambda _: mojo.score_many(own), per=ROWS
        ),
    ]
    return [msgspec.structs.replace(line, ratio=line.p50 / lines[0].p50) for line in lines]


def text(lines: Sequence[Row]) -> str:
    """The table for people."""
    head = f"{'µs per row':22}{'p50':>9}{'p99':>9}{'p999':>9}{'ratio':>9}"
    return "\n".join([
        head,
        *(
            f"{line.what:22}{line.p50:>9.2f}{line.p99:>9.2f}{line.p999:>9.2f}{line.ratio:>9.2f}"
            for line in lines
        ),
    ])  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mojo", type=Path, help="an offline model of the flights stream")
    parser.add_argument("--turns", type=int, default=20_000, help="calls of each line (20000)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args(arguments)
    if options.turns < 100:
        parser.error(f"--turns must be at least 100; got {options.turns}")
    lines = report(read_mojo(options.mojo), options.turns)
    print(msgspec.json.encode(lines).decode() if options.json else text(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
