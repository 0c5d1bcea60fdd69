"""Estimates before labels: how far off they are, how often intervals hold, when they are trusted.

A right model meets requests that differ from those before (covariate shift): rates and columns
move, and its probabilities stay right. Then the world changes (concept drift) in the ways of
`bench_drift`, and the estimate must be called untrusted no later than an alarm comes. The cost is
that of counting each request and each label, as a part of all that a shard of quotes does for it,
in turns with a shard that counts nothing.

    python -m bench.bench_estimates             some five minutes
"""

import argparse
import math
import statistics
import time
from itertools import islice
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from bench.bench_drift import CHANGES, LIMIT, Month, month
from flows.streams.quotes import stream
from flows.streams.quotes_market import Market
from models.judging.drift import alarming, detect, detectors
from models.judging.estimates import ESTIMATED, Estimated, expected, realised
from models.judging.histograms import BINS, column, histogram_of
from models.judging.waiting_counts import Turns, WaitingCounts
from operators.shard.messages import Records
from operators.shard.shard import Shard
from state.log import Record
from state.settings import settings_from

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

SHIFTS: dict[str, tuple[float, float]] = {
    "as before": (-1.2, 1.3),
    "rarer label 1": (-2.2, 1.3),
    "more label 1": (0.0, 1.3),
    "wider requests": (-1.2, 2.2),
    "narrower requests": (-1.2, 0.9),
}
"""Mean and standard deviation of the true log odds of the requests."""

_THRESHOLD = 0.4


class Off(NamedTuple):
    """Cases of one world and size.

    Attributes:
        auc: Mean distance of the expected AUC from the one that came.
        side: Mean of expected minus came.
        held: Share of the cases in which the interval held what came, by metric.
    """

    auc: float
    side: float
    held: dict[Estimated, float]


def off(shift: tuple[float, float], rows: int, cases: int, sure: float = 1.0) -> Off:
    """Compare estimates with what came.

    Args:
        shift: See `SHIFTS`.
        rows: Requests of a case.
        cases: Number of cases.
        sure: Factor of the log odds that the model says.
    """
    errors: list[float] = []
    held: dict[Estimated, list[bool]] = {name: [] for name in ESTIMATED}
    for case in range(cases):
        random = np.random.default_rng([rows, case])
        odds = random.normal(*shift, rows)
        labels = (random.random(rows) < 1.0 / (1.0 + np.exp(-odds))).astype(np.int64)
        said = 1.0 / (1.0 + np.exp(-sure * odds))
        calls = (said >= _THRESHOLD).astype(np.int64)
        foreseen = expected(histogram_of(calls, said))
        counts = np.zeros((2, 2, BINS), np.int64)
        np.add.at(counts, (labels, calls, np.array([column(p) for p in said.tolist()])), 1)
        came = realised(counts)
        for name, of in foreseen.items():
            if name in came:
                held[name].append(of.low <= came[name] <= of.high)
        if "auc" in foreseen and "auc" in came:
            errors.append(foreseen["auc"].value - came["auc"])
    shares = {name: float(np.mean(of)) for name, of in held.items() if of}
    if not errors:
        return Off(math.nan, math.nan, shares)
    return Off(float(np.mean(np.abs(errors))), float(np.mean(errors)), shares)


@numba.njit
def _watch(state: Any, labels: Any, said: Any, times: Any, half: float, limit: float) -> Any:
    """Number of labels until the first doubt and the first alarm, and in doubt."""
    doubt = alarm = len(labels)
    doubted = 0
    for i in range(len(labels)):
        detect(state, labels[i], said[i], times[i])
        if alarming(state, half) >= 0:
            doubted += 1
            doubt = min(doubt, i)
            if alarming(state, limit) >= 0:
                alarm = min(alarm, i)
    return doubt, alarm, doubted


def watched(of: Month) -> tuple[int, int, int]:
    """See `_watch`."""
    found: tuple[int, int, int] = _watch(
        detectors(), of.labels, of.said, of.times, math.sqrt(LIMIT), LIMIT
    )
    return found


