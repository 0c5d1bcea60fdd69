"""The facts on one model, from the log and from the model's file."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flows.errors.user_errors import CommandError
from flows.home.deployment import Deployment
from flows.reports.offline_model import Loaded, load, usable, vectors
from flows.reports.scorecard import REQUESTS, ScorecardReport, judged, scorecard_of
from flows.reports.silence import SilentShare, silent_share
from flows.reports.topic_frames import Progress, topic_frames
from models.judging.importance import Importance, importance, spread
from models.judging.intervals import Counted
from models.judging.slices import Slices, worst_slices
from models.refit.fit_record import TITLES, FitRecord, newest_promoted
from operators.partition.journal import Activated, Journal
from operators.training.training_cuts import cuts_of
from state.log import EVENTS, OffsetError
from state.topics import OUTCOMES, PREDICTIONS, SNAPSHOTS

_ROWS_OF_IMPORTANCE = 4_000
_NAMED = 5
Flags = NDArray[np.bool_]


class Use(NamedTuple):
    """The requests that a model answered as the newest offline model.

    Attributes:
        requests: Number of them.
        labelled: Number of those with a label that counts.
        first: Event time of the first, µs UTC.
        last: Event time of the last.
        scorecard: Scorecard of the model's own probabilities.
        decisions: Hits and rows of precision, recall, false positives and accuracy.
        slices: Slices of these requests, by the levels of categorical columns.
        importance: Importance of each column; empty if the file cannot be used.
        unseen: Requests with a level that the model was not fitted on, by column.
        silent: Share of labels by silence.
    """

    requests: int
    labelled: int
    first: int
    last: int
    scorecard: ScorecardReport
    decisions: dict[str, Counted]
    slices: Slices
    importance: list[Importance]
    unseen: dict[str, Counted]
    silent: SilentShare


class CutFile(NamedTuple):
    """A file of training rows.

    Attributes:
        path: Path below `snapshots`; or the file's name, if the cut is not in the log.
        rows: Number of rows; None: not known.
        sha256: Hash of the file.
    """

    path: str
    rows: int | None
    sha256: str


class ModelCard(NamedTuple):
    """The facts on one model.

    Attributes:
        record: The fit.
        files: Files of its training rows.
        decisions: All decisions on the model and its title, in order.
        next_model: The promotion that followed its last one; None: none has.
        in_use: Whether it is the newest offline model in use.
        champion: Id of the model that has the title; None: there is none.
        use: Answers of the model; None: none of them has a label that counts.
        file: The model's file, or why it cannot be used.
    """

    record: FitRecord
    files: list[CutFile]
    decisions: list[FitRecord]
    next_model: FitRecord | None
    in_use: bool
    champion: str | None
    use: Use | None
    file: Loaded


def find_model(records: Sequence[FitRecord], name: str | None) -> FitRecord:
    """The record of a model's fit.

    Args:
        records: All decisions.
        name: Id of the model or the beginning of it; None: the newest in use.

    Raises:
        CommandError: No fit made a model, or the name fits no model or several.
    """
    known = {one.model: one for one in records if one.model and (one.sha256 or one.window)}
    if not known:
        msg = "home must have a model; got none: `headwater models` shows why no fit has made one"
        raise CommandError(msg)
    if name is None:
        newest = newest_promoted(records)
        return known[newest.model if newest and newest.model in known else [*known][-1]]
    found = [name] if name in known else [model for model in known if model.startswith(name)]
    if len(found) == 1:
        return known[found[0]]
    if found:
        near, word = found, "it begins"
    elif close := get_close_matches(name, known, _NAMED, 0.5):
        near, word = sorted(close), "near it are"
    else:
        near, word = [*known][::-1], "the newest are"
    msg = f"MODEL must be the id of one model; got {name!r}, {word} {', '.join(near[:_NAMED])}"
    raise CommandError(msg)


def card_of(deployment: Deployment, name: str | None, on_progress: Progress) -> ModelCard:
    """Gather the facts on a model.

    Args:
        deployment: Log, stream and settings.
        name: Id of the model or the beginning of it; None: the newest in use.
        on_progress: See `topic_frames`.

    Raises:
        CommandError: See `find_model`.
    """
    history = deployment.registry.history()
    record = find_model(history, name)
    of_model = [
        one
        for one in deployment.registry.decisions()
        if record.model == one.model or (one.status in TITLES and one.champion == record.model)
    ]
    promoted = [one for one in history if one.status == "promoted"]
    last = max((i for i, one in enumerate(promoted) if one.model == record.model), default=None)
    later = [] if last is None else promoted[last + 1 :]
    file = load(record, deployment.home.artifacts())
    return ModelCard(
        record=record,
        files=_files(deployment, record),
        decisions=of_model,
        next_model=later[0] if later else None,
        in_use=last is not None and not later,
        champion=deployment.registry.title(),
        use=None if last is None else _use(deployment, record.model, file, on_progress),
        file=file,
    )


def _files(deployment: Deployment, record: FitRecord) -> list[CutFile]:
    files = record.window.files if record.window else []
    partitions = range(deployment.log.partitions(SNAPSHOTS)) if files else ()
    cuts = {cut.sha256: cut for p in partitions for cut in cuts_of(deployment.log, p)}
    return [
        CutFile(cuts[one.sha256].path, cuts[one.sha256].rows, one.sha256)
        if one.sha256 in cuts
        else CutFile(one.name, None, one.sha256)
        for one in files
    ]


def _use(deployment: Deployment, model: str, file: Loaded, on_progress: Progress) -> Use | None:
    log, stream = deployment.log, deployment.stream
    since = _since(deployment, model)
    names = [*REQUESTS, "event_time", "append_time", "offline", "model"]
    asked = _all_of(topic_frames(log, PREDICTIONS, names, on_progress, since), model)
    if asked is None:
        return None
    rows = _all_of(topic_frames(log, OUTCOMES, None, on_progress, since), model, len(asked))
    if rows is None:
        return None
    by_silence = stream.label.silence is not None
    found = judged(rows.lazy(), asked.lazy(), by_silence=by_silence)
    rows = found.rows.drop_nulls("offline")
    if rows.is_empty():
        return None
    settings = deployment.settings
    labels = rows["label"].to_numpy().astype(np.int64)
    said = rows["offline"].to_numpy().astype(np.float64)
    categories = [one.name for one in stream.columns if one.categorical and one.for_trees]
    times = asked["event_time"].dt.timestamp("us").to_numpy()
    few = rows[spread(len(rows), _ROWS_OF_IMPORTANCE)]
    mojo = usable(file, rows)
    return Use(
        requests=len(asked),
        labelled=len(rows),
        first=int(times.min()),
        last=int(times.max()),
        scorecard=scorecard_of(found, "offline", settings),
        decisions=_decisions(labels == 1, said >= settings.decision.threshold),
        slices=worst_slices(
            {name: rows[name].to_list() for name in categories},
            labels,
            said,
            settings.decision.threshold,
        ),
        importance=[]
        if mojo is None
        else importance(
            mojo,
            vectors(mojo, few),
            few["label"].to_numpy().astype(np.int64),
        ),
        unseen={}
        if mojo is None
        else {
            name: count
            for name, domain in zip(mojo.columns, mojo.domains, strict=True)
            if domain is not None and (count := _unseen(rows[name], domain)).hits
        },
        silent=silent_share(log, stream, rows),
    )


def _decisions(positive: Flags, decided: Flags) -> dict[str, Counted]:
    def count(hits: Flags, of: Flags) -> Counted:
        return Counted(int(np.count_nonzero(hits & of)), int(np.count_nonzero(of)))

    return {
        "precision": count(positive, decided),
        "recall": count(decided, positive),
        "false positives": count(decided, ~positive),
        "right decisions": count(decided == positive, np.ones(len(decided), bool)),
    }


def _unseen(levels: pl.Series, domain: Sequence[str]) -> Counted:
    known = levels.drop_nulls()
    return Counted(int((~known.is_in(list(domain))).sum()), len(levels))


def _all_of(
    frames: Iterable[pl.DataFrame], model: str, most: int | None = None
) -> pl.DataFrame | None:
    """The rows of a model; reading ends once there are `most`."""
    found: list[pl.DataFrame] = []
    for frame in frames:
        rows = frame.filter(pl.col("model") == model)
        if not rows.is_empty():
            found.append(rows)
        if most is not None and sum(map(len, found)) >= most:
            break
    return pl.concat(found) if found else None


def _since(deployment: Deployment, model: str) -> int | None:
    """Append time from which on the model may have answered; None: from the log's start."""
    log, times = deployment.log, []
    for partition in range(log.partitions(EVENTS)):
        entries = (e for e in Journal(log, partition).entries if isinstance(e, Activated))
        offset = next((e.offset for e in entries if e.model == model), None)
        if offset is not None:
            try:
                times += [r.append_time for r in log.read(EVENTS, partition, offset, max_records=1)]
            except OffsetError:  # trimmed
                return None
    return min(times, default=None)
