"""Everything that Headwater puts into a Grafana, each with the uid by which it is known again."""

from typing import Any, Literal, NamedTuple

from flows.watch.grafana_json import dashboard_json
from flows.watch.panels import DASHBOARDS
from flows.watch.rule import Rule
from flows.watch.rules import RULES

UID = "headwater"
Kind = Literal["folder", "data source", "dashboard", "contact point", "alert rule"]


class Wanted(NamedTuple):
    """An object as it should be.

    Attributes:
        kind: Kind of the object.
        uid: Uid in Grafana.
        title: Name for people.
        content: Fields that must have these values; Grafana may have others beside them.
    """

    kind: Kind
    uid: str
    title: str
    content: dict[str, Any]


def wanted(prometheus: str, *, alerts: bool, webhook: str) -> list[Wanted]:
    """All objects, in the order in which they depend on one another.

    Args:
        prometheus: Address at which Grafana reaches the Prometheus that scrapes the watcher.
        alerts: Whether Grafana evaluates the alert rules too.
        webhook: Address that gets the alerts; empty: they take Grafana's default way.
    """
    found = [
        Wanted("folder", UID, "Headwater", {"uid": UID, "title": "Headwater"}),
        Wanted("data source", UID, "Headwater", _source(prometheus)),
    ]
    found += [Wanted("dashboard", d.uid, d.title, dashboard_json(d)) for d in DASHBOARDS]
    if webhook:
        found.append(Wanted("contact point", UID, "Headwater", _contact_point(webhook)))
    if alerts:
        found += [Wanted("alert rule", uid_of(r), r.name, _rule(r, webhook)) for r in RULES]
    return found


def uid_of(rule: Rule) -> str:
    """The uid of a rule, of at most 40 characters as Grafana wants it.

    Example:
        >>> uid_of(RULES[1])
        'headwater-log-unreadable'
    """
    words = "".join(f"-{c.lower()}" if c.isupper() else c for c in rule.name)
    return words.removeprefix("-")


def _source(prometheus: str) -> dict[str, Any]:
    return {
        "uid": UID,
        "name": "Headwater",
        "type": "prometheus",
        "access": "proxy",
        "url": prometheus,
    }


def _contact_point(webhook: str) -> dict[str, Any]:
    return {"uid": UID, "name": "Headwater", "type": "webhook", "settings": {"url": webhook}}


def _rule(rule: Rule, webhook: str) -> dict[str, Any]:
    """A rule: the expression gives a series while it fires, and none otherwise."""
    fires = f"group without () ({rule.expr})"  # 1, whatever the value: Grafana takes 0 for silence
    query = {
        "refId": "A",
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": UID,
        "model": {"refId": "A", "expr": fires, "instant": True},
    }
    threshold = {
        "refId": "B",
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": "__expr__",
        "model": {
            "refId": "B",
            "type": "threshold",
            "expression": "A",
            "conditions": [{"evaluator": {"type": "gt", "params": [0]}}],
        },
    }
    made = {
        "uid": uid_of(rule),
        "title": rule.name,
        "folderUID": UID,
        "ruleGroup": UID,
        "condition": "B",
        "data": [query, threshold],
        "for": rule.lasts,
        "noDataState": "OK",
        "execErrState": "Error",
        "labels": {"severity": rule.severity},
        "annotations": {"summary": rule.summary, "runbook": rule.runbook},
    }
    return made | ({"notification_settings": {"receiver": "Headwater"}} if webhook else {})
