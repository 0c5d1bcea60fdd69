"""Quality of predictions: one table per exported outcomes file, with 95 % intervals.

Intervals come from a block bootstrap by UTC day: whole days are drawn again, so that the errors of
one day may depend on each other.
"""

import argparse
import itertools
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

MODELS = {
    "online": "online",
    "offline": "offline",
    "residual": "residual",
    "ensemble": "probability",
}
PARENTS = ("online", "offline")
SIGN = {"auc": 1, "log_loss": -1, "brier": -1, "f1": 1}
METRICS = tuple(SIGN)
DEFAULTS: dict[str, tuple[date, date, tuple[float, ...]]] = {
    "flights": (date(2013, 2, 1), date(2013, 12, 31), ()),
    "quotes": (date(1970, 1, 1), date(2099, 12, 31), (1.0, 3.0, 6.0, 24.0)),
}
BINS = 2_000  # of the probabilities' ranks, for the resampled AUC only

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Estimate(msgspec.Struct, frozen=True):
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, resampled: Floats) -> "Estimate":
        """The figure itself, with the interval that its resamples span."""
        low, high = np.nanquantile(resampled, [0.025, 0.975])
        return cls(float(value), float(low), float(high))


class Slice(msgspec.Struct, frozen=True):
    """The log-loss of every model over a part of the rows."""

    name: str
    requests: int
    log_loss: dict[str, float]


class Check(msgspec.Struct, frozen=True):
    """One target and whether it was met."""

    what: str
    passed: bool


class Report(msgspec.Struct, frozen=True):
    """Everything the command prints."""

    first: str
    last: str
    requests: int
    without_offline: int
    base_rate: float
    models: dict[str, dict[str, Estimate]]
    gains: dict[str, dict[str, Estimate]]
    blocks: list[Slice]
    ages: list[Slice]
    checks: list[Check]


def exact_auc(labels: Ints, probabilities: Floats) -> float:
    """Chance that a positive scores above a negative; ties count half."""
    _, inverse, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    ranks = (counts.cumsum() - (counts - 1) / 2)[inverse]
    positives = int(labels.sum())
    pairs = positives * (len(labels) - positives)
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / pairs)


def log_losses(labels: Ints, probabilities: Floats) -> Floats:
    """Each row's loss; probabilities are kept off 0 and 1 by 1e-15."""
    of_label = np.where(labels == 1, probabilities, 1 - probabilities)
    losses: Floats = -np.log(np.clip(of_label, 1e-15, 1.0))
    return losses


class Resampler:
    """Draws days anew; every model sees the same draws, so differences are paired."""

    def __init__(self, days: Ints, resamples: int, seed: int) -> None:
        self._days = days
        self._n = int(days.max()) + 1
        drawn = np.random.default_rng(seed).integers(self._n, size=(resamples, self._n))
        self._times = np.array([np.bincount(row, minlength=self._n) for row in drawn], dtype=float)

    def total(self, values: Floats) -> Floats:
        """Sum over the rows of each resample."""
        return self._times @ np.bincount(self._days, weights=values, minlength=self._n)

    def auc(self, labels: Ints, probabilities: Floats) -> Floats:
        """AUC of each resample, from `BINS` bins of equal count."""
        edges = np.quantile(probabilities, np.linspace(0, 1, BINS + 1)[1:-1])
        cells = self._days * BINS + np.searchsorted(edges, probabilities)
        up, down = (
            self._times
            @ np.bincount(cells, weights=weights, minlength=self._n * BINS).reshape(-1, BINS)
            for weights in (labels, 1 - labels)
        )
        below = down.cumsum(axis=1) - down / 2
        auc: Floats = (up * below).sum(axis=1) / (up.sum(axis=1) * down.sum(axis=1))
        return auc


def measure(
    labels: Ints, probabilities: Floats, threshold: float, resampler: Resampler
) -> dict[str, tuple[float, Floats]]:
    """Each metric of one model: its value and its resamples."""
    decided = probabilities >= threshold
    hit, said, were = (
        (decided & (labels == 1)).astype(float),
        decided.astype(float),
        labels.astype(float),
    )
    losses, squares = log_losses(labels, probabilities), (probabilities - labels) ** 2
    ones = np.ones(len(labels))
    total = resampler.total
    return {
        "auc": (exact_auc(labels, probabilities), resampler.auc(labels, probabilities)),
        "log_loss": (losses.mean(), total(losses) / total(ones)),
        "brier": (squares.mean(), total(squares) / total(ones)),
        "f1": (
            2 * hit.sum() / (said.sum() + were.sum()),
            2 * total(hit) / (total(said) + total(were)),
        ),
    }


