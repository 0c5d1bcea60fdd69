"""Estimates of partitions add up exactly, and status tells them with their doubts."""

import json
import re

import msgspec
import numpy as np
import pytest

from flows.__main__ import main
from flows.reports.estimates import Estimates, estimate_lines, estimates_of
from models.judging.estimates import expected, realised, to_runs
from models.judging.histograms import BINS, column, histogram_of
from state.outputs.records import Ahead, JudgedEstimate, Metrics
from tests.flows.reports.test_report import processed, quotes

__all__ = ["quotes"]


def tick(**fields):
    return Metrics(9, 0, 0, 0, {}, 0, None, {}, {}, {}, **fields)


def said_of(seed, rows):
    return 1 / (1 + np.exp(-np.random.default_rng(seed).normal(-0.5, 1.5, rows)))


def waiting(said):
    return histogram_of((said >= 0.5).astype(int), said)


def judged(said, seed):
    labels = (np.random.default_rng(seed).random(len(said)) < said).astype(int)
    counts = np.zeros((2, 2, BINS), int)
    np.add.at(counts, (labels, (said >= 0.5).astype(int), [column(p) for p in said]), 1)
    return counts


def ahead(said, doubt=""):
    return Ahead(len(said), to_runs(waiting(said)), trusted=not doubt, doubt=doubt)


def estimated(counts, since, *, trusted=True):
    runs = to_runs(counts.reshape(4, BINS))
    return JudgedEstimate(int(counts.sum()), runs, since, since + 5, trusted=trusted)


def test_two_partitions_are_as_one():
    one, other = said_of(1, 300), said_of(2, 700)
    came = judged(one, 3), judged(other, 4)
    found = estimates_of(
        [
            tick(ahead=ahead(one), estimated=estimated(came[0], 40)),
            tick(ahead=ahead(other), estimated=estimated(came[1], 30, trusted=False)),
            tick(),
        ]
    )
    whole = np.concatenate([one, other])
    assert found.waiting.requests == 1_000
    assert found.waiting.expected == expected(waiting(whole))
    assert (found.waiting.trusted, found.waiting.doubt) == (True, "")
    pair = found.came_true
    assert (pair.requests, pair.since, pair.until, pair.trusted) == (1_000, 30, 45, False)
    assert pair.realised == realised(came[0] + came[1])
    assert pair.expected == expected(waiting(whole))
    for name, error in pair.error.items():
        assert error == pytest.approx(abs(pair.expected[name].value - pair.realised[name]))


@pytest.mark.parametrize(
    ("records", "doubt"),
    [
        ([tick(ahead=ahead(said_of(1, 99)))], "there are fewer than 100 requests"),
        (
            [tick(ahead=ahead(said_of(1, 500))), tick(ahead=ahead(said_of(2, 20), "drift"))],
            "the answers seem off (drift)",
        ),
        (
            [tick(ahead=ahead(said_of(1, 500), "no offline model"))],
            "there is no offline model yet",
        ),
    ],
)
def test_a_doubt_of_one_partition_is_one_of_all(records, doubt):
    found = estimates_of(records)
    assert not found.waiting.trusted
    assert estimate_lines(found)[1] == f"do not rely on that: {doubt}"


def test_without_estimates_nothing_is_said():
    assert estimates_of([tick(), tick()]) == Estimates()
    assert estimate_lines(Estimates()) == []


def test_requests_of_one_kind_alone_have_no_auc_and_are_told_all_the_same():
    rare = np.full(200, 0.001)
    counts = np.zeros((2, 2, BINS), int)
    counts[0, 0, column(0.001)] = 200
    found = estimates_of([tick(ahead=ahead(rare), estimated=estimated(counts, 1))])
    first, last = estimate_lines(found)
    assert first.startswith("expected of the 200 requests that wait to be judged: accuracy 0.999")
    assert "AUC" not in first + last
    assert "accuracy 0.999 1.000" in last


def test_status_tells_them_in_words_and_as_json(quotes, capsys):
    with (quotes / "headwater.toml").open("a") as settings:
        settings.write('[metrics]\nevery = "2m"\n')
    assert main(["ingest", "events.jsonl"]) == 0
    processed()
    capsys.readouterr()
    assert main(["status"]) == 0
    told = capsys.readouterr().out
    line = re.search(
        r"^expected of the ([\d,]+) requests that wait to be judged: AUC 0\.\d{3} \(0\.\d{3} to "
        r"0\.\d{3}\)",
        told,
        re.MULTILINE,
    )
    assert "do not rely on that: there is no offline model yet" in told
    assert main(["status", "--json"]) == 0
    found = msgspec.convert(json.loads(capsys.readouterr().out)["estimates"], Estimates)
    assert found.waiting.requests == int(line[1].replace(",", "")) > 40
    assert main(["scorecard"]) == 0
    assert "requests wait to be judged. To be expected of them: label 1 for" in (
        capsys.readouterr().out
    )
