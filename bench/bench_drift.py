"""Detectors of drift: false alarms in seasons, and how soon a change is found.

A model that is right answers requests whose base rate swings by hour and week, 10,000 a day. Alarms
in these months are false. Then the world changes, and the delay is the number of labels until the
first alarm. Ours are the detectors of `models/judging/drift.py`, with a year between two false
alarms; beside them stand River's, on log-loss, 0/1 error or y - p, as they come.

    python -m bench.bench_drift                       some five minutes
    python -m bench.bench_drift --months 40 --river 0
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from river import drift
from river.drift import binary

from models.judging.drift import alarming, detect, detectors

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

DAY_US, PER_DAY, MONTH = 86_400_000_000, 10_000, 30
LIMIT = 365.0 * PER_DAY
CHANGES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "rate + .3 logit": lambda base, x: base + x + 0.3,
    "a feature loses 40 %": lambda base, x: base + 0.6 * x,
    "sign flip": lambda base, x: base - x,
}
RIVER: dict[str, tuple[Callable[[], Any], str]] = {
    "ADWIN on log-loss": (drift.ADWIN, "loss"),
    "ADWIN on y - p": (drift.ADWIN, "residual"),
    "PageHinkley on log-loss": (drift.PageHinkley, "loss"),
    "HDDM_A on 0/1 error": (binary.HDDMA, "error"),
}


class Month(NamedTuple):
    """Requests of a month: their times (µs), the model's probabilities, and labels."""

    times: Floats
    said: Floats
    labels: Labels


def month(
    seed: int, days: int = MONTH, truth: Callable[[Floats, Floats], Floats] | None = None
) -> Month:
    """A month's requests.

    Args:
        seed: Of everything random.
        days: Number of days.
        truth: True logits, from base rate and feature; None: the model is right.
    """
    random = np.random.default_rng(seed)
    times = np.arange(days * PER_DAY, dtype=np.float64) * (DAY_US / PER_DAY)
    day = times / DAY_US
    base = 0.8 * np.sin(2 * np.pi * day) + 0.5 * np.sin(2 * np.pi * day / 7) - 1.2
    x = random.normal(size=len(day))
    right = base + x
    true = right if truth is None else truth(base, x)
    chances = 1.0 / (1.0 + np.exp(-np.stack([right, true])))
    labels = (random.random(len(day)) < chances[1]).astype(np.int64)
    return Month(times, chances[0], labels)


@numba.njit
def _alarm(state: Any, labels: Any, said: Any, times: Any, begin: int, limit: float) -> int:
    for i in range(begin, len(labels)):
        detect(state, labels[i], said[i], times[i])
        if alarming(state, limit) >= 0:
            return i
    return -1


def ours(of: Month) -> list[int]:
    """Numbers of the labels at which there is an alarm; the detectors start again after each."""
    found, begin, state = [], 0, detectors()
    while (at := _alarm(state, of.labels, of.said, of.times, begin, LIMIT)) >= 0:
        found.append(at)
        begin, state = at + 1, detectors()
    return found


def rivers(of: Month, make: Callable[[], Any], kind: str) -> list[int]:
    """`ours`, by a detector of River."""
    given = {
        "loss": -np.log(np.where(of.labels == 1, of.said, 1.0 - of.said)),
        "residual": of.labels - of.said,
        "error": (of.said >= 0.5) != of.labels,
    }[kind].tolist()
    detector, found = make(), []
    for i, value in enumerate(given):
        detector.update(value)
        if detector.drift_detected:
            found.append(i)
            detector = make()
    return found


_Row = tuple[str, Callable[[Month], list[int]], int, int]
"""Name of a detector, its alarms, and the numbers of months and of runs."""


def delays(alarms: Callable[[Month], list[int]], runs: int, days: int) -> list[str]:
    """Median delay after each change, in labels."""
    told = []
    for truth in CHANGES.values():
        found = [alarms(month(1_000 + seed, days, truth)) for seed in range(runs)]
        told.append(f"{np.median([one[0] if one else days * PER_DAY for one in found]):,.0f}")
    return told


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=40, help="months for our detectors")
    parser.add_argument("--river", type=int, default=1, help="months for River's; 0: none")
    parser.add_argument("--runs", type=int, default=15, help="runs for each change")
    arguments = parser.parse_args()
    heads = "".join(f"{name:>22}" for name in CHANGES)
    print(f"{'detector':26}{'alarms/month':>14}{heads}{'µs/label':>10}")
    rows: list[_Row] = [("ours", ours, arguments.months, arguments.runs)]
    for name, (make, kind) in RIVER.items() if arguments.river else ():
        rows.append((name, partial(rivers, make=make, kind=kind), arguments.river, 3))
    ours(month(0, 1))
    for name, alarms, months, runs in rows:
        started = time.perf_counter()
        false = sum(len(alarms(month(seed))) for seed in range(months))
        each = (time.perf_counter() - started) / (months * MONTH * PER_DAY) * 1e6
        told = "".join(f"{delay:>22}" for delay in delays(alarms, runs, 5))
        print(f"{name:26}{false / months:>14.2f}{told}{each:>10.2f}", flush=True)


if __name__ == "__main__":
    main()
