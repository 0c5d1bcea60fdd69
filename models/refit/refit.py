"""One refit, from files to a decision: search, certificate, scorecard, gate."""

import hashlib
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl

from models.h2o.frames import LABEL, TIMES, held, predict, tidy, upload
from models.h2o.server import H2OServer
from models.h2o.time_split import TimeSplit
from models.mojo.model import Mojo, read_mojo
from models.refit.certificate import Certificate, altered, certify, kept_rows
from models.refit.fit_record import FitRecord, Status, TrainingFile, TrainingWindow, model_id
from models.refit.gate import Verdict, gate
from models.refit.plan import FitTask, plan
from models.refit.search import search
from models.scorecard import Floats, scorecard


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

    The same files give the same model. A model that this program scores otherwise than H2O does,
    or that is worse than the champion beyond noise, is rejected.

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
    windows = plan(task).windows
    rows = pl.scan_parquet(list(task.files), glob=False)
    validation = _validation(rows, task, windows[0].cuts)
    labels = validation[LABEL].cast(pl.Float64).to_numpy()
    with tidy(server) as prefix:
        found = search(server, task, windows, prefix, validation, labels)
        artifact = server.download(f"GET /3/Models/{found.model}/mojo")
        mojo = read_mojo(artifact)
        certificate, kept = _certify(server, task, f"{prefix}check", found.model, mojo, validation)
    winner = found.winner
    record = _judge(task, champion, validation, labels, winner.probabilities, certificate)
    record = msgspec.structs.replace(
        record,
        window=_window(rows, task, found.window.cuts, len(validation)),
        model=model_id(task.algorithm, mojo.digest),
        parameters=winner.parameters,
        tried=found.tried,
        search="grid" if task.proposals is None else "tpe",
        sha256=hashlib.sha256(artifact).hexdigest(),
        size_bytes=len(artifact),
        rows_sha256=hashlib.sha256(kept).hexdigest(),
    )
    return Trained(record, artifact, kept)


def lacking(task: FitTask) -> str:
    """Reason why there can be no fit, found without H2O; empty: a fit is possible."""
    return plan(task).reason


def _validation(rows: pl.LazyFrame, task: FitTask, cuts: TimeSplit) -> pl.DataFrame:
    types = dict.fromkeys(task.features, pl.Float64) | dict.fromkeys(task.categoricals, pl.String)
    features = [pl.col(name).cast(types[name]) for name in task.features]
    return rows.filter(cuts.validation.in_polars()).select(*TIMES, LABEL, *features).collect()


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
    seen = cuts.whole if task.refits else cuts.training
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
