"""The record of a fit: one per boundary, whatever the decision."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from models.h2o.search import Parameters
from models.refit.certificate import Certificate
from models.scorecard import Scorecard

Status = Literal[
    "promoted", "rejected", "failed", "skipped", "proven", "dismissed", "returned",
]  # fmt: skip
"""The decision on a fit, or on the title: the newest model is proven better and takes it; or the
model before it keeps it, or takes it back, and the newest one answers no more."""

Search = Literal["grid", "tpe"]
"""Source of the parameters that a fit tries: seeded draws from a grid, or proposals that rest on
earlier fits."""

TITLES = ("proven", "dismissed", "returned")
"""Decisions on the title, which are made without a fit."""

ALERTED = ("failed", "rejected", "dismissed", "returned")
"""Decisions that a person should look at."""


class TrainingFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a fit read."""

    name: str
    sha256: str


class TrainingWindow(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a fit.

    Attributes:
        start: Time of the oldest request, µs UTC.
        end: Boundary, before which the newest request was made, µs UTC.
        rows: Number of rows in the whole window.
        validation_rows: Number of rows that judged the candidates.
        files: The files that were read.
    """

    start: int
    end: int
    rows: int
    validation_rows: int
    files: list[TrainingFile]


class TriedCandidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A candidate of the search.

    Attributes:
        parameters: Parameters, named as in H2O.
        trees: Number of trees; None: the algorithm grows none.
        log_loss: Mean log-loss on the validation rows.
        window: Time before the validation rows whose rows it was fitted on (µs); 0: the whole
            window.
        thinning: One of so many rows was used; only candidates with all rows can win.
    """

    parameters: Parameters
    trees: int | None
    log_loss: float
    window: int = 0
    thinning: int = 1


class TitleEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """The evidence for a decision on the title: means over the partitions.

    Attributes:
        better: Evidence that the newest model is better than the one before.
        worse: Evidence that it is worse.
        labels: Number of labels, of all partitions.
        gain: Mean log-loss of the model before minus that of the newest one on these.
        alpha: `promotion.alpha`; evidence of 1 / alpha decides.
        metrics: Number of records in each partition of `metrics`, the last of which was read.
        time: Event time of the newest of these, µs UTC.
    """

    better: float
    worse: float
    labels: int
    gain: float
    alpha: float
    metrics: list[int]
    time: int


class FitRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fit and the decision on it, or a decision on the title.

    Attributes:
        boundary: Boundary of the fit, µs UTC; of the newest fit if this decides on the title.
        status: The decision; only a promoted model is activated, or one that has the title again.
        reason: Reason of the decision, a sentence.
        algorithm: H2O's name of the algorithm.
        window: The rows of the fit.
        model: Id of the model, a hash of its arithmetic; empty if there is none.
        parameters: Parameters of the winner, which the next search tries first.
        tried: All candidates, in order.
        search: The search that found them, see `training.search`.
        metrics: Scorecard of the candidate, fitted without them, on the validation rows that are
            new to the champion.
        champion: Id of the champion it was compared with.
        champion_metrics: Scorecard of the champion on the same rows.
        certificate: Comparison of our predictions with H2O's.
        sha256: Hash of the model's file; empty if there is none.
        size_bytes: Size of the model's file.
        rows_sha256: Hash of the file with rows and H2O's predictions to verify the model by; empty
            if there is none.
        title: Id of the model that has the title beside a promoted one; empty: the one in use
            before.
        evidence: The evidence, if this decides on the title.
    """

    boundary: int
    status: Status
    reason: str
    algorithm: str
    window: TrainingWindow | None = None
    model: str = ""
    parameters: Parameters = {}
    tried: list[TriedCandidate] = []
    search: Search = "grid"
    metrics: Scorecard | None = None
    champion: str = ""
    champion_metrics: Scorecard | None = None
    certificate: Certificate | None = None
    sha256: str = ""
    size_bytes: int = 0
    rows_sha256: str = ""
    profile_sha256: str = ""
    title: str = ""
    evidence: TitleEvidence | None = None

    @property
    def time(self) -> int:
        """Event time of the decision, µs UTC: that of its evidence, or the boundary."""
        return self.boundary if self.evidence is None else self.evidence.time

    @property
    def winning_window(self) -> int:
        """Window of the winner (µs); 0: the whole window."""
        winner = self.winner
        return 0 if winner is None else winner.window

    @property
    def winner(self) -> TriedCandidate | None:
        """The best candidate that was fitted on all rows, of equals the first; None: no fit."""
        full = [one for one in self.tried if one.thinning == 1]
        return min(full, key=lambda one: one.log_loss, default=None)

    @property
    def files(self) -> list[str]:
        """sha256 of the files that belong to the model."""
        return [name for name in (self.sha256, self.rows_sha256, self.profile_sha256) if name]


def model_id(algorithm: str, digest: str) -> str:
    """Id of a model, from the hash of its arithmetic.

    Example:
        >>> model_id("gbm", "0123456789abcdef")
        'gbm-0123456789ab'
    """
    return f"{algorithm}-{digest[:12]}"


def title_of(history: Sequence[FitRecord]) -> str | None:
    """The model that has the title after some decisions; None if no model was promoted.

    Args:
        history: Decisions; a model that answers again counts as promoted, with the title.
    """
    title: str | None = None
    newest: str | None = None
    for one in history:
        if one.status == "proven":
            title = one.model
        elif one.status == "promoted":
            if one.model != newest or one.title:
                title = one.title or newest or one.model
            newest = one.model
    return title


def newest_promoted(decisions: Sequence[FitRecord]) -> FitRecord | None:
    """The newest promoted fit of some decisions; None if no model was promoted."""
    return next((one for one in reversed(decisions) if one.status == "promoted"), None)
