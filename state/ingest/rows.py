"""Convert rows of a table to events, by the declared types of the fields."""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, inspect

from state.event_times import Times, TimeTexts, TimeUnitError, time_fields
from state.events import Event
from state.field_types import TEXT, declared, is_null
from state.ingest.row_type import check_columns, row_type
from state.stream import Stream
from state.user_code import USER_CODE_ERRORS

_NULLS = frozenset({"", "nan", "na", "n/a", "null", "none", "\\n"})
_NO_TIMES = _NULLS | {"nat"}
_TRUTHS = dict.fromkeys(("true", "t", "yes", "y", "1"), True) | dict.fromkeys(
    ("false", "f", "no", "n", "0"), False
)
_WHOLE = re.compile(r"[+-]?[0-9]{1,30}(?:\.0*)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WITH_COMMA = re.compile(r"[+-]?(?:[0-9]*|[0-9]{1,3}(?:\.[0-9]{3})+),[0-9]+")
_IN_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(?:\.[0-9]{3})+")
_ROW_NUMBERS = re.compile(r"__index_level_\d+__|Unnamed: \d+|")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Field(NamedTuple):
    """A field of an event.

    Attributes:
        value: Converts a cell; None: the cell is empty.
        empty: Value for an empty cell; UNSET: the field is left out.
    """

    value: Callable[[Any], Any]
    empty: Any


class Rows:
    """Converts the rows of one table to events.

    A cell is converted to its field's type: text to a number, a boolean or a time, a number with a
    point to an integer if it is whole, a number to text. An invalid cell stays unchanged, and the
    shard refuses the event. An empty cell is null, or left out if the field has a default or no
    null.

    Args:
        stream: Stream of the events.
        columns: Columns of the table.
        kind: The `type` of rows that name none; None: that of the columns, unless one is `type`.
        stamped: Columns whose numbers are microseconds, whatever the stream's time unit.
        is_sure: See `state.event_times.Times`.
        decimal: Sign before the decimals of numbers that are texts: `.` or `,`.
        texts: Form of times in text.
        skips_unknown: Whether a filled cell in a column that only other events have is left out.
            It always is where the type is given and the table has no types; else the shard refuses
            the row.
        in_ids: Columns of which ids were made; their cells are left out where the event lacks them.
        where: The table, for errors.

    Attributes:
        kind: The `type` of rows that name none; None: they have none.
        is_guessed: Whether `kind` was found by the columns.
        left_out: Columns that are in no event.
        local: See `state.event_times.Times`.

    Raises:
        RowTypeError: See `state.ingest.row_type`.
    """

    def __init__(
        self,
        stream: Stream,
        columns: Sequence[str],
        *,
        kind: str | None = None,
        stamped: Collection[str] = (),
        is_sure: bool = False,
        decimal: str = ".",
        texts: TimeTexts | None = None,
        skips_unknown: bool = False,
        in_ids: Collection[str] = (),
        where: object = "table",
    ) -> None:
        self._times = stream.times(is_sure=is_sure, texts=texts)
        self.local = self._times.local
        sure = stream.times("us", is_sure=True)
        pointed = _pointed if decimal == "," else str
        self._fields = {
            str(event.__struct_config__.tag): {
                name: field
                for name, field in _fields(event, self._times, sure, stamped, pointed)
                if name in columns
            }
            for event in stream.events
        }
        self.left_out = sorted(set(columns) - {"type"}.union(*self._fields.values()))
        self.is_guessed = kind is None and "type" not in columns
        self.kind = next(iter(self._fields)) if kind is None and len(self._fields) == 1 else kind
        if self.is_guessed:
            self.kind = row_type(stream, columns, self.missed, where)
        elif kind is not None and "type" not in columns:
            check_columns(stream, kind, columns, self.missed, where)
            self.left_out = sorted({*columns} - self._fields[kind].keys())
        self._passed_over = {*(columns if skips_unknown else self.left_out), "type", *in_ids}
        self._event = stream.decoder().decode
        self._is_stamped = "time" in stamped
        self._is_in_us = stream.time_unit == "us"

    @property
    def missed(self) -> list[str]:
        """Skipped columns, except those that a table has for its row numbers."""
        return [name for name in self.left_out if not _ROW_NUMBERS.fullmatch(name)]

    def event(self, row: Mapping[str, Any]) -> bytes:
        """Convert a row, given by column, to an event in JSON; None is an empty cell.

        Raises:
            TimeUnitError: A time is certainly in another unit.
        """
        kind = row.get("type")
        kind = self.kind if kind is None or kind == "" else kind
        fields = self._fields.get(kind, {}) if isinstance(kind, str) else {}
        others = {
            name: cell
            for name, cell in row.items()
            if name not in fields and name not in self._passed_over and cell not in (None, "")
        }
        values = {name: _value(field, row.get(name)) for name, field in fields.items()}
        known = {name: value for name, value in values.items() if value is not UNSET}
        return _encode({**others, **({} if kind is None else {"type": kind}), **known})

    def event_of_json(self, raw: bytes) -> bytes:
        """Convert a row in JSON to an event, without its empty cells; an event stays unchanged.

        Raises:
            TimeUnitError: A time is certainly in another unit.
        """
        if self._is_in_us:
            try:
                self._event(raw)
            except _UNREADABLE:
                pass
            except USER_CODE_ERRORS:
                return raw  # the shard names the function
            else:
                return raw if self._is_stamped else self._times.of(raw)
        return self.event(_decode(raw))


def _fields(
    event: type[Event],
    times: Times,
    sure: Times,
    stamped: Collection[str],
    pointed: Callable[[str], str],
) -> list[tuple[str, _Field]]:
    of_time, kinds_of = time_fields(event), declared(event)
    found = []
    for field in msgspec.structs.fields(event):
        name, kinds = field.name, kinds_of[field.name]
        empty: Any = UNSET
        if field.required and any(map(is_null, kinds)):
            empty = None
        elif field.required and any(isinstance(kind, inspect.StrType) for kind in kinds):
            empty = ""
        value = _time_of(name, sure if name in stamped else times)
        found.append((name, _Field(value if name in of_time else _cell_of(kinds, pointed), empty)))
    return found


def _value(field: _Field, cell: Any) -> Any:
    value = None if cell is None else field.value(cell)
    if value is not None:
        return value
    return UNSET if field.empty == "" and cell is None else field.empty


def _time_of(name: str, times: Times) -> Callable[[Any], Any]:
    def time(cell: Any) -> Any:
        if isinstance(cell, str) and cell.strip().lower() in _NO_TIMES:
            return None
        try:
            return times.value(name, cell)
        except TimeUnitError:
            raise
        except (ValueError, TypeError, ArithmeticError):
            return cell

    return time


def _cell_of(kinds: Sequence[inspect.Type], pointed: Callable[[str], str]) -> Callable[[Any], Any]:
    """A function that converts a cell for a field that is not a time.

    Args:
        kinds: Types of the field.
        pointed: Writes a number with a point before its decimals.
    """
    some = [kind for kind in kinds if not is_null(kind)]
    is_text, is_truth = any(map(TEXT.takes, some)), any(_is(some, inspect.BoolType))
    whole = any(_is(some, inspect.IntType)) or any(
        isinstance(kind, inspect.LiteralType) and not TEXT.takes(kind) for kind in some
    )
    number = any(_is(some, inspect.FloatType))

    def value(cell: Any) -> Any:
        if is_text:
            return _as_text(cell, others=whole or number or is_truth)
        if isinstance(cell, str):
            text = pointed(cell.strip()) if whole or number else cell.strip()
            return _parsed(text, cell, truth=is_truth, whole=whole, number=number)
        if isinstance(cell, float) and math.isinf(cell):
            return str(cell)  # JSON would make a null of it
        if isinstance(cell, bool) and (whole or number) and not is_truth:
            return int(cell)
        if isinstance(cell, int | float) and is_truth and not (whole or number) and cell in {0, 1}:
            return bool(cell)
        return int(cell) if whole and isinstance(cell, float) and cell.is_integer() else cell

    return value


def _is(kinds: Sequence[inspect.Type], of: type[inspect.Type]) -> list[bool]:
    return [isinstance(kind, of) for kind in kinds]


def _as_text(cell: Any, *, others: bool) -> Any:
    """A text unchanged; a number as text, if the field accepts no number."""
    if isinstance(cell, str):
        return cell or None
    if others or isinstance(cell, bool) or not isinstance(cell, int | float):
        return cell
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _parsed(text: str, cell: str, *, truth: bool, whole: bool, number: bool) -> Any:
    """The value of a text; the cell itself if it is invalid."""
    if text.lower() in _NULLS:
        return None
    if truth and text.lower() in _TRUTHS:
        return _TRUTHS[text.lower()]
    if whole and _WHOLE.fullmatch(text):
        return _fitting(int(text.partition(".")[0]), cell)
    if number and len(text) <= 1000 and _NUMBER.fullmatch(text):
        return cell if math.isinf(float(text)) else float(text)
    if not (truth or whole or number) and text[:1] in {"[", "{"}:
        try:
            return _decode(text)
        except _UNREADABLE:
            return cell
    return cell


def _pointed(text: str) -> str:
    """A number with a decimal comma, with a point; one that may have thousands stays no number."""
    if _WITH_COMMA.fullmatch(text):
        return text.replace(".", "").replace(",", ".")
    return f"'{text}'" if _IN_THOUSANDS.fullmatch(text) else text


def _fitting(number: int, cell: str) -> int | str:
    return number if -(2**63) <= number < 2**64 else cell
