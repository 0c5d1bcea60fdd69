"""The profile of the rows that a fit could use, by which live columns are judged."""

import msgspec
import numpy as np
import polars as pl

from models.h2o.frames import LABEL
from models.judging.column_profile import Profile
from models.judging.importance import importance, spread
from models.judging.profile_build import levels_profile, numbers_profile, training_rows
from models.mojo.model import Mojo
from models.refit.plan import FitTask

_ROWS_OF_IMPORTANCE = 2_000
MOST_ROWS = 2_000_000
"""Rows of a profile at most, nearly: some 100 bytes of memory each."""
BLOCK = 4_096
"""Offsets one after another that count or not together, as a run of one value is a figure too."""


def profile_of(task: FitTask, mojo: Mojo, most_rows: int = MOST_ROWS) -> Profile:
    """The profile of a fit's columns, with their importance for its model.

    All rows of `task.reference` before the boundary count, also where the winner was fitted on the
    newest part of them, so that the profile knows as many hours of the week as there are. Of more
    than `most_rows` only every second, third … block of offsets counts.

    Args:
        task: The fit.
        mojo: The model.
        most_rows: Number of rows from which blocks are left out.
    """
    event = pl.col("event_time").dt.timestamp("us")
    since = task.boundary - max(task.reference, task.window)
    files = pl.scan_parquet(list(task.files), glob=False)
    rows = files.filter((event >= since) & (event < task.boundary))
    thinning = -(-int(rows.select(pl.len()).collect().item()) // most_rows)
    if thinning > 1:
        rows = rows.filter(pl.col("offset") // BLOCK % thinning == 0)
    places = rows.select("partition", "offset", event).collect()
    partitions, offsets, times = (of.cast(pl.Int64).to_numpy() for of in places)
    order = np.lexsort((offsets, partitions))
    known = training_rows(partitions[order], times[order])
    shares = _importance(task, mojo, rows, len(order))
    columns = []
    for name in task.features:
        values = rows.select(name).collect()[name][order]
        share = shares.get(name, 0.0)
        if name in task.categoricals:
            column = levels_profile(name, values.cast(pl.String).to_list(), known, share)
        else:
            numbers = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
            column = numbers_profile(name, numbers, known, share)
        # A run may go on through the blocks that are left out.
        columns.append(msgspec.structs.replace(column, longest=column.longest * max(thinning, 1)))
    return Profile(start=int(times.min()), end=int(times.max()), rows=len(order), columns=columns)


def _importance(task: FitTask, mojo: Mojo, rows: pl.LazyFrame, n: int) -> dict[str, float]:
    """Share of each column in the rise of the log-loss without it."""
    names = [name for name in task.features if name in mojo.columns]
    some = (
        rows.select(LABEL, *names)
        .with_row_index("at")
        .filter(pl.col("at").is_in(spread(n, _ROWS_OF_IMPORTANCE).tolist()))
        .collect()
    )
    labels = some[LABEL].cast(pl.Int64).to_numpy()
    found = importance(mojo, mojo.encode(some.select(names).to_dict(as_series=False)), labels)
    whole = sum(max(one.rise, 0.0) for one in found)
    return {one.column: max(one.rise, 0.0) / whole if whole else 0.0 for one in found}
