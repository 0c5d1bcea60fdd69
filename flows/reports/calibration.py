"""Probabilities that were said against shares of label 1 that came, by tenths of the requests."""

from typing import NamedTuple

from flows.pages.chart import reliability
from flows.pages.document import Key, Picture, Table
from flows.reports.figures import share, shares_between
from flows.reports.scorecard import ScorecardReport
from models.judging.histograms import Estimate
from models.judging.intervals import Counted, exact_interval


class Group(NamedTuple):
    """A tenth of the requests.

    Attributes:
        said: Mean probability.
        size: Number of requests.
        came: Share of label 1, with its exact interval.
    """

    said: float
    size: int
    came: Estimate

    @property
    def is_off(self) -> bool:
        """Whether the mean probability is outside the interval of the share."""
        return not self.came.low <= self.said <= self.came.high


def groups_of(report: ScorecardReport) -> list[Group]:
    """The tenths of a scorecard's requests."""
    return [
        Group(said, size, exact_interval(Counted(round(came * size), size)))
        for said, came, size in report.calibration
    ]


def calibration_picture(report: ScorecardReport, caption: str) -> Picture:
    """A point with its interval, and a row of the table, for each tenth.

    Args:
        report: The scorecard.
        caption: Text below the picture.
    """
    groups = groups_of(report)
    return Picture(
        reliability(
            "Share of label 1 against the probability that was said",
            [(said, *came) for said, _, came in groups],
        ),
        caption,
        [Key("requests, by tenths", "c1")],
        Table(
            ["said", "came", "95 % interval", "requests"],
            [
                [share(said), share(came.value), shares_between(came), f"{size:,}"]
                for said, size, came in groups
            ],
        ),
    )
