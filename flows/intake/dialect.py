"""The ways in which a file may be written otherwise than events are: names, numbers, times."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from flows.intake.id_template import IdTemplate
from state.event_times import TimeTexts
from state.ingest.paths import at_path
from state.plain_text import plain_line

_decode = msgspec.json.Decoder().decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""Errors of bytes that are no JSON."""


class Dialect(NamedTuple):
    """The conventions that files follow.

    Attributes:
        names: The events' names of columns and JSON fields that are called differently. A name
            such as `order.lines.0` is a path into a nested value, unless a column or field has
            that name. A value that paths lead into is left out, unless it has a name of its own.
        decimal: Sign before the decimals of numbers in cells of text: `.` or `,`.
        texts: Form of times in text.
        skips_unknown: Whether fields that the event lacks are left out.
        found: The keys of `names` that files have, as far as these were read.
        ids: Makes the ids; None: the files have them.
    """

    names: Mapping[str, str] = {}
    decimal: str = "."
    texts: TimeTexts = TimeTexts()
    skips_unknown: bool = False
    found: set[str] | None = None
    ids: IdTemplate | None = None

    def theirs(self, name: str) -> list[str]:
        """The files' names for a field: its own, and those that stand for it."""
        return [name, *(old for old, new in self.names.items() if new == name)]

    def columns(self, columns: Sequence[str]) -> list[str]:
        """The columns of a table by the events' names, last those from within nested ones."""
        paths = [old for old in self.names if _head(old) in columns and old not in columns]
        self.see((*columns, *paths))
        opened = set(map(_head, paths)) - self.names.keys()
        own = [self.names.get(name, name) for name in columns if name not in opened]
        return self.with_id(own + [self.names[path] for path in paths])

    def with_id(self, columns: list[str]) -> list[str]:
        """Columns by the events' names, with that of the ids that are made."""
        return columns if self.ids is None or "id" in columns else [*columns, "id"]

    @property
    def needed(self) -> Sequence[str]:
        """Columns that every table of events needs."""
        return ("id", "time") if self.ids is None else ("time",)

    def check_ids(self, columns: Collection[str], where: object) -> None:
        """Refuse a table that lacks a column of which ids are made.

        Raises:
            ValueError: It lacks one.
        """
        names = [] if self.ids is None else self.ids.names
        lacking = [name for name in names if not {name, _head(name)} & {*columns}]
        if lacking:
            msg = (
                f"--id must name columns of the file; got {plain_line(repr(lacking[0]))} in "
                f"{where}, which has {plain_line(', '.join(columns))}"
            )
            raise ValueError(msg)

    @property
    def in_ids(self) -> frozenset[str]:
        """Columns and fields, by the events' names, of which ids are made."""
        names = () if self.ids is None else self.ids.names
        return frozenset(self.names.get(one, one) for name in names for one in (name, _head(name)))

    def identified(self, row: dict[str, Any], number: int) -> dict[str, Any]:
        """A row by the events' names, with its id."""
        if self.ids is None:
            return row
        made = self.ids.of(number, lambda name: row.get(self.names.get(name, name)))
        others = {name: cell for name, cell in row.items() if name != "id"}
        return others if made is None else {"id": made, **others}

    def event_of(self, raw: bytes, number: int) -> bytes:
        """A JSON object by the events' names, with its id."""
        renamed = self.renamed(raw)
        if self.ids is None:
            return renamed
        try:
            fields, new = _decode_fields(raw), _decode_fields(renamed)
            made = self.ids.of(number, partial(_value_at, fields))
        except UNREADABLE:
            return renamed
        others: dict[str, Any] = {name: held for name, held in new.items() if name != "id"}
        return _encode(others if made is None else {"id": made, **others})

    def renamed(self, raw: bytes) -> bytes:
        """A JSON object by the events' names; as it is where two fields would have one name."""
        if not self.names:
            return raw
        try:
            fields = _decode_fields(raw)
            inner = self._inner(fields)
        except UNREADABLE:
            return raw
        self.see((*fields, *inner))
        opened = set(map(_head, inner)) - self.names.keys()
        own = [(name, value) for name, value in fields.items() if name not in opened]
        pairs = [(self.names.get(name, name), value) for name, value in (*own, *inner.items())]
        new: dict[str, Any] = dict(pairs)
        return raw if len(new) < len(pairs) or [*new] == [*fields] else _encode(new)

    def see(self, columns: Iterable[str]) -> None:
        """Note the names that a file has."""
        if self.found is not None and len(self.found) < len(self.names):
            self.found.update(self.names.keys() & {*columns})

    def _inner(self, fields: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
        """The values in nested fields that names lead to, by path."""
        found = {}
        for old in self.names:
            head, *steps = old.split(".")
            if steps and old not in fields and head in fields:
                value = at_path(_decode(fields[head]), steps)
                if value is not msgspec.UNSET:
                    found[old] = value
        return found


def _value_at(fields: Mapping[str, msgspec.Raw], name: str) -> Any:
    head, *steps = [name] if name in fields else name.split(".")
    return at_path(_decode(fields[head]), steps) if head in fields else None


def _head(path: str) -> str:
    return path.partition(".")[0]
