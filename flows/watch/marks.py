"""Marks on the time axis of every dashboard: when a model, the version or the peace changed."""

from typing import NamedTuple


class Mark(NamedTuple):
    """An annotation in Grafana, at each time at which its expression has a value.

    Attributes:
        name: Kind of the mark; in a dashboard each kind can be switched off.
        color: Color of its lines.
        expr: PromQL over metrics of the table.
        text: Text of the mark, with labels as Grafana writes them.
    """

    name: str
    color: str
    expr: str
    text: str


MARKS = (
    Mark(
        "Promotions", "green", "headwater_champion unless headwater_champion offset 1m",
        "{{model}} is the champion",
    ),
    Mark(
        "Fits without a new champion", "yellow",
        'increase(headwater_fits_total{decision!="promoted"}[1m]) > 0', "a fit was {{decision}}",
    ),
    Mark(
        "Alerts of the flow", "red", "increase(headwater_alerts_total[1m]) > 0", "{{kind}}",
    ),
    Mark(
        "Deployments", "blue", "headwater_info unless headwater_info offset 1m",
        "stream {{stream}}, version {{version}}",
    ),
)  # fmt: skip
"""A rollback and drift of the data are alerts of the flow."""