def sliced(name: str, rows: pl.DataFrame) -> Slice:
    """The log-loss of every model over these rows."""
    labels = rows["label"].to_numpy()
    return Slice(
        name,
        rows.height,
        {
            model: float(log_losses(labels, rows[column].to_numpy()).mean())
            for model, column in MODELS.items()
        },
    )


def two_month_blocks(rows: pl.DataFrame) -> list[Slice]:
    """Two calendar months at a time, from the first row's month on."""
    month = pl.col("event_time").dt.year() * 12 + pl.col("event_time").dt.month() - 1
    numbered = rows.with_columns(month=month)
    block = (pl.col("month") - pl.col("month").min()) // 2
    parts = numbered.with_columns(block=block).sort("event_time").partition_by("block")
    return [sliced(f"{part['event_time'][0]:%Y-%m}", part) for part in parts]


def by_age(rows: pl.DataFrame, boundaries_h: Sequence[float]) -> list[Slice]:
    """Sliced by how long the offline model had been in use, since its id first appeared."""
    since = pl.col("event_time") - pl.col("active_since")
    hours = rows.with_columns(age_h=since.dt.total_seconds() / 3600)
    slices = []
    for low, high in itertools.pairwise((0.0, *boundaries_h)):
        part = hours.filter(pl.col("age_h").is_between(low, high, closed="left"))
        if not part.is_empty():
            slices.append(sliced(f"{low:g}-{high:g} h", part))
    return slices


def flights_checks(report: "Report") -> list[Check]:
    """The targets of the flights stream, and the alarm that the future got in."""
    ensemble = {metric: each.value for metric, each in report.models["ensemble"].items()}
    worst = min(gain(block, parent) for block in report.blocks for parent in PARENTS)
    return [
        Check("ensemble AUC >= .810", ensemble["auc"] >= 0.810),
        Check("ensemble log-loss <= .409", ensemble["log_loss"] <= 0.409),
        Check("ensemble Brier <= .1275", ensemble["brier"] <= 0.1275),
        Check(
            f"gain over each parent >= .002 in every two months (least {worst:.4f})", worst >= 0.002
        ),
        Check(
            "no leak: no model has log-loss < .400 or AUC > .82",
            all(
                each["log_loss"].value >= 0.400 and each["auc"].value <= 0.82
                for each in report.models.values()
            ),
        ),
    ]


def quotes_checks(report: "Report") -> list[Check]:
    """The targets of the quotes stream."""
    least = min(report.gains[parent]["log_loss"].value for parent in PARENTS)
    decay = [each.log_loss["offline"] for each in report.ages]
    rising = len(decay) > 1 and all(young < old for young, old in itertools.pairwise(decay))
    return [
        Check(f"gain over the better parent >= .03 (is {least:.4f})", least >= 0.03),
        Check("the offline model's log-loss rises with its age", rising),
    ]


def gain(part: Slice, parent: str) -> float:
    """The ensemble's log-loss below that of a parent."""
    return part.log_loss[parent] - part.log_loss["ensemble"]


CHECKS = {"flights": flights_checks, "quotes": quotes_checks}


def reported(rows: pl.DataFrame, options: argparse.Namespace) -> Report:
    """All figures of the rows in the range asked for."""
    judged = rows.drop_nulls(["offline", "residual"])
    if judged.is_empty():
        sys.exit(f"no outcome with an offline model from {options.first} to {options.last}")
    labels = judged["label"].cast(pl.Int64).to_numpy()
    days = judged["event_time"].dt.date().rank("dense").cast(pl.Int64).to_numpy() - 1
    resampler = Resampler(days, options.resamples, options.seed)
    measured = {
        model: measure(labels, judged[column].to_numpy(), options.threshold, resampler)
        for model, column in MODELS.items()
    }
    best = measured["ensemble"]
    report = Report(
        first=str(judged["event_time"].min()),
        last=str(judged["event_time"].max()),
        requests=judged.height,
        without_offline=rows.height - judged.height,
        base_rate=float(labels.mean()),
        models={
            model: {metric: Estimate.of(*pair) for metric, pair in metrics.items()}
            for model, metrics in measured.items()
        },
        gains={
            parent: {
                metric: Estimate.of(
                    SIGN[metric] * (best[metric][0] - measured[parent][metric][0]),
                    SIGN[metric] * (best[metric][1] - measured[parent][metric][1]),
                )
                for metric in METRICS
            }
            for parent in PARENTS
        },
        blocks=two_month_blocks(judged),
        ages=by_age(judged, options.by_age),
        checks=[],
    )
    return msgspec.structs.replace(report, checks=CHECKS[options.stream](report))


