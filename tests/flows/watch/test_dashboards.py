"""The dashboards: made of known metrics, well laid out, and the same files as are kept."""

import json
import re

import pytest

from flows.__main__ import main
from flows.watch.grafana_json import dashboard_json
from flows.watch.marks import MARKS
from flows.watch.metrics import TABLE
from flows.watch.panels import DASHBOARDS
from tests.documents import ROOT

KEPT = ROOT / "flows/watch/grafana"
EACH = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.uid)
UNSHOWN = {
    "headwater_info", "headwater_looked_time_seconds", "headwater_log_read_time_seconds",
    "headwater_look_seconds", "headwater_unread_records", "headwater_end_offset",
    "headwater_position_offset", "headwater_event_time_seconds", "headwater_requests_total",
    "headwater_labels_total", "headwater_unlabelled_requests_total", "headwater_brier",
    "headwater_judged_labels", "headwater_tick_time_seconds", "headwater_champion",
    "headwater_clock_notice_seconds", "headwater_scorer_behind_records",
}  # fmt: skip
"""Metrics that are there for rules, questions and joins, and need no panel."""


def expressions():
    return [query.expr for board in DASHBOARDS for panel in board.panels for query in panel.queries]


def test_every_metric_has_a_panel_or_is_known_to_need_none():
    named = {name for expr in expressions() for name in re.findall(r"headwater_\w+", expr)}
    table = {metric.name for metric in TABLE}
    assert named <= table
    assert table - named == UNSHOWN


def test_labels_in_legends_are_those_of_the_metric():
    known = {metric.name: {*metric.labels, "instance", "job"} for metric in TABLE}
    for board in DASHBOARDS:
        for panel in board.panels:
            for query in panel.queries:
                for name in re.findall(r"headwater_\w+", query.expr):
                    assert {*re.findall(r"\{\{(\w+)\}\}", query.legend)} <= known[name], panel.title


def test_every_dashboard_has_the_marks_of_what_changed_with_labels_that_are_there():
    known = {metric.name: {*metric.labels} for metric in TABLE}
    for mark in MARKS:
        for name in re.findall(r"headwater_\w+", mark.expr):
            assert {*re.findall(r"\{\{(\w+)\}\}", mark.text)} <= known[name], mark.name
    for dashboard in DASHBOARDS:
        marks = dashboard_json(dashboard)["annotations"]["list"]
        assert [one["expr"] for one in marks] == [mark.expr for mark in MARKS]


@EACH
def test_every_title_is_a_question_and_no_panel_covers_another(dashboard):
    made = dashboard_json(dashboard)
    taken = set()
    for panel in made["panels"]:
        assert panel["title"].endswith("?")
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"])


def test_uids_differ():
    assert len({board.uid for board in DASHBOARDS}) == len(DASHBOARDS)


def test_export_writes_the_files_that_are_kept(tmp_path, capsys):
    assert main(["dashboards", "export", "--to", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(DASHBOARDS)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_bytes() for path in KEPT.iterdir()}
    assert {json.loads(text)["uid"] for text in written.values()} == {b.uid for b in DASHBOARDS}


def test_export_to_a_folder_that_is_not_there_gives_one_line(tmp_path, capsys):
    assert main(["dashboards", "export", "--to", str(tmp_path / "no")]) == 2
    assert "--to must be a folder that exists" in capsys.readouterr().err
