"""An offline model's file, loaded to score recorded vectors again."""

from typing import NamedTuple

import polars as pl

from flows.home.deployment import Deployment
from models.judging.importance import MeanEffect, mean_effects
from models.mojo.model import Mojo, MojoError, read_mojo
from models.refit.fit_record import FitRecord
from models.scorecard import Floats
from operators.training.model_registry import file_of
from state.storage.artifact_store import ArtifactError, ArtifactStore


class Loaded(NamedTuple):
    """A model, or the reason why it cannot be used here."""

    mojo: Mojo | None
    reason: str = ""


def load(record: FitRecord, artifacts: ArtifactStore) -> Loaded:
    """Read a model's file.

    Returns:
        The model; or the reason, if the file is missing or damaged, or needs a Java that was lost.
    """
    if not record.sha256:
        return Loaded(None, "it has no file")
    try:
        return Loaded(read_mojo(file_of(record, artifacts)))
    except (ArtifactError, MojoError, OSError, RuntimeError) as error:
        return Loaded(None, str(error))


def effects(deployment: Deployment, rows: pl.DataFrame) -> list[MeanEffect]:
    """Mean effects of the columns on the offline model's answers to some outcomes, largest first.

    Args:
        deployment: Log, stream and home.
        rows: Outcomes with all columns, of one model.

    Returns:
        The effects; empty if no offline model answered, or its file was lost.
    """
    model = rows["model"][0]
    if model is None:
        return []
    mojo = usable(load(deployment.registry.of(model), deployment.home.artifacts()), rows)
    return [] if mojo is None else mean_effects(mojo, vectors(mojo, rows))


def usable(file: Loaded, rows: pl.DataFrame) -> Mojo | None:
    """The model, if the outcomes have all of its columns."""
    mojo = file.mojo
    if mojo is None or any(column not in rows.columns for column in mojo.columns):
        return None
    return mojo


def vectors(mojo: Mojo, rows: pl.DataFrame) -> Floats:
    """The vectors of outcomes, as the model takes them."""
    return mojo.encode(rows.select(mojo.columns).to_dict())