def text(report: Report) -> str:
    """The report for people."""
    lines = [
        f"{report.requests:,} requests from {report.first} to {report.last}",
        f"{report.base_rate:.1%} positive; {report.without_offline:,} left out: no offline model",
        "",
        f"{'':20}" + "".join(f"{metric:>28}" for metric in METRICS),
        *(row(model, metrics) for model, metrics in report.models.items()),
        *(row(f"gain over {parent}", metrics) for parent, metrics in report.gains.items()),
    ]
    for title, slices in (("two months from", report.blocks), ("model's age", report.ages)):
        if slices:
            names = (*MODELS, *(f"over {parent}" for parent in PARENTS))
            lines += ["", f"{title:20}{'requests':>12}" + "".join(f"{n:>14}" for n in names)]
            lines += map(slice_row, slices)
    lines += [
        "",
        *(f"{'PASS' if check.passed else 'FAIL'}  {check.what}" for check in report.checks),
    ]
    return "\n".join(lines)


def row(name: str, metrics: dict[str, Estimate]) -> str:
    """One model's figures with their intervals."""
    cells = (f"{e.value:.4f} [{e.low:.4f}, {e.high:.4f}]" for e in map(metrics.get, METRICS) if e)
    return f"{name:20}" + "".join(f"{cell:>28}" for cell in cells)


def slice_row(part: Slice) -> str:
    """One slice's log-losses, and the ensemble's gains."""
    figures = (*part.log_loss.values(), *(gain(part, parent) for parent in PARENTS))
    return f"{part.name:20}{part.requests:>12,}" + "".join(f"{x:>14.4f}" for x in figures)


def read(files: Sequence[Path], first: date, last: date) -> pl.DataFrame:
    """The outcomes of whole UTC days, first to last."""
    wanted = ["event_time", "label", "model", *MODELS.values()]
    rows = pl.scan_parquet(list(files)).select(wanted)
    dated = rows.with_columns(active_since=pl.col("event_time").min().over("model"))
    day = pl.col("event_time").dt.date()
    return dated.filter(day.is_between(first, last)).collect()


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  headwater export outcomes --out outcomes.parquet\n"
        "  python bench/bench_quality.py outcomes.parquet",
    )
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="exported outcomes, Parquet")
    add("--stream", choices=sorted(CHECKS), default="flights", help="whose targets to hold")
    add("--from", dest="first", type=date.fromisoformat, help="first day (flights: 2013-02-01)")
    add("--to", dest="last", type=date.fromisoformat, help="last day (flights: 2013-12-31)")
    add("--by-age", type=hours, help="edges of the offline model's age, hours (quotes: 1,3,6,24)")
    add("--threshold", type=float, default=0.5, help="of the decision that F1 judges (0.5)")
    add("--resamples", type=int, default=1_000, help="of the bootstrap (1000)")
    add("--seed", type=int, default=1, help="of the bootstrap (1)")
    add("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    usual = DEFAULTS[options.stream]
    options.first, options.last = options.first or usual[0], options.last or usual[1]
    options.by_age = options.by_age if options.by_age is not None else usual[2]
    return options


def hours(edges: str) -> tuple[float, ...]:
    """Increasing positive hours, separated by commas."""
    parsed_edges = tuple(map(float, edges.split(",")))
    if any(low >= high for low, high in itertools.pairwise((0.0, *parsed_edges))):
        msg = f"ages must be positive and increase; got {edges}"
        raise argparse.ArgumentTypeError(msg)
    return parsed_edges


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; 0 when every check passed."""
    options = parsed(arguments)
    report = reported(read(options.files, options.first, options.last), options)
    print(
        msgspec.json.format(msgspec.json.encode(report)).decode() if options.json else text(report)
    )
    return 0 if all(check.passed for check in report.checks) else 1


if __name__ == "__main__":
    sys.exit(main())
