"""JSON objects as a stream's events: numbers as their fields are declared, all else as it came."""

import re
from collections.abc import Callable, Collection
from typing import Any

import msgspec
from msgspec import inspect

from state.field_types import TEXT, declared
from state.stream import Stream
from state.user_code import USER_CODE_ERRORS

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_MOST_DIGITS = 40
_NAN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|\bNaN\b', re.DOTALL)


def without_nan(raw: bytes) -> bytes:
    r"""An object with null for each NaN, as Python's `json` writes a missing number.

    Example:
        >>> without_nan(b'{"a": NaN, "b": "no NaN"}')
        b'{"a": null, "b": "no NaN"}'
    """
    if b"NaN" not in raw:
        return raw
    return _NAN.sub(lambda found: b"null" if found[0] == b"NaN" else found[0], raw)


class Objects:
    """Mends objects whose numbers are written in another form than the event's fields need.

    A whole number, such as an id, becomes its digits if the field is a text. A whole number with a
    point, as tools write it for a column with nulls, becomes an integer. An object that is a valid
    event stays the same, byte for byte.

    Args:
        stream: Stream of the events.
        skips_unknown: Whether fields that the event lacks are left out.
        in_ids: Fields of which ids were made; they are left out where the event lacks them.
    """

    def __init__(
        self, stream: Stream, *, skips_unknown: bool = False, in_ids: Collection[str] = ()
    ) -> None:
        self._event = stream.decoder().decode
        self._texts, self._wholes = (
            {
                str(event.__struct_config__.tag): frozenset(
                    name for name, kinds in declared(event).items() if takes(kinds)
                )
                for event in stream.events
            }
            for takes in (_is_text, _is_whole)
        )
        self._skips_unknown, self._in_ids = skips_unknown, frozenset(in_ids)
        self._known = {
            str(event.__struct_config__.tag): {"type", *event.__struct_fields__}
            for event in stream.events
        }
        self._only = next(iter(self._texts)) if len(self._texts) == 1 else None

    def of(self, raw: bytes) -> bytes:
        """The object, mended where that is needed and possible."""
        try:
            self._event(raw)
        except msgspec.ValidationError:
            return self._mended(raw)
        except (*_UNREADABLE, *USER_CODE_ERRORS):  # the shard names a function that raises
            pass
        return raw

    def _mended(self, raw: bytes) -> bytes:
        try:
            fields = _decode_fields(raw)
            kind = _decode(fields["type"]) if "type" in fields else self._only
        except _UNREADABLE:
            return raw
        if not isinstance(kind, str) or kind not in self._texts:
            return raw
        changed = _change(fields, self._texts[kind], _digits)
        changed |= _change(fields, self._wholes[kind], _whole)
        others = fields.keys() - self._known[kind]
        if left_out := others if self._skips_unknown else others & self._in_ids:
            fields = {name: fields[name] for name in fields if name not in left_out}
            changed = True
        return _encode(fields) if changed else raw


def _change(
    fields: dict[str, msgspec.Raw],
    names: frozenset[str],
    mend: Callable[[bytes], bytes | None],
) -> bool:
    found = {name: mend(bytes(fields[name])) for name in names & fields.keys()}
    fields |= {name: msgspec.Raw(raw) for name, raw in found.items() if raw is not None}
    return any(raw is not None for raw in found.values())


def _digits(raw: bytes) -> bytes | None:
    """A whole number as a text; None for all else."""
    whole = raw if raw.removeprefix(b"-").isdigit() else _whole(raw)
    return None if whole is None else b'"%s"' % whole


def _whole(raw: bytes) -> bytes | None:
    """A whole number that is written with a point or an exponent, without; None for all else."""
    if raw[:1] not in b"-0123456789" or len(raw) > _MOST_DIGITS:
        return None
    value: Any = _decode(raw)
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return b"%d" % int(value) if is_whole else None


def _is_text(kinds: tuple[inspect.Type, ...]) -> bool:
    return all(map(TEXT.takes, kinds))


def _is_whole(kinds: tuple[inspect.Type, ...]) -> bool:
    numbers = [kind for kind in kinds if isinstance(kind, inspect.IntType | inspect.FloatType)]
    return bool(numbers) and all(isinstance(kind, inspect.IntType) for kind in numbers)
