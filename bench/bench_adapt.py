"""Adaptation without tuning: streams with known rules, one settings file, no step sizes.

Each stream is ingested into a home of its own and run with refits every twelve hours. Beside what
was predicted stand the truth's own log-loss and the best single step in hindsight: a learner alone
or on the offline model's logit, by the best of a grid of steps. From the first fit on; `worst 12 h`
is the ensemble's log-loss less the best parent's, in the worst block of twelve hours.

    python -m bench.bench_adapt                       some half an hour
    python -m bench.bench_adapt --only 6h --json
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numba
import numpy as np
import polars as pl
from numpy.typing import NDArray

from bench.adapt_streams import Rule, column_names, draw, events
from models.linear import bank_kernels as kernels
from models.linear.autostep_kernels import KEPT
from models.linear.bank import OWN
from models.linear.places import IDENTITY, LEVEL, sigmoid
from models.linear.scaling import FIRST

Floats = NDArray[np.float64]

FADING = (0.003, 0.01, 0.03, 0.08, 0.2, 0.5)
LASTING = (0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
PARENTS = ("online", "offline", "residual")
ALLOWED = 0.002
_BLOCK_US = 12 * 3_600_000_000
_HASHED = 2**12

_WANDERS = (1.0, 3.0, 6.0, 24.0)
_KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("3 columns", {"columns": 3}),
    ("60 columns", {"columns": 60}),
    ("60 columns, 2 %, silence", {"columns": 60, "base_rate": 0.02, "by_silence": True}),
)
RULES = tuple(
    Rule(f"{name}, {kind}", hours=hours, flips=flips, **of)
    for name, hours, flips in (
        *((f"{hours:.0f}h", hours, False) for hours in _WANDERS),
        ("no drift", None, False),
        ("flips each 12h", 12.0, True),
    )
    for kind, of in _KINDS
)


class Row(msgspec.Struct, frozen=True):
    """Log-loss on one stream.

    Attributes:
        stream: The stream's name.
        requests: Number of requests that count.
        truth: Log-loss of the rule's own probabilities.
        online: Log-loss of the online model.
        offline: Log-loss of the offline model in use.
        residual: Log-loss of the residual model.
        ensemble: Log-loss of the answers.
        best_step: Log-loss of the best single step in hindsight.
        step: The name of that step.
        worst_block: Ensemble less best parent, in the worst block of twelve hours.
    """

    stream: str
    requests: int
    truth: float
    online: float
    offline: float
    residual: float
    ensemble: float
    best_step: float
    step: str
    worst_block: float

    @property
    def passes(self) -> bool:
        """Whether no single part was better than the ensemble by more than the limit."""
        return self.worst_block <= ALLOWED and self.ensemble <= self.best_step + ALLOWED


def run(rule: Rule, home: Path) -> Row:
    """Run a stream through Headwater in a new home, and measure it."""
    drawn = draw(rule)
    home.mkdir(parents=True)
    with (home / "events.jsonl").open("wb") as file:
        file.writelines(event + b"\n" for event in events(rule, drawn))
    name = "wide" if rule.columns == 60 else "narrow"
    settings = home / "headwater.toml"
    settings.write_text(
        f'stream = "bench.adapt_streams:{name}"\n\n[training]\nevery = "12h"\nvalidation = "2h"\n'
    )
    outcomes = home / "outcomes.parquet"
    for words in (
        ("ingest", str(home / "events.jsonl")),
        ("run",),
        ("export", "outcomes", "--out", str(outcomes)),
    ):
        _headwater(words, home, settings)
    rows = pl.read_parquet(outcomes)
    order = rows["id"].str.slice(1).cast(pl.Int64)
    return measured(rule, rows.with_columns(order.alias("at")).sort("at"), drawn.truth)


def measured(rule: Rule, rows: pl.DataFrame, truth: Floats) -> Row:
    """The row of one stream.

    Args:
        rule: The stream's rule.
        rows: Its outcomes in the order of the requests, `at` says which each one is.
        truth: float64[requests], the rule's probabilities.
    """
    label = rows["label"].to_numpy().astype(float)
    of = {
        name: _losses(rows[column].cast(pl.Float64).to_numpy(), label)
        for name, column in (*((p, p) for p in PARENTS), ("ensemble", "probability"))
    }
    of["truth"] = _losses(truth[rows["at"].to_numpy()], label)
    counted = rows["offline"].is_not_null().to_numpy()
    block = rows["event_time"].dt.epoch("us").to_numpy() // _BLOCK_US
    worst = max(
        of["ensemble"][here].mean() - min(of[p][here].mean() for p in PARENTS)
        for here in (counted & (block == b) for b in np.unique(block[counted]))
    )
    steps = {
        name: float(_losses(p, label)[counted].mean())
        for name, p in single_steps(rows, column_names(rule.columns)).items()
    }
    best = min(steps, key=steps.__getitem__)
    means = {name: float(losses[counted].mean()) for name, losses in of.items()}
    return Row(
        rule.name, int(counted.sum()), **means, best_step=steps[best], step=best,
        worst_block=float(worst),
    )  # fmt: skip


def single_steps(rows: pl.DataFrame, numbers: Sequence[str]) -> dict[str, Floats]:
    """Probabilities from one learner for each step of the grid, alone and on the offline logit.

    Args:
        rows: Outcomes in the order of the requests.
        numbers: The columns that are numbers; beside them there is `site`.
    """
    site = rows["site"].cast(pl.String).rank("dense").to_numpy().astype(float)
    vectors = np.column_stack([rows.select(numbers).to_numpy(), site])
    kinds = np.array([IDENTITY] * len(numbers) + [LEVEL], np.int64)
    p = np.clip(rows["offline"].cast(pl.Float64).fill_null(np.nan).to_numpy(), 1e-6, 1 - 1e-6)
    asked, told = (rows[c].dt.epoch("us").to_numpy() for c in ("event_time", "label_time"))
    n = len(rows)
    order = np.argsort(np.concatenate([asked, told]), kind="stable")
    said = _simulate(
        order, vectors, kinds, rows["label"].to_numpy().astype(float), np.log(p / (1 - p)),
        np.array((*FADING, *LASTING, OWN)), len(FADING),
    )  # fmt: skip
    names = [*(f"AdaGrad {r:g}" for r in FADING), *(f"lasting {r:g}" for r in LASTING), "its own"]
    alone = {f"online {name}": said[:n, i] for i, name in enumerate(names)}
    return alone | {f"residual {name}": said[n:, i] for i, name in enumerate(names)}


@numba.njit(nogil=True)
def _simulate(
    order: Any, vectors: Any, kinds: Any, label: Any, offline: Any, rates: Any, n_fading: int
) -> Any:
    """Probabilities of the learners alone, then on the offline logit: float64[2 n, members]."""
    n, width = vectors.shape
    members = len(rates)
    crosses = np.zeros((0, 2), np.int64)
    scale, first = np.zeros((width, 3)), np.zeros((width, FIRST))
    n_places = width + 1 + _HASHED
    weights = np.zeros((n_places + 1, kernels.SLOTS * members))
    memory = np.zeros((n_places + 1, kernels.SLOTS * (n_fading + KEPT)))
    rows, places = np.zeros(n_places, np.int32), np.zeros(n_places + 1, np.int64)
    held = (weights, memory, rows, places, np.zeros(1, np.int64), rates)
    place, value = np.empty(width + 1, np.int64), np.empty(width + 1)
    sums = np.empty(kernels.SLOTS * members)
    said = np.full((2 * n, members), np.nan)
    offsets = np.full(kernels.SLOTS, np.nan)
    for event in order:
        i = event % n
        row = vectors[i]
        if event >= n:
            kernels.rescale(row, kinds, scale, first)
        m, norm = kernels.design(row, kinds, crosses, scale, _HASHED, place, value)
        if event < n:
            kernels.respond(weights, rows, place, value, m, sums)
            for c in range(members):
                said[i, c] = sigmoid(sums[c])
                said[n + i, c] = sigmoid(sums[members + c] + offline[i])
        else:
            offsets[0], offsets[1] = 0.0, offline[i]
            entries = (place, value, m, norm)
            kernels.learn(held, entries, label[i], offsets)
    return said


def _losses(p: Floats, label: Floats) -> Floats:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(-(label * np.log(p) + (1 - label) * np.log(1 - p)))


def _headwater(words: Sequence[str], home: Path, settings: Path) -> None:
    environment = os.environ | {"HEADWATER_HOME": str(home), "HEADWATER_CONFIG": str(settings)}
    done = subprocess.run(
        [sys.executable, "-m", "flows", *words],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        msg = f"headwater {words[0]} must end well; got {done.stderr.strip()[-500:]}"
        raise RuntimeError(msg)


def _line(row: Row) -> str:
    return (
        f"{row.stream:40}{row.truth:8.4f}{row.online:8.4f}{row.offline:9.4f}{row.residual:10.4f}"
        f"{row.ensemble:10.4f}{row.best_step:11.4f}{row.worst_block:+12.4f}  "
        f"{'ok' if row.passes else 'worse':6}{row.step}"
    )


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="streams whose name has this in it")
    parser.add_argument("--json", action="store_true", help="one JSON line a stream")
    arguments = parser.parse_args()
    rules = [rule for rule in RULES if arguments.only in rule.name]
    if not rules:
        parser.error(f"no stream's name has {arguments.only!r} in it")
    if not arguments.json:
        print(
            f"{'stream':40}{'truth':>8}{'online':>8}{'offline':>9}{'residual':>10}"
            f"{'ensemble':>10}{'best step':>11}{'worst 12 h':>12}"
        )
    passes = True
    with TemporaryDirectory() as folder:
        for i, rule in enumerate(rules):
            row = run(rule, Path(folder) / str(i))
            print(msgspec.json.encode(row).decode() if arguments.json else _line(row), flush=True)
            passes = passes and row.passes
    return 0 if passes else 1


if __name__ == "__main__":
    sys.exit(_main())
