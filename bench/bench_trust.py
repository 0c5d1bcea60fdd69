"""Promises of trust: how often thresholds let through more errors than was accepted.

Each case draws labelled answers from one world, finds thresholds on them, and looks at the true
shares of errors beyond these. A promise at 95 % may be broken in 5 % of the cases. The usual way
stands beside it: the threshold at which the share on these answers is just the accepted one. The
answers of the second world are surer than they should be, which no threshold relies on.

    python -m bench.bench_trust             some minute
"""

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.judging.histograms import histogram_of
from models.judging.trust import trust

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

FALSE_POSITIVES, FALSE_NEGATIVES, CONFIDENCE = 0.1, 0.2, 0.95
WORLDS: dict[str, Callable[[Floats], Floats]] = {
    "right answers": lambda logits: logits,
    "too sure": lambda logits: 0.5 * logits,
}
_TRUE = 1_000_000


class Answers(NamedTuple):
    """Labels, and the probabilities that were said."""

    labels: Labels
    said: Floats


class Broken(NamedTuple):
    """Cases of one size.

    Attributes:
        act: Share of cases with too many false positives from `act` on.
        let_go: Share of cases with too many false negatives below `let_go`.
        usual: Share of cases with too many false positives from the usual threshold on.
        recall: Mean share of label 1 from `act` on.
        unsure: Mean share of requests that are neither.
    """

    act: float
    let_go: float
    usual: float
    recall: float
    unsure: float


def answers(n: int, random: np.random.Generator, world: Callable[[Floats], Floats]) -> Answers:
    """Answers of which some four in ten have label 1; the true logits are `world` of the said."""
    logits = random.normal(-0.6, 1.6, n)
    labels = (random.random(n) < 1.0 / (1.0 + np.exp(-world(logits)))).astype(np.int64)
    return Answers(labels, 1.0 / (1.0 + np.exp(-logits)))


def broken(n: int, cases: int, world: Callable[[Floats], Floats]) -> Broken:
    """Count broken promises in cases of `n` answers."""
    whole = answers(_TRUE, np.random.default_rng(0), world)
    zeros, ones = (np.sort(whole.said[whole.labels == label]) for label in (0, 1))

    def above(of: Floats, threshold: float) -> float:
        return 1.0 - float(np.searchsorted(of, threshold)) / len(of)

    act, let_go, usual, recall, unsure = (np.zeros(cases) for _ in Broken._fields)
    for case in range(cases):
        own = answers(n, np.random.default_rng([n, case + 1]), world)
        found = trust(histogram_of(*own), FALSE_POSITIVES, FALSE_NEGATIVES, CONFIDENCE)
        if found.act.threshold is not None:
            act[case] = above(zeros, found.act.threshold) > FALSE_POSITIVES
        if found.let_go.threshold is not None:
            let_go[case] = 1.0 - above(ones, found.let_go.threshold) > FALSE_NEGATIVES
        at = float(np.quantile(own.said[own.labels == 0], 1.0 - FALSE_POSITIVES))
        usual[case] = above(zeros, at) > FALSE_POSITIVES
        recall[case], unsure[case] = found.recall, found.unsure
    return Broken(*(float(of.mean()) for of in (act, let_go, usual, recall, unsure)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=1_000)
    cases = parser.parse_args().cases
    print("answers        labels   act broken   let_go broken   usual   recall   unsure")
    for name, world in WORLDS.items():
        for n in (500, 2_000, 10_000):
            of = broken(n, cases, world)
            print(
                f"{name:13} {n:7,} {of.act:12.1%} {of.let_go:15.1%} {of.usual:7.1%} "
                f"{of.recall:8.1%} {of.unsure:8.1%}"
            )


if __name__ == "__main__":
    main()
