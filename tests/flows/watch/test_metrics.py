"""The metrics for Prometheus: names, types and values of the one table."""

import re
import time

from prometheus_client.parser import text_string_to_metric_families

from flows.watch.collector import exposition
from flows.watch.metrics import TABLE
from tests.documents import read
from tests.flows.watch.samples import NOW, change, log_sample, partition, sample


def told(one):
    """Every series by its name and labels."""
    families = text_string_to_metric_families(exposition(lambda: one).decode())
    return {
        (point.name, *sorted(point.labels.items())): point.value
        for family in families
        for point in family.samples
    }


def test_a_sample_becomes_the_series_that_it_means():
    behind = partition(1, end=1_300, position=1_100, lag=200, lag_s=7.5, model=None)
    log = log_sample()
    log = change(log, status=change(log.status, partitions=[partition(0), behind]))
    series = told(sample(log=log))
    expected = {
        ("headwater_up",): 1,
        ("headwater_lag_records", ("partition", "1")): 200,
        ("headwater_lag_seconds", ("partition", "1")): 7.5,
        ("headwater_checkpoint_behind_records", ("partition", "1")): 200,
        ("headwater_checkpoint_time_seconds", ("partition", "0")): NOW - 3,
        ("headwater_read_records_total",): 2_100,
        ("headwater_records_total", ("topic", "events")): 1_000,
        ("headwater_labels_total",): 800,
        ("headwater_dead_letters_total", ("reason", "late")): 2,
        ("headwater_alerts_total", ("kind", "clock_ahead")): 0,
        ("headwater_recent_log_loss", ("model", "ensemble")): 0.4,
        ("headwater_share", ("member", "stacks")): 0.75,
        ("headwater_fits_total", ("decision", "rejected")): 1,
        ("headwater_model_age_seconds",): NOW - 1e-6,
        ("headwater_source_least_lag_seconds", ("source", "s0")): 0.5,
        ("headwater_processes", ("role", "flow")): 1,
        ("headwater_processes", ("role", "trainer")): 0,
        ("headwater_disk_free_bytes",): 50 * 2**30,
        ("headwater_kafka_under_replicated_partitions",): 0,
        ("headwater_h2o_up",): 1,
        ("headwater_info", ("log", "kafka"), ("stream", "quotes"), ("version", "0.1.0")): 1,
        (
            "headwater_process_cpu_seconds_total", ("host", "host"), ("pid", "7"), ("role", "flow"),
        ): 12.5,
    }  # fmt: skip
    assert expected.items() <= series.items()
    models = {key for key in series if key[0] == "headwater_partition_model"}
    assert models == {("headwater_partition_model", ("model", "gbm-1"), ("partition", "0"))}


def test_a_flow_whose_log_was_never_read_has_what_is_known_without_it():
    series = told(sample(log=None, trouble="Kafka must answer", processes=0))
    assert series["headwater_up",] == 0
    assert series["headwater_processes", ("role", "flow")] == 0
    assert series["headwater_kafka_brokers",] == 0
    assert "headwater_disk_free_bytes" in {name for name, *_ in series}
    assert not {name for name, *_ in series} & {"headwater_lag_records", "headwater_records_total"}


def test_before_the_first_look_there_is_nothing():
    assert exposition(lambda: None) == b""


def test_series_stay_few_however_large_the_flow():
    partitions = 64
    log = log_sample(of_partitions=partitions, of_sources=10_000)
    series = told(sample(log=log, processes=300))
    assert len(series) < 500 + 20 * partitions
    assert {name for name, *_ in series} == {m.name for m in TABLE if m.points is not None} - {
        "headwater_tick_time_seconds",  # both come from metrics that this sample has not
        "headwater_metric_alerts",
    }


def test_a_scrape_takes_less_than_a_twentieth_of_a_second_of_processor_time():
    one = sample(log=log_sample(of_partitions=64, of_sources=10_000), processes=300)
    exposition(lambda: one)
    started = time.process_time()
    for _ in range(5):
        exposition(lambda: one)
    assert (time.process_time() - started) / 5 < 0.05


def test_a_name_from_an_event_cannot_forge_a_series():
    log = log_sample()
    evil = 'x"} 1\nheadwater_up 0\n' + "y" * 5_000
    log = change(log, sources=change(log.sources, least_lag_s={evil: -1.0}))
    text = exposition(lambda: sample(log=log)).decode()
    assert text.count("\nheadwater_up ") == 1
    assert max(map(len, text.splitlines())) < 300
    assert told(sample(log=log))["headwater_source_least_lag_seconds", ("source", evil[:64])] == -1


def test_the_table_follows_the_rules_of_prometheus():
    assert len({metric.name for metric in TABLE}) == len(TABLE)
    for metric in TABLE:
        assert re.fullmatch(r"headwater_[a-z0-9_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.help.endswith("."), metric.name
        if metric.unit == "bytes":
            assert metric.name.endswith("_bytes")
        if metric.unit in {"s", "time"}:
            assert re.search(r"_seconds(_total)?$", metric.name), metric.name


def test_the_metrics_of_the_scoring_service_are_those_that_it_has():
    source = read("flows/serving/metrics.py")
    for metric in TABLE:
        if metric.points is None:
            assert f'"{metric.name.removesuffix("_total")}"' in source


def test_the_readme_has_the_table():
    rows = [line for line in read("flows/watch/README.md").splitlines() if "`headwater_" in line]
    expected = [
        f"| `{m.name}` | {m.kind} | {', '.join(f'`{one}`' for one in m.labels)} | {m.source} | "
        f"{m.help} |".replace("|  |", "| |")
        for m in TABLE
    ]
    assert [row for row in rows if row.startswith("| `headwater_")] == expected
