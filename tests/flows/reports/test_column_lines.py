"""Columns that stand out, put together from the metrics of each partition."""

import polars as pl

from flows.pages.document import html
from flows.reports.column_history import column_blocks, columns_over_time
from flows.reports.column_lines import column_lines, drifting, fault_counts, status_lines
from state.events import HOUR_US
from state.outputs.columns import columns_of, table_of
from state.outputs.records import Alert, ColumnState, Metrics
from tests.flows.pages.test_document import Reader

AT = 1_704_067_200_000_000


def tick(time=AT, **columns):
    return Metrics(time, 0, 0, 0, {}, 0, None, {}, {}, {}, columns=columns)


def drifted(psi, importance=0.1):
    return ColumnState(400, psi, 0.08, importance)


def broken(kind, since=AT, psi=0.0):
    return ColumnState(400, psi, 0.08, 0.01, faults={kind: since})


FIRST = tick(wind=drifted(0.4), zone=broken("nulls", AT + HOUR_US))
SECOND = tick(zone=broken("nulls", AT), price=drifted(0.9), wind=drifted(0.2))


def test_faults_come_first_and_the_figures_are_those_of_the_worst_partition():
    lines = column_lines([FIRST, SECOND, tick()])
    assert [line.column for line in lines] == ["zone", "wind", "price"]
    assert [line.partitions for line in lines] == [2, 2, 1]
    assert lines[0].faults == {"nulls": AT}
    assert lines[0].words == "more nulls than in training since 2024-01-01 00:00"
    assert lines[1].state.psi == 0.4
    assert lines[2].words == "other values than in training"


def test_the_status_names_faults_and_counts_drift():
    assert status_lines([FIRST, SECOND]) == [
        "column zone: more nulls than in training since 2024-01-01 00:00",
        "columns: 2 have other values than in training (see `headwater columns`)",
    ]
    assert status_lines([tick()]) == []


def test_every_kind_of_fault_is_counted_also_if_there_is_none():
    counts = fault_counts([FIRST, SECOND])
    assert counts.pop("nulls") == 2
    assert {*counts} == {"clock", "stopped", "constant", "unseen_levels", "out_of_range"}
    assert not any(counts.values())
    assert drifting([FIRST, SECOND]) == 2


def frames(*ticks):
    columns = columns_of(Metrics)
    for one in ticks:
        yield pl.DataFrame(table_of(columns, [one])).select("time", "columns")


def test_a_report_ranks_columns_by_importance_times_drift_over_its_time():
    late = tick(AT + HOUR_US, wind=drifted(0.3, 0.5), zone=broken("stopped", psi=2.0))
    outside = tick(AT + 9 * HOUR_US, zone=drifted(7.0))
    first = tick(price=drifted(0.9, 0.1), wind=drifted(0.2, 0.5))
    found = columns_over_time(frames(first, late, tick(), outside), (AT, AT + 8 * HOUR_US))
    assert found.ticks == 3
    zone, wind, price = found.found
    assert (zone.column, zone.kinds, zone.worst_at) == ("zone", {"stopped"}, AT + HOUR_US)
    assert (wind.column, wind.ticks, wind.worst.psi) == ("wind", 2, 0.3)
    assert wind.weight > price.weight
    alerts = [Alert("data_quality", AT, "zone"), Alert("drift", AT, "other")]
    page = Reader(html(list(column_blocks(found, alerts)))).text
    assert "1 gave an alert in this time" in page
    for words in ("2 of 3", "0.300", "2024-01-01 01:00", "no value"):
        assert words in page


def test_a_report_without_columns_that_stand_out_says_so():
    none = columns_over_time(frames(tick()), (AT, AT + HOUR_US))
    (paragraph,) = column_blocks(none, [])
    assert paragraph.text.startswith("No column stood out")
