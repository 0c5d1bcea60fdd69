"""Time to score one row, by H2O's ways, by ours and by others.

It makes what it needs: 26 days of the flights, run with one fit, and from their outcomes GBM, DRF
and GLM fitted in an H2O of its own. All score the newest thousand vectors of that run. A line's
times are those of a call from Python to its answer, less those of an empty call; the lines over
HTTP are of `bench.bench_rest`, counted from when a request was due.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from bench import genmodel_baselines as java
from bench import scoring_world as world
from bench.tree_baselines import grown, lightgbm_row, treelite_row
from flows.home.home import Home
from flows.runtime.app import tune_collector
from flows.scorer import Scorer
from flows.streams.flights import stream
from models.h2o.frames import LABEL
from models.h2o.server import H2OServer
from models.linear.bank import Bank
from models.linear.ensemble import Ensemble
from models.linear.river_model import RiverModels
from models.mojo.model import read_mojo
from models.scoring.blend import CompiledModels, Serving
from models.scoring.bound_model import Offline

UNTIL = "2013-01-27"
_WARM = 200


class Row(msgspec.Struct, frozen=True):
    """One line of the table.

    Attributes:
        what: Was asked.
        calls: Number of timed calls.
        p50: µs per row; so are the next two.
        p99: Likewise.
        p999: Likewise.
        ratio: p50 over that of the first line.
        missing: Why there are no times, if so.
    """

    what: str
    calls: int
    p50: float
    p99: float
    p999: float
    ratio: float = 0.0
    missing: str = ""


def timed(what: str, calls: int, ask: Callable[[int], object], per: int = 1) -> Row:
    """Percentiles over so many calls, each told its turn; `per` is how many rows a call takes."""
    empty = np.median(_nanoseconds(1_000, lambda _: None))
    _nanoseconds(min(calls, _WARM), ask)
    taken = np.maximum(_nanoseconds(calls, ask) - empty, 0.0) / 1e3 / per
    return Row(what, calls, *np.quantile(taken, [0.5, 0.99, 0.999]).tolist())


def _nanoseconds(calls: int, ask: Callable[[int], object]) -> np.ndarray:
    taken = np.empty(calls)
    clock = time.perf_counter_ns
    for turn in range(calls):
        at = turn % world.ROWS
        start = clock()
        ask(at)
        taken[turn] = clock() - start
    return taken


class Bench:
    """All lines, over one folder that `scoring_world` has filled.

    Args:
        folder: With a home and the models' outcomes.
        rows: Rows of the outcomes.
        archives: The fitted MOJOs.
        calls: Number of calls of each fast line; slow ones have fewer.
    """

    def __init__(
        self, folder: Path, rows: pl.DataFrame, archives: dict[str, bytes], calls: int
    ) -> None:
        self._folder, self._calls = folder, calls
        self._rows, self._archives = rows, archives
        self._mojos = {name: read_mojo(archive) for name, archive in archives.items()}
        gbm = self._mojos["gbm100"]
        domains = zip(gbm.columns, gbm.domains, strict=True)
        self._levels = {name: list(levels) for name, levels in domains if levels is not None}
        for name in world.CATEGORICALS:
            self._levels.setdefault(name, [])
        self._vectors = world.vectors(rows, self._levels)
        newest = rows.tail(world.ROWS)
        self._own = {
            name: mojo.encode(newest.select(mojo.columns).to_dict())
            for name, mojo in self._mojos.items()
        }

    def lines(self, server: H2OServer, rate: float, seconds: float) -> Iterator[Row]:
        """Each as soon as it has been measured, without the ratio."""
        yield from self._java()
        yield from self._kernels()
        yield from self._ensemble()
        yield from self._scorer()
        yield from self._others()
        yield from self._slow(server)
        yield from self._service(rate, seconds)

    def _java(self) -> Iterator[Row]:
        own, archive = self._own["gbm100"], self._archives["gbm100"]
        score0, easy = java.score0(archive), java.easy_predict(archive)
        yield timed("H2O score0, GBM 100", self._calls, lambda turn: score0(own[turn]))
        yield timed("H2O EasyPredict, GBM 100", self._calls // 10, lambda turn: easy(own[turn]))
        small, rows = java.score0(self._archives["gbm50"]), self._own["gbm50"]
        yield timed("H2O score0, GBM 50", self._calls, lambda turn: small(rows[turn]))

    def _kernels(self) -> Iterator[Row]:
        titles = {"gbm50": "GBM 50", "gbm100": "GBM 100", "drf": "DRF 50", "glm": "GLM"}
        for name, title in titles.items():
            score, rows = self._mojos[name].score, self._own[name]
            yield timed(f"our MOJO, {title}", self._calls, lambda turn: score(rows[turn]))  # noqa: B023
        many, rows = self._mojos["gbm100"].score_many, self._own["gbm100"]
        what = f"our MOJO, GBM 100, {world.ROWS:,} rows"
        yield timed(what, self._calls // 50, lambda _: many(rows), per=world.ROWS)

    def _ensemble(self) -> Iterator[Row]:
        places = {name: i for i, name in enumerate(world.FEATURES)}
        bank = Bank(
            ["level" if column.categorical else column.transform for column in stream.columns],
            [(places[a], places[b]) for a, b in stream.crosses],
        )
        models, logit = CompiledModels(bank, RiverModels([]), Ensemble()), -1.4
        labels = self._rows[LABEL].tail(world.ROWS).to_list()
        for row, label in zip(self._vectors, labels, strict=True):
            models.learn(row, label, logit, logit)
        levels = {places[name]: names for name, names in self._levels.items()}
        newest, older = (
            Offline(name, self._mojos[name], list(places), levels) for name in ("gbm100", "gbm50")
        )
        predict, rows = models.predict, self._vectors
        one, two = Serving(newest), Serving(newest, older)
        what = "vector to ensemble, GBM 100"
        yield timed(what, self._calls, lambda turn: predict(rows[turn], one))
        what = "vector to ensemble, GBM 100 and 50"
        yield timed(what, self._calls, lambda turn: predict(rows[turn], two))

    def _scorer(self) -> Iterator[Row]:
        home = self._folder / "home"
        with Scorer.open(self._folder / "headwater.toml", home=home) as scorer:
            log = Home(home).log()
            asked = world.requests(scorer, log)
            log.close()
            score = scorer.score
            what = "Scorer.score of an event"
            yield timed(what, self._calls // 2, lambda turn: score(asked[turn % len(asked)]))

    def _others(self) -> Iterator[Row]:
        labels = self._rows[LABEL].to_numpy().astype(np.float64)
        every = world.vectors(self._rows, self._levels, len(self._rows))
        places = [world.FEATURES.index(name) for name in world.CATEGORICALS]
        try:
            booster = grown(every, labels, places)
        except ImportError as error:
            yield Row(
                "LightGBM 100, one row", 0, 0, 0, 0, missing=f"{error}: pip install '.[bench]'"
            )
            return
        one = lightgbm_row(booster, self._vectors)
        yield timed("LightGBM 100, one row", self._calls // 10, one)
        what = "treelite library of these"
        try:
            compiled = treelite_row(booster, self._vectors, self._folder)
        except (ImportError, OSError, subprocess.SubprocessError) as error:
            yield Row(what, 0, 0, 0, 0, missing=str(error))
            return
        assert abs(compiled(0) - one(0)) < 1e-6
        yield timed(what, self._calls, compiled)

    def _slow(self, server: H2OServer) -> Iterator[Row]:
        own, archive = self._own["gbm100"], self._archives["gbm100"]
        with java.rest(server, archive) as ask:
            calls = max(self._calls // 500, 3)
            yield timed("H2O REST, GBM 100", calls, lambda turn: ask(own[turn]))
        pandas = java.predict_pandas(archive, self._folder)
        calls = max(self._calls // 5_000, 2)
        yield timed("h2o.mojo_predict_pandas", calls, lambda turn: pandas(own[turn]))

    def _service(self, rate: float, seconds: float) -> Iterator[Row]:
        words = [sys.executable, "-m", "bench.bench_rest", "--json"]
        words += ["--rate", str(rate), "--seconds", str(seconds)]
        done = subprocess.run(
            words,
            env=world.environment(self._folder),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        for row in json.loads(done.stdout):
            if row["path"] == "/score":
                what = f"our REST, {row['connections']} at once, {rate:,.0f}/s"
                yield Row(what, row["calls"], row["p50"], row["p99"], row["p999"])


def text(row: Row) -> str:
    """A line of the table for people."""
    if row.missing:
        return f"{row.what:32}  not measured: {row.missing}"
    times = "".join(f"{number:>12,.2f}" for number in (row.p50, row.p99, row.p999))
    return f"{row.what:32}{row.calls:>8,}{times}{row.ratio:>11,.2f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=50_000, help="of a quick line (50000)")
    parser.add_argument("--until", default=UNTIL, metavar="DATE", help=f"of the flights ({UNTIL})")
    parser.add_argument("--rate", type=float, default=1_000.0, help="of our REST (1000 a second)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each round of it (4)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args(arguments)
    if options.calls < 100:
        parser.error(f"--calls must be at least 100; got {options.calls}")
    found: list[Row] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rows = world.run_flights(folder, options.until)
        server = stack.enter_context(H2OServer(work_dir=folder))
        archives = world.fitted(server, folder / "rows.parquet")
        bench = Bench(folder, rows, archives, options.calls)
        tune_collector()
        if not options.json:
            print(f"{'µs per row':32}{'calls':>8}{'p50':>12}{'p99':>12}{'p999':>12}{'ratio':>11}")
        for row in bench.lines(server, options.rate, options.seconds):
            first = found[0].p50 if found else row.p50
            found.append(msgspec.structs.replace(row, ratio=row.p50 / first))
            if not options.json:
                print(text(found[-1]), flush=True)
    if options.json:
        print(msgspec.json.encode(found).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
