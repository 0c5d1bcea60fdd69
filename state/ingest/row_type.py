"""The event type of a table's rows, by the table's columns, or the reason why it is uncertain."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec

from state.events import Event
from state.plain_text import plain_line
from state.stream import Stream

_ENVELOPE = frozenset(Event.__struct_fields__)
_MOST_SHOWN = 200


class RowTypeError(ValueError):
    """The columns of a table do not say which type its rows have, or lack some of that type."""


class _Fit(NamedTuple):
    """An event type beside the columns of a table."""

    event: type[Event]
    used: frozenset[str]  # its fields that are columns
    missing: frozenset[str]  # its required fields that have no column

    @property
    def kind(self) -> str:
        return str(self.event.__struct_config__.tag)


def row_type(
    stream: Stream, columns: Collection[str], unknown: Collection[str], where: object
) -> str:
    """The type with all required fields among the columns, and the most of them used.

    An unknown column may be a field that somebody forgot to rename. So a type is certain only if
    the columns cannot mean another one: a type that uses the same columns and more, or one that
    would have all it needs if the unknown columns were its fields.

    Args:
        stream: Stream of the events.
        columns: Columns of the table.
        unknown: Those of them that are in no event.
        where: The table, for errors.

    Raises:
        RowTypeError: No type has all it needs, or the columns may mean another one.
    """
    fits = [_fit(event, frozenset(columns)) for event in stream.events]
    fits.sort(key=lambda fit: (len(fit.used), fit.event is stream.request), reverse=True)
    best = next((fit for fit in fits if not fit.missing), None)
    if best is None:
        lacks = "; ".join(f"{fit.kind!r} lacks {_named(fit.missing)}" for fit in fits)
        raise RowTypeError(
            _message("columns must be those of an event type", lacks, unknown, where)
        )
    for fit in fits:
        if fit is not best and _may_be_meant(fit, best, len(unknown)):
            lack = f", but for {_named(fit.missing)}," if fit.missing else ""
            got = f"{best.kind!r} by the columns, while they{lack} are those of {fit.kind!r} too"
            raise RowTypeError(
                _message("type of the rows must be certain", got, unknown, where, best.kind)
            )
    own = frozenset(best.event.__struct_fields__) - _ENVELOPE
    if own and unknown and not own & best.used:
        got = f"{best.kind!r}, of whose own fields ({_named(own)}) none is a column"
        raise RowTypeError(
            _message("type of the rows must be certain", got, unknown, where, best.kind)
        )
    return best.kind


def check_columns(
    stream: Stream, kind: str, columns: Collection[str], unknown: Collection[str], where: object
) -> None:
    """Refuse a table without the columns of the type that its rows are said to have.

    Args:
        stream: Stream of the events.
        kind: Type of the rows.
        columns: Columns of the table.
        unknown: Those of them that are in no event.
        where: The table, for errors.

    Raises:
        RowTypeError: A required field has no column.
    """
    for event in stream.events:
        fit = _fit(event, frozenset(columns))
        if fit.kind == kind and fit.missing:
            lacks = f"{kind!r} lacks {_named(fit.missing)}"
            raise RowTypeError(
                _message(f"columns must be those of {kind!r}", lacks, unknown, where)
            )


def _fit(event: type[Event], columns: frozenset[str]) -> _Fit:
    fields = msgspec.structs.fields(event)
    required = frozenset(field.name for field in fields if field.required)
    return _Fit(event, columns & {*event.__struct_fields__}, required - columns)


def _may_be_meant(other: _Fit, best: _Fit, unknown: int) -> bool:
    if not other.used >= best.used:
        return False
    return other.used > best.used or 0 < len(other.missing) <= unknown


def _message(rule: str, got: str, unknown: Collection[str], where: object, kind: str = "") -> str:
    beside = f", with the unknown columns {_named(unknown)}" if unknown else ""
    advice = "--rename OLD=NEW gives columns the names of fields"
    if kind:
        advice += f"; --type {kind} says that they are of this type"
    return f"{rule}; got {got}{beside}, in {where}: {advice}"


def _named(names: Iterable[str]) -> str:
    text = plain_line(", ".join(map(repr, sorted(names))))
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
