"""The thresholds of trust follow from the newest answers, and their promise is kept."""

import msgspec
import numpy as np
import pytest

from models.judging.histograms import histogram_of
from models.judging.trust import trust
from models.judging.trust_counts import ENOUGH, Thresholds, TrustCounts

RISK = (0.1, 0.2, 0.95)


def answers(n, seed):
    """Labels and right answers to requests of which some four in ten have label 1."""
    random = np.random.default_rng(seed)
    said = 1 / (1 + np.exp(-random.normal(-0.6, 1.6, n)))
    return (random.random(n) < said).astype(np.int64), said


def counted(found, labels, said):
    found._counts[-1] += histogram_of(labels, said)
    return found


def test_they_are_those_of_the_scorecard_on_the_same_answers():
    labels, said = answers(2_000, 1)
    of = trust(histogram_of(labels, said), *RISK)
    found = counted(TrustCounts(), labels, said).found(*RISK)
    assert 0 < found.let_go < found.act < 1
    assert found == Thresholds(
        of.act.threshold, of.let_go.threshold, int((labels == 0).sum()), int(labels.sum())
    )
    assert (said[labels == 0] >= found.act).mean() <= 0.1
    assert (said[labels == 1] < found.let_go).mean() <= 0.2


def test_with_too_few_labels_nothing_can_be_trusted():
    labels, said = answers(25, 2)
    found = counted(TrustCounts(), labels, said).found(*RISK)
    assert (found.act, found.let_go) == (None, None)
    assert {found.of(p, decision=p >= 0.5) for p in (0.0, 0.5, 1.0)} == {"unsure"}


def test_answers_before_the_last_period_are_forgotten_but_never_for_a_handful():
    found, (labels, said) = TrustCounts(), answers(3_000, 3)
    parts = [(labels[i : i + 1_400], said[i : i + 1_400]) for i in (0, 1_400)]
    assert all(min(y.sum(), (y == 0).sum()) >= ENOUGH for y, _ in parts)
    counted(found, *parts[0]).decided(None)
    counted(found, labels[2_800:], said[2_800:])
    found.decided(None)  # too few to begin a period
    assert found.found(*RISK).negatives == (parts[0][0] == 0).sum() + (labels[2_800:] == 0).sum()
    counted(found, *parts[1]).decided(None)
    counted(found, *parts[0])
    kept = np.concatenate([labels[1_400:], parts[0][0]])
    of = found.found(*RISK)
    assert (of.negatives, of.positives) == ((kept == 0).sum(), kept.sum())


def test_they_go_on_from_a_snapshot():
    labels, said = answers(1_200, 4)
    first, again = counted(TrustCounts(), labels, said), TrustCounts()
    first.decided(Thresholds(0.7, 0.2, 500, 300))
    again.restore(first.snapshot())
    for one in (first, again):
        counted(one, labels[:700], said[:700])
    assert again.found(*RISK) == first.found(*RISK)
    assert again.thresholds == first.thresholds
    assert again.snapshot() == first.snapshot()


@pytest.mark.parametrize("n", [500, 2_000])
def test_the_promise_is_broken_in_at_most_one_of_twenty_cases(n):
    labels, said = answers(400_000, 5)
    broken = [0, 0]
    for seed in range(200):
        own = answers(n, 100 + seed)
        found = counted(TrustCounts(), *own).found(*RISK)
        broken[0] += found.act is not None and (said[labels == 0] >= found.act).mean() > 0.1
        broken[1] += found.let_go is not None and (said[labels == 1] < found.let_go).mean() > 0.2
    assert max(broken) <= 10


def test_thresholds_are_written_without_what_there_is_not():
    assert msgspec.json.encode(Thresholds(None, 0.25, 7, 90)) == (
        b'{"let_go":0.25,"negatives":7,"positives":90}'
    )
