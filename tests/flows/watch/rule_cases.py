"""Histories in which exactly one alert must fire, or none, as `promtool test rules` takes them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from flows.watch.rules import RULES

_OWN = {"instance": "w", "job": "headwater"}
AT = 60
WELL = {
    "headwater_up": "1+0x90",
    "headwater_looked_time_seconds": "0+60x90",
    'headwater_processes{role="flow"}': "1+0x90",
    'headwater_lag_seconds{partition="0"}': "0+0x90",
    'headwater_lag_records{partition="0"}': "0+0x90",
    "headwater_labels_behind_seconds": "1320+0x90",
    "headwater_label_delay_seconds": "360+0x90",
    'headwater_alerts_total{kind="clock_ahead"}': "5+0x90",
    'headwater_alerts_total{kind="labels_by_silence"}': "5+0x90",
    'headwater_source_least_lag_seconds{source="a"}': "-1+0x90",
    "headwater_clock_notice_seconds": "1+0x90",
    'headwater_records_total{topic="dead_letters"}': "0+49x90",
    'headwater_records_total{topic="events"}': "0+1000x90",
    "headwater_read_records_total": "0+1000x90",
    "headwater_fits_failed_in_a_row": "1+0x90",
    'headwater_checkpoint_time_seconds{partition="0"}': "0+60x90",
    'headwater_checkpoint_behind_records{partition="0"}': "100+0x90",
    "headwater_disk_free_bytes": "5000+0x90",
    "headwater_disk_size_bytes": "100000+0x90",
    "headwater_scorer_behind_seconds": "60+0x90",
    "headwater_scorer_trouble": "0+0x90",
    'headwater_recent_log_loss{model="ensemble"}': "0.49+0x90",
    'headwater_log_loss{model="ensemble"}': "0.4+0x90",
    'headwater_recent_labels{model="ensemble"}': "500+0x90",
    'headwater_metric_alerts{metric="auc"}': "0+0x90",
    'headwater_data_faults{kind="nulls"}': "0+0x90",
    "headwater_kafka_under_replicated_partitions": "0+0x90",
}
"""Each figure at the limit at which nothing is wrong yet."""


class Case(NamedTuple):
    """A history: other series than those in which all is well, and the labels of the alert."""

    name: str
    series: dict[str, str]
    labels: Mapping[str, str] = MappingProxyType({})


FIRING = [
    Case("HeadwaterWatchDown", {"headwater_looked_time_seconds": "0+60x50 3000+0x40"}),
    Case("HeadwaterLogUnreadable", {"headwater_up": "1+0x50 0+0x40"}),
    Case("HeadwaterFlowDown", {'headwater_processes{role="flow"}': "1+0x50 0+0x40"},
         {"role": "flow"}),
    Case("HeadwaterLagGrowing", {
        'headwater_lag_seconds{partition="0"}': "0+0x30 61+1x60",
        'headwater_lag_records{partition="0"}': "0+0x30 61+1x60",
    }, {"partition": "0"}),
    Case("HeadwaterNoLabels", {"headwater_labels_behind_seconds": "1320+0x50 1321+60x40"}),
    Case("HeadwaterLabelsBySilence",
         {'headwater_alerts_total{kind="labels_by_silence"}': "5+0x40 6+0x50"},
         {"kind": "labels_by_silence"}),
    Case("HeadwaterClockAhead",
         {'headwater_source_least_lag_seconds{source="a"}': "-1+0x50 -1.5+0x40"}, {"source": "a"}),
    Case("HeadwaterClockAhead",
         {'headwater_alerts_total{kind="clock_ahead"}': "5+0x50 6+0x40"}, {"kind": "clock_ahead"}),
    Case("HeadwaterDeadLetters",
         {'headwater_records_total{topic="dead_letters"}': "0+51x90"}),
    Case("HeadwaterFitFailedTwice", {"headwater_fits_failed_in_a_row": "1+0x50 2+0x40"}),
    Case("HeadwaterCheckpointOld",
         {'headwater_checkpoint_time_seconds{partition="0"}': "0+60x40 2400+0x50"},
         {"partition": "0"}),
    Case("HeadwaterDiskFilling", {"headwater_disk_free_bytes": "5000+0x50 4999+0x40"}),
    Case("HeadwaterDiskFilling", {"headwater_disk_free_bytes": "20000-60x90"}),
    Case("HeadwaterScorerStale", {"headwater_scorer_behind_seconds": "60+0x50 61+0x40"}),
    Case("HeadwaterScorerStale", {"headwater_scorer_trouble": "0+0x50 1+0x40"}),
    Case("HeadwaterQualityWorse",
         {'headwater_recent_log_loss{model="ensemble"}': "0.51+0x90"}, {"model": "ensemble"}),
    Case("HeadwaterMetricBeyondLine",
         {'headwater_metric_alerts{metric="auc"}': "0+0x50 1+0x40"}, {"metric": "auc"}),
    Case("HeadwaterDataFault",
         {'headwater_data_faults{kind="nulls"}': "0+0x50 1+0x40"}, {"kind": "nulls"}),
    Case("HeadwaterKafkaUnderReplicated",
         {"headwater_kafka_under_replicated_partitions": "0+0x50 2+0x40"}),
    Case("HeadwaterKafkaBlocked", {"headwater_kafka_blocked_partitions": "0+0x50 1+0x40"}),
]  # fmt: skip
SILENT = [
    Case("all is well", {}),
    Case("a flow that was away for less than a minute",
         {'headwater_processes{role="flow"}': "1+0x58 0 1+0x30"}),
    Case("a flow that is behind and catches up", {
        'headwater_lag_seconds{partition="0"}': "9000-60x90",
        'headwater_lag_records{partition="0"}': "9000-60x90",
    }),
    Case("an old checkpoint of a flow at rest", {
        'headwater_checkpoint_time_seconds{partition="0"}': "0+0x90",
        'headwater_checkpoint_behind_records{partition="0"}': "0+0x90",
    }),
    Case("a few dead letters of a quiet night", {
        'headwater_records_total{topic="dead_letters"}': "0+1x90",
        "headwater_read_records_total": "0+2x90",
    }),
    Case("a bad tick of few labels", {
        'headwater_recent_log_loss{model="ensemble"}': "0.9+0x90",
        'headwater_recent_labels{model="ensemble"}': "199+0x90",
    }),
    Case("a large disk that is used a lot", {"headwater_disk_free_bytes": "50000-200x90"}),
    Case("a disk that is used a lot by a watcher that has just started",
         {"headwater_disk_free_bytes": "_x45 20000-400x45"}),
    Case("Kafka short of copies for less than five minutes",
         {"headwater_kafka_under_replicated_partitions": "0+0x57 2+0x40"}),
]  # fmt: skip


def rule_tests():
    """The content of a test file: in each history every rule is asked."""
    tests = [_test(case, case.name) for case in FIRING] + [_test(case, None) for case in SILENT]
    return {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}


def _test(case, fires):
    series = WELL | case.series
    return {
        "name": case.name,
        "interval": "1m",
        "input_series": [
            {"series": _labelled(name), "values": values} for name, values in series.items()
        ],
        "alert_rule_test": [
            {
                "eval_time": f"{AT}m",
                "alertname": rule.name,
                "exp_alerts": [_alert(rule, case.labels)] if rule.name == fires else [],
            }
            for rule in RULES
        ],
    }


def _alert(rule, labels):
    return {
        "exp_labels": {"severity": rule.severity, **_OWN, **labels},
        "exp_annotations": {
            "summary": rule.summary,
            "runbook": f"flows/watch/README.md#{rule.name.lower()}",
        },
    }


def _labelled(name):
    name, _, given = name.partition("{")
    own = ",".join(f'{label}="{value}"' for label, value in _OWN.items())
    return f"{name}{{{own}{',' if given else ''}{given.rstrip('}')}}}"
