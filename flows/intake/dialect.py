"""The ways in which a file may be written otherwise than events are: names, numbers, times."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from state.event_times import TimeTexts
from state.ingest.paths import at_path

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
    """

    names: Mapping[str, str] = {}
    decimal: str = "."
    texts: TimeTexts = TimeTexts()
    skips_unknown: bool = False
    found: set[str] | None = None

    def theirs(self, name: str) -> list[str]:
        """The files' names for a field: its own, and those that stand for it."""
        return [name, *(old for old, new in self.names.items() if new == name)]

    def columns(self, columns: Sequence[str]) -> list[str]:
        """The columns of a table by the events' names, last those from within nested ones."""
        paths = [old for old in self.names if _head(old) in columns and old not in columns]
        self.see((*columns, *paths))
        opened = set(map(_head, paths)) - self.names.keys()
        own = [self.names.get(name, name) for name in columns if name not in opened]
        return own + [self.names[path] for path in paths]

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


def _head(path: str) -> str:
    return path.partition(".")[0]
