"""The contest of two offline models finds the better one by what they say."""

import numpy as np
import pytest

from models.judging.betting import STAKES, compare
from models.linear.contest import Contest, contend
from models.linear.mixture import NEWEST_OFFLINE, OLDER_OFFLINE, PARTS


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def answers(rows, seed, newest_off, older_off):
    """Logits of all parts, and labels; each model's are off by normal noise of this size."""
    random = np.random.default_rng(seed)
    truth = random.normal(size=rows) * 1.5 - 1
    parts = random.normal(size=(rows, PARTS))
    for offline, off in ((NEWEST_OFFLINE, newest_off), (OLDER_OFFLINE, older_off)):
        parts[:, offline] = truth + random.normal(size=rows) * off
    return parts, (random.random(rows) < sigmoid(truth)).astype(np.int64)


def contest(parts, labels):
    found = Contest()
    for row, label in zip(parts, labels, strict=True):
        contend(row, int(label), found._state)
    return found


def test_a_better_model_is_proven_within_some_hundred_labels():
    found = contest(*answers(2_000, 1, newest_off=0.0, older_off=0.9)).evidence
    assert found.worse < 20 < found.better
    assert found.labels == 2_000


def test_a_worse_model_is_proven_to_be_worse():
    found = contest(*answers(2_000, 2, newest_off=0.9, older_off=0.0)).evidence
    assert found.better < 20 < found.worse


@pytest.mark.parametrize("missing", [NEWEST_OFFLINE, OLDER_OFFLINE])
def test_a_request_that_one_model_did_not_answer_says_nothing(missing):
    parts, labels = answers(50, 3, newest_off=0.0, older_off=0.9)
    parts[:, missing] = np.nan
    assert contest(parts, labels).evidence == (1.0, 1.0, 0, 0.0)


def test_each_model_is_judged_by_what_it_says_itself():
    parts, labels = answers(30, 4, newest_off=0.3, older_off=0.5)
    better, worse = np.ones(len(STAKES)), np.ones(len(STAKES))
    for row, label in zip(parts, labels, strict=True):
        ours, theirs = sigmoid(row[NEWEST_OFFLINE]), sigmoid(row[OLDER_OFFLINE])
        compare(better, worse, int(label), ours, theirs)
    found = contest(parts, labels).evidence
    said = sigmoid(parts[:, [NEWEST_OFFLINE, OLDER_OFFLINE]])
    newest, older = -np.log(np.where(labels[:, None] == 1, said, 1 - said)).mean(axis=0)
    assert found.gain == pytest.approx(older - newest)
    assert found.better == pytest.approx(better.mean(), rel=1e-12)
    assert found.worse == pytest.approx(worse.mean(), rel=1e-12)


def test_the_same_model_twice_gives_no_evidence():
    parts, labels = answers(500, 5, newest_off=0.3, older_off=0.0)
    parts[:, OLDER_OFFLINE] = parts[:, NEWEST_OFFLINE]
    assert contest(parts, labels).evidence == (1.0, 1.0, 500, 0.0)


def test_two_equally_good_models_are_rarely_told_apart():
    runs, wrong = 60, 0
    for seed in range(runs):
        found = contest(*answers(3_000, seed, newest_off=0.4, older_off=0.4)).evidence
        wrong += found.better >= 20
    assert wrong <= 5


def test_evidence_goes_on_from_a_snapshot_and_is_forgotten_at_a_restart():
    parts, labels = answers(400, 6, newest_off=0.0, older_off=0.6)
    first, again = contest(parts[:200], labels[:200]), Contest()
    again.restore(first.snapshot())
    for row, label in zip(parts[200:], labels[200:], strict=True):
        contend(row, int(label), again._state)
    assert again.evidence == contest(parts, labels).evidence
    again.restart()
    assert again.evidence == (1.0, 1.0, 0, 0.0)
