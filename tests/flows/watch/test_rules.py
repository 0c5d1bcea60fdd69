"""Alert rules: in Prometheus' own tests, and in what a person sees."""

import re
import shutil
import subprocess

import pytest
import yaml

from flows.__main__ import main
from flows.watch.metrics import TABLE
from flows.watch.rules import RULES
from flows.watch.rules_file import rules_file
from flows.watch.view import problems_of
from state.checkpoints.store import Written
from state.outputs.records import ColumnState, Metrics, MetricState
from tests.documents import ROOT, anchors, read
from tests.flows.watch.rule_cases import FIRING, rule_tests
from tests.flows.watch.samples import NOW, change, log_sample, losses, partition, sample

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here")


NOW_US = 1_704_067_200_000_000


def at(**changes):
    """A sample whose log has these changes."""
    return sample(log=log_sample(**changes))


def with_partition(**changes):
    log = log_sample()
    return change(log, status=change(log.status, partitions=[partition(0, **changes)]))


def quality(lately, total):
    of = log_sample().quality
    return change(of, total={"ensemble": total}, ticks=[change(of.ticks[-1], lately=lately)])


def broken(*kinds):
    state = ColumnState(400, faults=dict.fromkeys(kinds, NOW_US))
    return Metrics(1, 0, 0, 0, {}, 0, None, {}, {}, {}, columns={"wind": state})


def tick(*, fires=False):
    state = MetricState(900, 0.7, 0.6, 0.8, fires)
    return Metrics(1, 0, 0, 0, {}, 0, None, {}, {}, {}, alerts={"auc": state})


WELL = log_sample()
SEEN = {
    "HeadwaterLogUnreadable": [(sample(trouble="Kafka must answer"), "Kafka must answer")],
    "HeadwaterFlowDown": [(sample(processes=0), "no process of the flow lives")],
    "HeadwaterLagGrowing": [
        (
            sample(log=with_partition(lag=9, lag_s=61.0), lag_change=1),
            "partition 0 is 61 s behind, and the lag grows",
        )
    ],
    "HeadwaterNoLabels": [
        (at(labels_behind_s=1321.0), "the newest label is 1,321 s older than the newest prediction")
    ],
    "HeadwaterClockAhead": [
        (
            at(sources=change(WELL.sources, least_lag_s={"a": -90.0, "b": -2.0, "c": -1.0})),
            "source a is 90.0 s ahead (2 sources are ahead)",
        )
    ],
    "HeadwaterDeadLetters": [
        (
            sample(rates={"dead_letters": 2.6, "read": 50.0}),
            "2.6 dead letters/s of 50.0 records/s, most of them late",
        )
    ],
    "HeadwaterFitFailedTwice": [
        (at(fits=change(WELL.fits, failed_in_a_row=2)), "the last 2 fits failed")
    ],
    "HeadwaterCheckpointOld": [
        (
            sample(log=with_partition(checkpoint=Written(900, NOW - 601, 1))),
            "1 partitions have read on for more than 10 minutes since their checkpoint",
        )
    ],
    "HeadwaterDiskFilling": [
        (sample(disk=change(sample().disk, free=2**30)), "1.0 GiB are free of 100.0 GiB")
    ],
    "HeadwaterMetricBeyondLine": [
        (
            at(status=change(WELL.status, newest=[tick(), tick(fires=True)])),
            "alert on auc: on in 1 of 2 partitions",
        )
    ],
    "HeadwaterDataFault": [
        (
            at(status=change(WELL.status, newest=[broken(), broken("stopped")])),
            "wind: no value since 2024-01-01 00:00",
        )
    ],
    "HeadwaterQualityWorse": [
        (
            at(quality=quality({"ensemble": losses(0.51, 200)}, losses(0.4))),
            "log-loss 0.5100 in the newest tick, 0.4000 since the start",
        )
    ],
    "HeadwaterKafkaUnderReplicated": [
        (
            at(kafka=change(WELL.kafka, under_replicated=4)),
            "4 partitions have too few copies in sync",
        )
    ],
    "HeadwaterKafkaBlocked": [
        (
            at(kafka=change(WELL.kafka, blocked=2)),
            "2 partitions wait for a transaction that was never ended",
        )
    ],
}
SILENT = [
    sample(),
    sample(log=with_partition(lag=9, lag_s=61.0), lag_change=0),
    sample(log=with_partition(lag=9, lag_s=60.0), lag_change=1),
    at(labels_behind_s=1320.0),
    sample(rates={"dead_letters": 2.5, "read": 50.0}),
    sample(rates={"dead_letters": 0.1, "read": 0.2}),
    at(fits=change(WELL.fits, failed_in_a_row=1)),
    sample(log=with_partition(checkpoint=Written(1_000, NOW - 9_999, 1))),
    sample(log=with_partition(checkpoint=Written(900, NOW - 600, 1))),
    at(quality=quality({"ensemble": losses(0.9, 199)}, losses(0.4))),
    at(quality=quality({}, losses(0.4))),
    at(kafka=None),
]
SEEN_BY_PROMETHEUS_ONLY = {"HeadwaterWatchDown", "HeadwaterLabelsBySilence", "HeadwaterScorerStale"}


