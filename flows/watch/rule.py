"""An alert rule: for Prometheus as an expression, and for one sample as a function."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from flows.watch.sample import LogSample, Sample


class Rule(NamedTuple):
    """A row of the table of rules.

    Attributes:
        name: Name of the alert, and heading of its runbook paragraph.
        expr: PromQL over metrics of the table.
        lasts: Time for which the expression must hold, as Prometheus writes it.
        severity: `page` wakes somebody, `ticket` can wait for the morning.
        summary: A sentence.
        seen: Finds the trouble in one sample, as a sentence with figures; empty: there is none.
    """

    name: str
    expr: str
    lasts: str
    severity: Literal["page", "ticket"]
    summary: str
    seen: Callable[[Sample], str]

    @property
    def runbook(self) -> str:
        """Place of the paragraph that says what to do."""
        return f"flows/watch/README.md#{self.name.lower()}"


def in_log(seen: Callable[[Sample, LogSample], str]) -> Callable[[Sample], str]:
    """A rule that says nothing while the log cannot be read."""
    return lambda sample: "" if sample.log is None or sample.trouble else seen(sample, sample.log)


def never(_: Sample) -> str:
    """A rule whose metrics are not in a sample."""
    return ""
