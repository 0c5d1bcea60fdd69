"""An offline model's file, loaded to score recorded vectors again."""

from typing import NamedTuple

import numpy as np
import polars as pl

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
    """Read the file of a model; one that is missing, damaged or needs a lost Java is no error."""
    if not record.sha256:
        return Loaded(None, "it has no file")
    try:
        return Loaded(read_mojo(file_of(record, artifacts)))
    except (ArtifactError, MojoError, OSError, RuntimeError) as error:
        return Loaded(None, str(error))


def scores(mojo: Mojo, rows: pl.DataFrame) -> Floats:
    """The model's probabilities for outcomes; NaN for all if they lack one of its columns."""
    if any(column not in rows.columns for column in mojo.columns):
        return np.full(len(rows), np.nan)
    return mojo.score_many(mojo.encode(rows.select(mojo.columns).to_dict()))
