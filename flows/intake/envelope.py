"""The envelope of a record in a file of JSON lines, from which the same bytes are read back."""

from typing import Annotated

import msgspec

_EMPTY = msgspec.Raw()
_PREFIX = b'{"append_time"'
# Deep nesting meets the decoder's recursion limit, which depends on the caller's depth.
_MAX_BRACKETS = 200


class _Envelope(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    append_time: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    event: msgspec.Raw = _EMPTY
    base64: bytes | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Envelope).decode


def wrap(append_time: int, value: bytes) -> bytes:
    r"""Write a value and its append time (microseconds UTC) as one line, without the line end.

    JSON objects that `unwrap` returns byte for byte stay readable; other values become base64.

    Example:
        >>> wrap(5, b'{"id": "a"}')
        b'{"append_time":5,"event":{"id": "a"}}'
        >>> wrap(5, b"\xff")
        b'{"append_time":5,"base64":"/w=="}'
    """
    if _may_be_spliced(value):
        line = _encode(_Envelope(append_time, event=msgspec.Raw(value)))
        if unwrap(line) == (value, append_time):
            return line
    return _encode(_Envelope(append_time, base64=value))


def unwrap(line: bytes) -> tuple[bytes, int | None]:
    """Read the value in a line, and its append time if the line is an envelope.

    Any other line is the value itself.

    Example:
        >>> unwrap(b'{"append_time":5,"event":{"id": "a"}}')
        (b'{"id": "a"}', 5)
        >>> unwrap(b'{"id": "a"}')
        (b'{"id": "a"}', None)
    """
    if not line.startswith(_PREFIX):
        return line, None
    try:
        envelope = _decode(line)
    except (ValueError, RecursionError):
        return line, None
    event = bytes(envelope.event)
    if bool(event) == (envelope.base64 is not None):  # both or neither
        return line, None
    return event or envelope.base64 or b"", envelope.append_time


def _may_be_spliced(value: bytes) -> bool:
    return (
        value.startswith(b"{")
        and b"\n" not in value
        and value.count(b"{") + value.count(b"[") <= _MAX_BRACKETS
        and _is_utf8(value)
    )


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
