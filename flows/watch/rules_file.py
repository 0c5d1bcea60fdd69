"""The alert rules as a file for Prometheus."""

from json import dumps as quoted
from textwrap import indent

from flows.watch.rule import Rule
from flows.watch.rules import RULES

_HEAD = """\
# Alert rules for Prometheus, printed by `headwater watch --rules`: edit the table in
# flows/watch/rules.py, or a copy of this file.
groups:
  - name: headwater
    rules:
"""


def rules_file() -> str:
    """A rule file in YAML, as `promtool check rules` takes it."""
    return _HEAD + "".join(_yaml(rule) for rule in RULES)


def _yaml(rule: Rule) -> str:
    return (
        f"      - alert: {rule.name}\n"
        f"        expr: |-\n{indent(rule.expr, ' ' * 10)}\n"
        f"        for: {rule.lasts}\n"
        f"        labels:\n"
        f"          severity: {rule.severity}\n"
        f"        annotations:\n"
        f"          summary: {quoted(rule.summary)}\n"
        f"          runbook: {rule.runbook}\n"
    )
