"""The results of a trial as aligned lines of text."""

from collections.abc import Iterator, Sequence

import numpy as np

from flows.stream_check.fits import fits_of, told
from flows.stream_check.telling_columns import telling_columns
from flows.stream_check.trial import Seen, Trial
from flows.terminal.time_format import format_time
from models.scorecard import scorecard
from state.settings import Settings
from state.stream import Stream
from state.vector.memory import WARN_BYTES, key_memory

_WIDEST = 20
_HEADING = 14
_MANY = 100


def definition_lines(stream: Stream) -> Iterator[str]:
    """Summarise the definition in a few lines."""
    kinds = ", ".join(str(event.__struct_config__.tag) for event in stream.events)
    yield _line("stream", f"{stream.name}: event types {kinds}")
    yield _line("request", str(stream.request.__struct_config__.tag))
    label = stream.label
    silence = "unknown" if label.silence is None else int(label.silence)
    yield _line("label", f"by {label.on.__struct_config__.tag}; by silence {silence}")
    yield _line("features", f"{len(stream.features)} in {len(stream.columns)} columns")
    fields = dict.fromkeys(field for field in stream.key_fields.values() if field)
    routed = "one, without a key" if stream.key is None else f"by {' or '.join(fields)}"
    yield _line("partitions", f"{stream.partitions}, {routed}" if fields else routed)
    for one in key_memory(stream):
        much = f"; above {WARN_BYTES / 1e3:.0f} kB, most of it {one.largest.title}"
        yield _line("memory", f"each key of {one}{much if one.most > WARN_BYTES else ''}")


def trial_lines(trial: Trial, stream: Stream, settings: Settings) -> Iterator[str]:
    """Summarise the results of a trial.

    Args:
        trial: Trial of this stream.
        stream: The stream's definition.
        settings: Settings of the trial.
    """
    counted = [f"{n:,} {kind}" for kind, n in trial.events.most_common()]
    unseen = [
        str(kind.__struct_config__.tag)
        for kind in stream.events
        if str(kind.__struct_config__.tag) not in trial.events
    ]
    span = " to ".join(map(format_time, trial.span)) if trial.events else "no time"
    yield _line("events", f"{', '.join(counted) or 'none'}; {span}")
    for note in trial.notes:
        yield _line("", note)
    if unseen:
        yield _line("", f"none of type {', '.join(unseen)}")
    yield from _letter_lines(trial)
    yield from _label_lines(trial, stream)
    if trial.labels:
        card = scorecard(np.asarray(trial.labels, np.float64), np.asarray(trial.guesses))
        auc = "" if card.auc is None else f", AUC {card.auc:.4f}"
        yield _line("online model", f"log-loss {card.log_loss:.4f}{auc}, each request scored once")
    yield _line("state", f"{trial.state_bytes / 1e6:,.2f} MB at the end, as a checkpoint holds it")
    fits = fits_of(trial, len(stream.columns), settings.training)
    yield _line("fits", told(fits, settings.training))
    yield from _value_lines(trial.first)


def _line(heading: str, text: str) -> str:
    return f"{heading:<{_HEADING}}{text}"


def _letter_lines(trial: Trial) -> Iterator[str]:
    total = trial.letters.total()
    yield _line("dead letters", f"{total:,}" if total else "none")
    for reason, n in trial.letters.most_common():
        yield _line("", f"{n:,} {reason}: {trial.examples[reason]}")


def _label_lines(trial: Trial, stream: Stream) -> Iterator[str]:
    known, silent = len(trial.labels), trial.silent
    waiting = trial.requests - known
    yield _line("requests", f"{trial.requests:,}, of which {waiting:,} without a label at the end")
    if known:
        rate = sum(trial.labels) / known
        yield _line("labels", f"{known:,}, {rate:.2%} of them 1; {silent / known:.2%} by silence")
        if known >= _MANY and len(set(trial.labels)) == 1:
            yield _line("", _one_sided(trial.labels[0], stream))
        for name, auc in telling_columns(trial.rows, trial.labels[: len(trial.rows)]).items():
            yield _line(
                "leak?",
                f"{name} alone tells the label (AUC {auc:.4f}): is it known when the request is "
                "made, or only with the label?",
            )
    if trial.astray:
        yield _line("astray", trial.astray)
    for kind, message in sorted(trial.alerts.items()):
        yield _line("alert", f"{kind}: {message}")


def _one_sided(label: int, stream: Stream) -> str:
    """A clause on labels that are all the same."""
    name = stream.label.on.__name__
    if stream.label.silence is None:
        return (
            f"nothing can be learned where all are {label}: if a request without a {name} means "
            f"{1 - label}, silence={label == 0} says so"
        )
    return f"nothing can be learned where all are {label}: does Label.value tell them apart?"


def _value_lines(first: Sequence[Seen]) -> Iterator[str]:
    """Format a table with a row for each column and a column for each request."""
    if not first:
        return
    heads = [_cut(one.id) for one in first]
    rows = [[name, *(_told(one.values[name]) for one in first)] for name in first[0].values]
    table = [["values of", *heads], *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    yield ""
    for name, *values in table:
        cells = [f"{value:>{width}}" for value, width in zip(values, widths[1:], strict=True)]
        yield "  ".join([f"{name:<{widths[0]}}", *cells]).rstrip()


def _told(value: float | str | None) -> str:
    if value is None:
        return "-"
    return _cut(value) if isinstance(value, str) else f"{value:.6g}"


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
