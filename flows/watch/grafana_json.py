"""Dashboards in Grafana's JSON model, schema version 39."""

from typing import Any

from flows.watch.marks import MARKS, Mark
from flows.watch.panels import Dashboard, Panel

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH = 24


def dashboard_json(dashboard: Dashboard) -> dict[str, Any]:
    """A dashboard as Grafana exports and imports it; its data source can be chosen there."""
    panels, x, y = [], 0, 0
    for number, panel in enumerate(dashboard.panels, 1):
        width, height = (8, 6) if panel.big else (12, 8)
        if x + width > _WIDTH:
            x, y = 0, y + height
        panels.append(_panel(number, panel, {"x": x, "y": y, "w": width, "h": height}))
        x += width
        last = dashboard.panels[number] if number < len(dashboard.panels) else panel
        if last.big != panel.big:
            x, y = 0, y + height
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["headwater"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "links": [
            {
                "type": "dashboards",
                "tags": ["headwater"],
                "asDropdown": True,
                "title": "Headwater",
            }
        ],
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "annotations": {"list": [_annotation(mark) for mark in MARKS]},
        "panels": panels,
    }


def _annotation(mark: Mark) -> dict[str, Any]:
    return {
        "name": mark.name,
        "datasource": _SOURCE,
        "enable": True,
        "hide": False,
        "iconColor": mark.color,
        "expr": mark.expr,
        "titleFormat": mark.name,
        "textFormat": mark.text,
        "step": "15s",
    }


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit}
    steps = _steps(panel)
    if steps:
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    made: dict[str, Any] = {
        "id": number,
        "type": "stat" if panel.big else "timeseries",
        "title": panel.title,
        "gridPos": place,
        "datasource": _SOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + i),
                "datasource": _SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
            }
            for i, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {},
    }
    if panel.big:
        made["options"] = {
            "colorMode": "background" if steps else "value",
            "graphMode": "none",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        }
    return made


def _steps(panel: Panel) -> list[dict[str, Any]]:
    if panel.red_from is not None:
        return [{"color": "green", "value": None}, {"color": "red", "value": panel.red_from}]
    if panel.red_below is not None:
        return [{"color": "red", "value": None}, {"color": "green", "value": panel.red_below}]
    return []