class Uncounted(WaitingCounts):
    """Counts nothing."""

    def add(self, answer: float) -> None:
        """Ignore it."""

    def judge(self, turn: int, label: int, answer: float) -> None:
        """Ignore it."""


class Cost(NamedTuple):
    """The cost of counting.

    Attributes:
        request: Of a request, µs.
        label: Of a label, µs.
        ratio: Time of a shard that counts against one that does not, the median of the rounds.
    """

    request: float
    label: float
    ratio: float


def cost(events: int, rounds: int) -> Cost:
    """Measure it, both shards in turns."""
    market = Market(seed=5, rate_per_s=1.1 * events / 3600)
    records = [
        Record(i, 0, b"", event) for i, event in enumerate(islice(market.events(2.0), events))
    ]
    settings = settings_from({"stream": "quotes", "clock": {"tolerance": "36500d"}})
    own, ratios = [], []
    for _ in range(rounds):
        seconds = {}
        for kind in (WaitingCounts, Uncounted):
            shard = Shard(stream, settings, 0)
            shard._learning.waiting = kind(0.5)  # noqa: SLF001 - nobody else leaves it out
            started = time.process_time()
            for begin in range(0, events, 1_000):
                shard.apply(Records(records[begin : begin + 1_000]))
            seconds[kind] = time.process_time() - started
        ratios.append(seconds[WaitingCounts] / seconds[Uncounted])
        own.append(_alone(WaitingCounts(0.5), 100_000))
    request, label = (min(of) for of in zip(*own, strict=True))
    return Cost(request, label, statistics.median(ratios[1:]))


def _alone(counts: WaitingCounts, n: int) -> tuple[float, float]:
    said = np.random.default_rng(1).random(n).tolist()
    counts.begin(0.5, said[:100])
    counts.tick(0, Turns(0, n), trusted=True)
    marks = [time.process_time()]
    for p in said:
        counts.add(p)
    marks.append(time.process_time())
    for turn, p in enumerate(said):
        counts.judge(turn, 1, p)
    marks.append(time.process_time())
    request, label = np.diff(marks) / n * 1e6
    return float(request), float(label)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=1_000)
    parser.add_argument("--months", type=int, default=20)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--events", type=int, default=20_000)
    arguments = parser.parse_args()
    print(f"{'requests':18} rows  |AUC off|    side   " + "".join(f"{n:>10}" for n in ESTIMATED))
    for name, shift, sure in [(n, s, 1.0) for n, s in SHIFTS.items()] + [
        ("twice too sure", SHIFTS["as before"], 2.0)
    ]:
        for rows in (100, 500, 5_000):
            of = off(shift, rows, arguments.cases, sure)
            held = "".join(
                f"{of.held[n]:10.1%}" if n in of.held else f"{'-':>10}" for n in ESTIMATED
            )
            print(f"{name:18}{rows:5,} {of.auc:9.4f} {of.side:+8.4f}  {held}", flush=True)
    found = [watched(month(seed)) for seed in range(arguments.months)]
    share = sum(of[2] for of in found) / (arguments.months * len(month(0).labels))
    print(f"\nright answers: untrusted {share:.2%} of the time in {arguments.months} months")
    print("labels until      untrusted   alarm")
    for name, truth in CHANGES.items():
        runs = [watched(month(1_000 + seed, 5, truth)) for seed in range(arguments.runs)]
        doubt, alarm, _ = np.median(runs, axis=0)
        late = sum(of[0] > of[1] for of in runs)
        print(
            f"{name:20}{doubt:7,.0f} {alarm:7,.0f}   later than the alarm in {late} of {len(runs)}"
        )
    of_shard = cost(arguments.events, 7)
    print(
        f"\ncounting: {of_shard.request:.2f} µs a request, {of_shard.label:.2f} µs a label; "
        f"a shard of quotes takes {of_shard.ratio:.3f} times as long as without"
    )


if __name__ == "__main__":
    main()
