"""What is known of each fit: one record per boundary, whatever came of it."""

from typing import Literal

import msgspec

from models.h2o.search import Parameters
from models.refit.certificate import Certificate
from models.scorecard import Scorecard

Status = Literal["promoted", "rejected", "failed", "skipped"]


class TrainingFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a fit read."""

    name: str
    sha256: str


class TrainingWindow(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a fit.

    Attributes:
        start: Of the oldest request, µs UTC.
        end: Before which the newest request was made, µs UTC: the boundary.
        rows: In the whole window.
        validation_rows: How many of them judged the candidates.
        files: Where they lay.
    """

    start: int
    end: int
    rows: int
    validation_rows: int
    files: list[TrainingFile]


class Tried(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A candidate of the search.

    Attributes:
        parameters: H2O's.
        trees: How many were grown; None without trees.
        log_loss: The mean on the validation rows.
        window: How far back it looked from them (µs); 0: over the whole window.
    """

    parameters: Parameters
    trees: int | None
    log_loss: float
    window: int = 0


class FitRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fit and its fate.

    Attributes:
        boundary: µs UTC.
        status: Only a promoted model is activated.
        reason: Of the status, a sentence.
        algorithm: H2O's name of it.
        window: What was fitted on.
        model: The model's id, from what it computes; empty if there is none.
        parameters: The winner's: to be tried first next time.
        tried: All candidates, in order.
        metrics: Of the candidate, fitted without them, on the validation rows that are new to
            the champion.
        champion: Id of the champion it was compared with.
        champion_metrics: Of the champion, on the same rows.
        certificate: That the published model is scored here as H2O scores it.
        sha256: Of the artifact; empty if there is none.
        size_bytes: Of the artifact.
        rows_sha256: Of the artifact that holds rows to verify the model by, with H2O's predictions
            for them; empty if there is none.
    """

    boundary: int
    status: Status
    reason: str
    algorithm: str
    window: TrainingWindow | None = None
    model: str = ""
    parameters: Parameters = {}
    tried: list[Tried] = []
    metrics: Scorecard | None = None
    champion: str = ""
    champion_metrics: Scorecard | None = None
    certificate: Certificate | None = None
    sha256: str = ""
    size_bytes: int = 0
    rows_sha256: str = ""

    @property
    def winning_window(self) -> int:
        """How far back the winner looked (µs); 0: over the whole window."""
        return min(self.tried, key=lambda one: one.log_loss).window if self.tried else 0

    @property
    def files(self) -> list[str]:
        """sha256 of what goes wherever the model goes."""
        return [name for name in (self.sha256, self.rows_sha256) if name]


def model_id(algorithm: str, digest: str) -> str:
    """A model's name, from what it computes.

    Example:
        >>> model_id("gbm", "0123456789abcdef")
        'gbm-0123456789ab'
    """
    return f"{algorithm}-{digest[:12]}"
