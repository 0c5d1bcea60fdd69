"""One refit, from files to a decision: search, certificate, scorecard, gate."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl

from models.h2o.fit import Candidate, Tables, best_of, refit
from models.h2o.frames import LABEL, TIMES, cut, held, import_files, predict, tidy, upload
from models.h2o.search import Parameters, candidates
from models.h2o.server import H2OServer
from models.h2o.time_split import TimeSplit, spans
from models.mojo.model import Mojo, read_mojo
from models.refit.certificate import Certificate, altered, certify, kept_rows
from models.refit.fit_record import (
    FitRecord,
    Status,
    TrainingFile,
    TrainingWindow,
    TriedCandidate,
    model_id,
)
from models.refit.gate import Verdict, gate
from models.scorecard import Floats, scorecard


class FitTask(msgspec.Struct, frozen=True, kw_only=True):
    """One fit at one boundary. Times and durations in µs.

    Attributes:
        files: Parquet files with `event_time` and `label_time` (`timestamp[ms]`, UTC), `label`
            (0/1) and the features: numbers or strings. Other columns are ignored.
        features: Names of the features.
        categoricals: Names of those that are strings.
        boundary: Boundary; no row from then on is used.
        window: Length of the time before the boundary that is used.
        validation: Length of the newest slice, on which candidates are judged.
        embargo: Gap between training and validation: the longest delay of a label.
        algorithm: One of `models.h2o.search.ALGORITHMS`.
        previous: Parameters of the last winner, tried first.
        draws: Number of other parameters to try.
        seed: Seed of all random choices.
        min_rows: Least rows in the window; with fewer there is no fit.
        margin: Required decrease of the log-loss against the champion's.
        refit: Publish the winner fitted again on the whole window; AutoML's winner never is, as it
            has no parameters to fit by.
    """

    files: Sequence[Path]
    features: Sequence[str]
    categoricals: Sequence[str]
    boundary: int
    window: int
    validation: int
    embargo: int
    algorithm: str = "gbm"
    previous: Parameters | None = None
    draws: int = 1
    seed: int = 1
    min_rows: int = 2_000
    margin: float = 0.0
    refit: bool = True


class Champion(NamedTuple):
    """The active model: its id, its reader, and the end of the rows it was fitted on."""

    model: str
    mojo: Mojo
    end: int


class Trained(NamedTuple):
    """The record of a fit, its MOJO, and rows to verify the MOJO by when it is loaded."""

    record: FitRecord
    artifact: bytes
    rows: bytes


def train(server: H2OServer, task: FitTask, champion: Champion | None) -> Trained:
    """Fit, certify, measure and judge one model; all its objects in H2O are deleted.

    The same files give the same model. A model is rejected if our predictions differ from H2O's, or
    if it is not better than the champion.

    Args:
        server: A running H2O that can read the files.
        task: The fit; `lacking` must have returned an empty text.
        champion: Model to beat; None before the first model.

    Returns:
        The record of a promoted or rejected model, and the model.

    Raises:
        H2OLost: H2O is gone.
        H2OFailed: H2O refused a request or a job failed.
        ValueError: The algorithm is not supported.
    """
    cuts = spans(task.boundary, task.window, task.validation, task.embargo)
    tries = candidates(
        task.algorithm, task.previous, task.draws, [task.seed, task.boundary // 1_000_000]
    )
    rows = pl.scan_parquet(list(task.files), glob=False)
    validation = _validation(rows, task, cuts)
    labels = validation[LABEL].cast(pl.Float64).to_numpy()
    with tidy(server) as prefix:
        winner, fitted, model = _search(server, task, cuts, prefix, validation, labels, tries)
        artifact = server.download(f"GET /3/Models/{model}/mojo")
        mojo = read_mojo(artifact)
        certificate, kept = _certify(server, task, f"{prefix}check", model, mojo, validation)
    record = _judge(task, champion, validation, labels, winner.probabilities, certificate)
    record = msgspec.structs.replace(
        record,
        window=_window(rows, task, cuts, len(validation)),
        model=model_id(task.algorithm, mojo.digest),
        parameters=winner.parameters,
        tried=[
            TriedCandidate(parameters=one.parameters, trees=one.trees, log_loss=one.log_loss)
            for one in fitted
        ],
        sha256=hashlib.sha256(artifact).hexdigest(),
        size_bytes=len(artifact),
        rows_sha256=hashlib.sha256(kept).hexdigest(),
    )
    return Trained(record, artifact, kept)


def lacking(task: FitTask) -> str:
    """The reason why there can be no fit, found without H2O; empty if there can."""
    if not task.files:
        return f"rows must be at least {task.min_rows}; got 0 in the window"
    cuts = spans(task.boundary, task.window, task.validation, task.embargo)
    found = (
        pl.scan_parquet(list(task.files), glob=False)
        .select(
            pl.col(LABEL).filter(cuts.whole.in_polars()).count().alias("rows"),
            pl.col(LABEL).filter(cuts.training.in_polars()).n_unique().alias("training"),
            pl.col(LABEL).filter(cuts.validation.in_polars()).n_unique().alias("validation"),
        )
        .collect()
    )
    count, *classes = found.row(0)
    if count < task.min_rows:
        return f"rows must be at least {task.min_rows}; got {count} in the window"
    for name, labels in zip(("training", "validation"), classes, strict=True):
        if labels < 2:
            return f"{name} rows must have both labels; got {labels}"
    return ""


def _validation(rows: pl.LazyFrame, task: FitTask, cuts: TimeSplit) -> pl.DataFrame:
    types = dict.fromkeys(task.features, pl.Float64) | dict.fromkeys(task.categoricals, pl.String)
    features = [pl.col(name).cast(types[name]) for name in task.features]
    return rows.filter(cuts.validation.in_polars()).select(*TIMES, LABEL, *features).collect()


def _search(
    server: H2OServer,
    task: FitTask,
    cuts: TimeSplit,
    prefix: str,
    validation: pl.DataFrame,
    labels: Floats,
    tries: list[Parameters],
) -> tuple[Candidate, list[Candidate], str]:
    tables = Tables(f"{prefix}training", f"{prefix}validation")
    everything, whole = f"{prefix}files", f"{prefix}whole"
    import_files(server, everything, task.files, task.features, task.categoricals)
    upload(server, tables.validation, validation, task.features, task.categoricals)
    cut(server, everything, tables.training, cuts.training)
    winner, fitted = best_of(server, task.algorithm, tables, labels, tries, task.seed)
    if not _refits(task):
        return winner, fitted, winner.model
    cut(server, everything, whole, cuts.whole)
    return winner, fitted, refit(server, task.algorithm, winner, whole, task.seed)


def _refits(task: FitTask) -> bool:
    return task.refit and task.algorithm != "automl"


def _certify(
    server: H2OServer, task: FitTask, name: str, model: str, mojo: Mojo, validation: pl.DataFrame
) -> tuple[Certificate, bytes]:
    plain = validation.select(task.features)
    hard = altered(plain, task.categoricals, task.seed)
    upload(server, name, pl.concat([plain, hard]), task.features, task.categoricals)
    # Rows as H2O holds them: it alters some numbers by a few units in the last place.
    rows = held(server, name, task.features, task.categoricals)
    theirs = predict(server, model, name)
    return certify(mojo, rows, theirs, len(hard)), kept_rows(rows, theirs)


def _judge(
    task: FitTask,
    champion: Champion | None,
    validation: pl.DataFrame,
    labels: Floats,
    ours: Floats,
    certificate: Certificate,
) -> FitRecord:
    theirs: Floats | None = None
    if champion:
        # On rows that the champion was fitted on, it would look better than it is.
        new = (validation["event_time"].dt.timestamp("us") >= champion.end).to_numpy()
        validation, labels, ours = validation.filter(new), labels[new], ours[new]
        theirs = champion.mojo.score_many(champion.mojo.encode(validation.to_dict()))
        theirs = np.where(np.isfinite(theirs), theirs, 0.5)  # no prediction counts as 0.5
    verdict = gate(labels, ours, theirs, task.margin)
    if not certificate.ok:
        reason = f"scored here {certificate.max_difference:g} away from H2O"
        verdict = Verdict(promoted=False, reason=reason)
    record = _record(task, "promoted" if verdict.promoted else "rejected", verdict.reason)
    return msgspec.structs.replace(
        record,
        metrics=scorecard(labels, ours) if len(labels) else None,
        champion=champion.model if champion else "",
        champion_metrics=scorecard(labels, theirs) if len(labels) and theirs is not None else None,
        certificate=certificate,
    )


def _window(
    rows: pl.LazyFrame, task: FitTask, cuts: TimeSplit, validation_rows: int
) -> TrainingWindow:
    seen = cuts.whole if _refits(task) else cuts.training
    count, oldest = (
        rows.filter(seen.in_polars())
        .select(pl.len(), pl.col("event_time").dt.timestamp("us").min().alias("oldest"))
        .collect()
        .row(0)
    )
    return TrainingWindow(
        start=oldest,
        end=seen.end * 1000,
        rows=count,
        validation_rows=validation_rows,
        files=[
            TrainingFile(name=file.name, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
            for file in task.files
        ],
    )


def _record(task: FitTask, status: Status, reason: str) -> FitRecord:
    return FitRecord(boundary=task.boundary, status=status, reason=reason, algorithm=task.algorithm)


def skipped(task: FitTask, reason: str) -> FitRecord:
    """The record of a boundary without a fit; the champion stays."""
    return _record(task, "skipped", reason)


def failed(task: FitTask, error: Exception) -> FitRecord:
    """The record of a fit that ended in an error; the champion stays."""
    return _record(task, "failed", f"{type(error).__name__}: {error}")