@pytest.mark.parametrize("name", SEEN)
def test_a_person_sees_the_one_problem_there_is(name):
    for one, text in SEEN[name]:
        assert [(p.name, p.text) for p in problems_of(one)] == [(name, text)]


@pytest.mark.parametrize("one", SILENT)
def test_at_the_limit_nothing_is_wrong(one):
    assert problems_of(one) == []


def test_a_flow_that_is_down_and_unreadable_is_told_as_both():
    found = problems_of(sample(log=None, trouble="gone", processes=0))
    assert [one.name for one in found] == ["HeadwaterLogUnreadable", "HeadwaterFlowDown"]


def test_every_rule_is_seen_by_one_or_the_other():
    assert {rule.name for rule in RULES} == {*SEEN} | SEEN_BY_PROMETHEUS_ONLY


def test_rules_are_made_of_metrics_of_the_table():
    known = {metric.name: {*metric.labels} for metric in TABLE}
    for rule in RULES:
        named = re.findall(r"(headwater_\w+)(?:\{(\w+)=)?", rule.expr)
        assert named
        for name, label in named:
            assert name in known, rule.name
            assert not label or label in known[name], rule.name


def test_every_rule_has_its_runbook_paragraph():
    text = read("flows/watch/README.md")
    rules = yaml.safe_load(rules_file())["groups"][0]["rules"]
    assert [rule["alert"] for rule in rules] == [rule.name for rule in RULES]
    for rule in rules:
        path, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert path == "flows/watch/README.md"
        assert anchor in anchors(text)


def test_the_command_prints_the_rules(capsys):
    assert main(["watch", "--rules"]) == 0
    assert capsys.readouterr().out == rules_file()


@promtool
def test_prometheus_fires_each_rule_in_its_history_and_no_other(tmp_path):
    (tmp_path / "rules.yml").write_text(rules_file())
    (tmp_path / "test.yml").write_text(yaml.safe_dump(rule_tests(), sort_keys=False))
    ran = subprocess.run(
        ["promtool", "test", "rules", "test.yml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_rule_has_a_history_in_which_it_fires():
    assert {case.name for case in FIRING} == {rule.name for rule in RULES}


def test_the_file_for_prometheus_is_what_the_command_prints():
    assert read("flows/watch/prometheus/rules.yml") == rules_file()


@promtool
def test_the_examples_are_what_prometheus_and_alertmanager_take():
    folder = ROOT / "flows/watch/prometheus"
    subprocess.run(["promtool", "check", "config", folder / "prometheus.yml"], check=True)
    if shutil.which("amtool"):
        subprocess.run(["amtool", "check-config", folder / "alertmanager.yml"], check=True)
