"""The parity certificate: the largest distance of our predictions from H2O's, on hard rows too."""

import io
from collections.abc import Collection

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from models.mojo.model import Mojo

LIMIT = 1e-9
UNSEEN = "a level that no fit has seen"
PREDICTION = "prediction by H2O"

_ROWS_PER_COLUMN = 20
_MIXED_ROWS = 400
_KEPT_ROWS = 500


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a comparison with H2O.

    Attributes:
        rows: Number of rows.
        altered_rows: Number of altered rows among them.
        max_difference: The largest difference, relative to H2O's prediction if that is above 1; the
            largest float64 if either is not finite.
        ok: Whether that is at most `LIMIT`; if not, the model must not be promoted.
    """

    rows: int
    altered_rows: int
    max_difference: float
    ok: bool


def altered(frame: pl.DataFrame, categoricals: Collection[str], seed: int) -> pl.DataFrame:
    """Copy rows of a frame, with missing values and unseen levels put in.

    Each column in turn is missing, each categorical in turn has a level outside its domain, and a
    mixture has both at random, in few to all columns of a row.

    Args:
        frame: Features as H2O and `Mojo.encode` take them; at least one row.
        categoricals: Names of the columns with levels, which must be strings.
        seed: Seed of the random choices.

    Returns:
        A frame with the same columns and types.

    Raises:
        ValueError: The frame is empty, or a categorical column does not hold strings.
    """
    if frame.is_empty():
        msg = "frame must hold at least one row; got none"
        raise ValueError(msg)
    for name in categoricals:
        if frame.schema[name] != pl.String:
            msg = f"categoricals must be strings; got {frame.schema[name]} in {name!r}"
            raise ValueError(msg)
    random = np.random.default_rng(seed)
    n = len(frame)

    def sample(size: int) -> pl.DataFrame:
        return frame[random.integers(n, size=size)]

    parts = [
        sample(_ROWS_PER_COLUMN).with_columns(pl.lit(value, dtype=frame.schema[name]).alias(name))
        for name in frame.columns
        for value in ((None, UNSEEN) if name in categoricals else (None,))
    ]
    return pl.concat([*parts, _mixed(sample(_MIXED_ROWS), categoricals, random)])


def certify(
    mojo: Mojo,
    rows: pl.DataFrame,
    h2o_probability: npt.NDArray[np.float64],
    altered_rows: int = 0,
) -> Certificate:
    """Compare our predictions with H2O's on the same rows.

    Args:
        mojo: The model as read by our reader.
        rows: Features, as `Mojo.encode` takes them; at least one row.
        h2o_probability: float64[n]: H2O's predictions, P(second level) or the value.
        altered_rows: Number of rows that come from `altered`.

    Returns:
        The certificate, which may say that the predictions differ.

    Raises:
        ValueError: There are no rows, or their number differs from that of the predictions.
    """
    if rows.is_empty() or h2o_probability.shape != (len(rows),):
        msg = (
            f"predictions must be one per row, at least one; got {h2o_probability.shape} "
            f"for {len(rows)} rows"
        )
        raise ValueError(msg)
    worst = _difference(mojo, rows, h2o_probability)
    return Certificate(
        rows=len(rows), altered_rows=altered_rows, max_difference=worst, ok=worst <= LIMIT
    )


def kept_rows(rows: pl.DataFrame, h2o_probability: npt.NDArray[np.float64]) -> bytes:
    """Keep some of the certified rows, with H2O's predictions, for `verify`.

    Args:
        rows: Rows as passed to `certify`.
        h2o_probability: H2O's predictions for them.

    Returns:
        A Parquet file of at most 500 rows, evenly spread; deterministic.
    """
    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _KEPT_ROWS)).astype(np.int64))
    file = io.BytesIO()
    table = rows.with_columns(pl.Series(PREDICTION, h2o_probability))[places]
    table.write_parquet(file, compression="zstd")
    return file.getvalue()


def verify(mojo: Mojo, kept: bytes) -> float:
    """The largest difference of a loaded model from H2O's predictions, as in a certificate.

    Args:
        mojo: The model that will be used.
        kept: Result of `kept_rows` when it was published.

    Returns:
        A finite number; above `LIMIT` the model is not as certified.

    Raises:
        ValueError: The model wants a column that the rows lack.
    """
    table = pl.read_parquet(io.BytesIO(kept))
    return _difference(mojo, table.drop(PREDICTION), table[PREDICTION].to_numpy())


def _difference(mojo: Mojo, rows: pl.DataFrame, theirs: npt.NDArray[np.float64]) -> float:
    ours = mojo.score_many(mojo.encode(rows.to_dict()))
    with np.errstate(invalid="ignore"):  # inf minus inf is NaN, and thus not ok
        difference = np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))
    worst = float(np.nan_to_num(difference, nan=np.inf).max())
    return min(worst, float(np.finfo(np.float64).max))


def _mixed(
    frame: pl.DataFrame, categoricals: Collection[str], random: np.random.Generator
) -> pl.DataFrame:
    share = np.linspace(0.0, 1.0, len(frame))
    for name in frame.columns:
        changed = pl.Series(random.random(len(frame)) <= share)
        unseen = pl.Series(random.random(len(frame)) < 0.5)
        value = pl.lit(None, dtype=frame.schema[name])
        if name in categoricals:
            value = pl.when(unseen).then(pl.lit(UNSEEN)).otherwise(value)
        frame = frame.with_columns(pl.when(changed).then(value).otherwise(name).alias(name))
    return frame
