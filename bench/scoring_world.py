"""Inputs of the scoring bench: a flow's home, models fitted on its outcomes, vectors."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from flows.scorer import RequestError, Scorer
from flows.streams.flights import stream
from models.h2o.build import build
from models.h2o.frames import LABEL, TIMES, import_files, tidy
from models.h2o.search import GRIDS
from models.h2o.server import H2OServer
from state.events import Event
from state.log import EVENTS, Log

ROWS = 1_000
FEATURES = [column.name for column in stream.columns]
CATEGORICALS = [column.name for column in stream.columns if column.categorical]
FITS = {"gbm50": ("gbm", 50), "gbm100": ("gbm", 100), "drf": ("drf", 50), "glm": ("glm", 0)}
SETTINGS = """\
stream = "flights"
[training]
every = "21d"
[serve]
port = 0
"""


def environment(folder: Path) -> dict[str, str]:
    """Environment of commands that work on the home in a folder."""
    return {
        **os.environ,
        "HEADWATER_CONFIG": str(folder / "headwater.toml"),
        "HEADWATER_HOME": str(folder / "home"),
    }


def run_flights(folder: Path, until: str) -> pl.DataFrame:
    """Run the flights up to a day, one fit among them; their outcomes."""
    (folder / "headwater.toml").write_text(SETTINGS)
    headwater(folder, "run", "--until", until)
    out = folder / "outcomes.parquet"
    headwater(folder, "export", "outcomes", "--out", str(out))
    rows = pl.read_parquet(out).select(*TIMES, LABEL, *FEATURES)
    rows.write_parquet(folder / "rows.parquet", compression="zstd", row_group_size=100_000)
    return rows


def headwater(folder: Path, *words: str) -> None:
    """A command of ours, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "flows", *words],
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)


def fitted(server: H2OServer, rows: Path) -> dict[str, bytes]:
    """MOJOs of all of `FITS`, with the parameters that a search tries first."""
    archives = {}
    with tidy(server) as prefix:
        import_files(server, f"{prefix}rows", [rows], FEATURES, CATEGORICALS)
        for name, (algorithm, trees) in FITS.items():
            parameters = {key: values[0] for key, values in GRIDS[algorithm].items()}
            if trees:
                parameters["ntrees"] = trees
            model = f"{prefix}{name}"
            build(server, algorithm, model, training_frame=f"{prefix}rows", seed=1, **parameters)
            archives[name] = server.download(f"GET /3/Models/{model}/mojo")
    return archives


def requests(scorer: Scorer, log: Log) -> list[Event]:
    """Requests near the end of a log that a scorer there still answers, under new ids."""
    decode = stream.decoder().decode
    found: list[Event] = []
    for record in log.read(EVENTS, 0, max(log.end(EVENTS, 0) - ROWS, 0)):
        event = decode(record.value)
        if isinstance(event, stream.request):
            asked = msgspec.structs.replace(event, id=f"bench-{record.offset}")
            try:
                scorer.score(asked)
            except RequestError:
                continue
            found.append(asked)
    if not found:
        msg = f"scorer must answer a request of the log; got none at {scorer.as_of}"
        raise SystemExit(msg)
    return found


def vectors(
    rows: pl.DataFrame, levels: dict[str, list[str]], newest: int = ROWS
) -> NDArray[np.float64]:
    """The newest rows as a stream's vectors: a level is its number in its list."""
    columns = []
    for name in FEATURES:
        column = rows[name].tail(newest)
        if name in levels:
            codes = {level: float(i) for i, level in enumerate(levels[name])}
            column = column.replace_strict(codes, default=None, return_dtype=pl.Float64)
        columns.append(column.cast(pl.Float64).fill_null(np.nan).to_numpy())
    return np.ascontiguousarray(np.column_stack(columns))
