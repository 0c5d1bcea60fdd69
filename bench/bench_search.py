"""A search that remembers against the seeded grid, at equal fits, boundary after boundary.

Each boundary is a start: both searches get its rows and what they themselves have found before,
and fit `--models` candidates beside their last winner. One is better where its winner has the
lower log-loss on the validation rows. As these chose the winner, the log-loss on the requests
up to the next boundary is shown too. A start has `--rows` rows, of which a fifth judge.

    headwater export outcomes --out quotes.parquet
    python -m bench.bench_search quotes quotes.parquet
    python -m bench.bench_search flights year.parquet --starts 30
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl

from flows.home.configuration import find_stream
from models.h2o.frames import LABEL, TIMES
from models.h2o.server import H2OServer
from models.mojo.model import read_mojo
from models.refit.fit_record import FitRecord
from models.refit.plan import FitTask
from models.refit.proposals import proposed
from models.refit.refit import lacking, train
from models.scorecard import log_losses
from state.durations import Duration

GRID, TPE = "grid", "tpe"


class Start(NamedTuple):
    """A boundary: the fit's task, and the requests up to the next boundary."""

    task: FitTask
    later: pl.DataFrame


class Found(NamedTuple):
    """The result of one search at one start."""

    record: FitRecord
    later: float
    seconds: float

    @property
    def judged(self) -> float:
        """The winner's log-loss on the validation rows."""
        winner = self.record.winner
        assert winner is not None
        return winner.log_loss

    @property
    def rows(self) -> float:
        """Rows of all its fits, in fits on all rows."""
        return sum(1 / one.thinning for one in self.record.tried)


def starts(stream: str, file: Path, arguments: argparse.Namespace, folder: Path) -> Iterator[Start]:
    """The starts of a stream, evenly spaced over its outcomes."""
    definition = find_stream(stream)
    columns = [column for column in definition.columns if column.for_trees]
    features = [column.name for column in columns]
    wanted = [*TIMES, LABEL, *features]
    outcomes = pl.read_parquet(file, columns=wanted).drop_nulls(LABEL).sort("event_time")
    times = outcomes["event_time"].dt.timestamp("us").to_numpy()
    first = arguments.rows
    ends = np.linspace(first, len(outcomes), arguments.starts + 1).astype(int)
    for number, (end, until) in enumerate(pairwise(ends)):
        path = folder / f"{stream}{number}.parquet"
        rows = outcomes[end - arguments.rows : end]
        rows.write_parquet(path, compression="zstd", row_group_size=100_000)
        boundary = int(times[end])
        task = FitTask(
            files=[path],
            features=features,
            categoricals=[column.name for column in columns if column.categorical],
            boundary=boundary,
            window=boundary - int(times[end - arguments.rows]),
            validation=boundary,
            embargo=Duration.parse(definition.label.delay),
            draws=arguments.models,
            min_rows=1_000,
            refit=False,
        )
        yield Start(task, outcomes[end:until])


def searched(server: H2OServer, search: str, start: Start, earlier: list[FitRecord]) -> Found:
    """Search at a start, and measure the winner on the later requests."""
    began = time.perf_counter()
    winner = earlier[-1].parameters if earlier else None
    task = msgspec.structs.replace(start.task, previous=winner)
    if search == TPE:
        task = msgspec.structs.replace(task, proposals=proposed(task, earlier).candidates)
    assert not lacking(task)
    server.clear()
    trained = train(server, task, None)
    seconds = time.perf_counter() - began
    mojo = read_mojo(trained.artifact)
    guess = mojo.score_many(mojo.encode(start.later.select(task.features).to_dict()))
    labels = start.later[LABEL].cast(pl.Float64).to_numpy()
    return Found(trained.record, float(log_losses(labels, guess).mean()), seconds)


def report(found: dict[str, list[Found]]) -> None:
    """Print how often and by how much the search that remembers was better, and its price."""
    judged, later = (
        np.array([[getattr(one, name) for one in found[search]] for search in (GRID, TPE)])
        for name in ("judged", "later")
    )
    print(f"{'':24}{'better':>8}{'grid':>9}{'tpe':>9}{'gain':>9}{'±':>9}")
    for name, losses in (("validation rows", judged), ("up to the next boundary", later)):
        gain = losses[0] - losses[1]
        better = f"{(gain > 0).mean():.0%}"
        error = gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else float("nan")
        print(
            f"{name:24}{better:>8}{losses[0].mean():9.4f}{losses[1].mean():9.4f}"
            f"{gain.mean():9.4f}{error:9.4f}"
        )
    for search, of in found.items():
        fits = np.mean([len(one.record.tried) for one in of])
        rows = np.mean([one.rows for one in of])
        seconds = np.mean([one.seconds for one in of])
        print(f"{search}: {fits:.1f} fits, rows of {rows:.2f} on all, {seconds:.1f} s a start")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stream", help="name of the stream")
    parser.add_argument("outcomes", type=Path, help="its exported outcomes, Parquet")
    parser.add_argument("--starts", type=int, default=30, help="number of boundaries")
    parser.add_argument("--rows", type=int, default=25_000, help="rows of a start")
    parser.add_argument("--models", type=int, default=6, help="as training.models")
    parser.add_argument("--memory", default="2g", help="heap of H2O")
    arguments = parser.parse_args()
    found: dict[str, list[Found]] = {GRID: [], TPE: []}
    with (
        tempfile.TemporaryDirectory() as folder,
        H2OServer(memory=arguments.memory, work_dir=Path(folder) / "h2o") as server,
    ):
        for start in starts(arguments.stream, arguments.outcomes, arguments, Path(folder)):
            for search, of in found.items():
                of.append(searched(server, search, start, [one.record for one in of]))
            grid, tpe = (of[-1] for of in found.values())
            print(
                f"{len(found[GRID]):3}  {grid.judged:.4f} {tpe.judged:.4f}  "
                f"later {grid.later:.4f} {tpe.later:.4f}  "
                f"{grid.seconds:.0f} s {tpe.seconds:.0f} s  {tpe.record.parameters}",
                file=sys.stderr,
                flush=True,
            )
    report(found)


if __name__ == "__main__":
    main()
