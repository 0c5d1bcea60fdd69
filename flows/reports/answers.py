"""All labelled answers of a log, with those that its first model would have given."""

from typing import NamedTuple

import numpy as np
import polars as pl

from flows.errors.user_errors import CommandError
from flows.home.deployment import Deployment
from flows.reports.offline_model import Loaded, load, usable, vectors
from flows.reports.scorecard import REQUESTS, Judged, judged
from flows.reports.topic_frames import Progress, topic_frames, within
from flows.terminal.time_format import format_time
from models.refit.fit_record import FitRecord
from state.events import DAY_US
from state.topics import OUTCOMES, PREDICTIONS

ANSWERS = ("probability", "online", "offline", "residual")
FROZEN = "frozen"
"""Column of the first model's answers; NaN where it could not have answered."""

_COLUMNS = (*REQUESTS, "event_time", "label", "label_time", *ANSWERS)
_DAYS = 2 * DAY_US


class Answers(NamedTuple):
    """The answers, and the vectors of the last two days.

    Attributes:
        found: The labelled answers that count, by event time, with the column `FROZEN`.
        first: The record of the first model in use; None: there was none.
        frozen: File of the first model, or why it cannot be used.
        newest: The record of the newest model in use.
        file: File of the newest model.
        recent: Outcomes of the last two days, with its columns.
    """

    found: Judged
    first: FitRecord | None
    frozen: Loaded
    newest: FitRecord | None
    file: Loaded
    recent: pl.DataFrame


def answers_of(
    deployment: Deployment, since: int | None, until: int | None, on_progress: Progress
) -> Answers:
    """Read `outcomes` and `predictions` once, in bounded memory but for some columns.

    Args:
        deployment: Log, stream and settings.
        since: Event time of the oldest request, µs UTC; None: the first.
        until: Event time before which to stop; None: the last.
        on_progress: See `topic_frames`.

    Raises:
        CommandError: No request there has got its label.
    """
    promoted = [one for one in deployment.registry.history() if one.status == "promoted"]
    first, newest = (promoted[0], promoted[-1]) if promoted else (None, None)
    artifacts = deployment.home.artifacts()
    frozen, file = (
        Loaded(None, "no model was ever in use") if one is None else load(one, artifacts)
        for one in (first, newest)
    )
    there = {column.name for column in deployment.stream.columns}
    of_models = [one.mojo.columns for one in (frozen, file) if one.mojo is not None]
    wanted = dict.fromkeys(name for names in of_models for name in names if name in there)
    rows: list[pl.DataFrame] = []
    recent: list[pl.DataFrame] = []
    names = [*_COLUMNS, *wanted]
    for frame in topic_frames(deployment.log, OUTCOMES, names, on_progress):
        some = within(frame, since, until)
        if some.is_empty():
            continue
        rows.append(some.select(_COLUMNS).with_columns(_frozen(frozen, some)))
        recent = _newest([*recent, some])
    if not rows:
        raise CommandError(_no_label(since, until))
    asked = [
        within(frame, since, until)
        for frame in topic_frames(
            deployment.log, PREDICTIONS, [*REQUESTS, "event_time", *ANSWERS], on_progress
        )
    ]
    by_silence = deployment.stream.label.silence is not None
    outcomes = pl.concat(rows)
    known = (
        pl.concat(asked).lazy()
        if asked
        else outcomes.clear().lazy().select([*REQUESTS, "event_time", *ANSWERS])
    )
    found = judged(outcomes.lazy(), known, by_silence=by_silence)
    if found.rows.is_empty():
        raise CommandError(_no_label(since, until))
    return Answers(found, first, frozen, newest, file, pl.concat(recent))


def _frozen(of: Loaded, rows: pl.DataFrame) -> pl.Series:
    """The first model's answers from its first use on."""
    answered = rows["offline"].is_not_null().to_numpy()
    found = np.full(len(rows), np.nan)
    mojo = usable(of, rows)
    if mojo is not None and answered.any():
        found[answered] = mojo.score_many(vectors(mojo, rows.filter(answered)))
    return pl.Series(FROZEN, found)


def _newest(frames: list[pl.DataFrame]) -> list[pl.DataFrame]:
    """The rows of the last two days; frames without any are dropped."""
    times = pl.concat([frame.select(pl.col("event_time").max()) for frame in frames])
    newest = times["event_time"].dt.timestamp("us").max()
    assert isinstance(newest, int)
    if len(frames) > 2:
        frames = [within(frame, newest - _DAYS, None) for frame in frames]
    return [frame for frame in frames if not frame.is_empty()]


def _no_label(since: int | None, until: int | None) -> str:
    msg = "log must hold a labelled request"
    if since is None and until is None:
        return f"{msg}; got none yet: `headwater status` shows how far the flow is"
    start = "the first event" if since is None else format_time(since)
    end = "now" if until is None else format_time(until)
    return f"{msg} of the time asked for; got none from {start} to {end}"
