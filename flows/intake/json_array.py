"""The elements of a JSON array, and objects one after the other, as bytes; read piece by piece.

Only one need fit the memory.
"""

import re
from collections.abc import Iterator
from io import BufferedReader

import msgspec

_READ_BYTES = 2**16
# A whole text, or a character that opens, closes or separates; a lone quote is a text cut off.
_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{},]', re.DOTALL)
_BETWEEN = b" \t\r\n,\x1e\xef\xbb\xbf"
_OPENS, _CLOSES = frozenset(b"[{"), frozenset(b"]}")
_OPENING, _CLOSING = frozenset({b"[", b"{"}), frozenset({b"]", b"}"})


class ArrayError(ValueError):
    """The brackets of an array do not match, or it is cut off."""


def elements(reader: BufferedReader, most_bytes: int) -> Iterator[bytes]:
    """Read the elements of the next array as written, without line breaks.

    Elements are not checked to be valid JSON.

    Args:
        reader: Reader at the array.
        most_bytes: Size of the largest element.

    Raises:
        ArrayError: The array does not end, is followed by more, or has an element that is too
            large.

    Example:
        >>> from io import BytesIO
        >>> list(elements(BufferedReader(BytesIO(b'[{"a": "]"}, 2]')), 100))
        [b'{"a": "]"}', b'2']
    """
    held, begin, at, depth, number = b"", 0, 0, 0, 0
    while block := reader.read(max(_READ_BYTES, len(held) - begin)):  # in proportion: linear
        held, at, begin = held[begin:] + block, at - begin, 0
        while found := _TOKENS.search(held, at):
            token = held[found.start()]
            if token == ord('"') and found.end() - found.start() == 1:
                at = found.start()  # it continues in the next block
                break
            at = found.end()
            if token in _OPENS:
                depth += 1
                if depth == 1:
                    begin = at
            elif token in _CLOSES or (token == ord(",") and depth == 1):
                ends = token in _CLOSES and depth == 1
                depth -= token in _CLOSES
                if ends or token == ord(","):
                    element = held[begin : found.start()].strip()
                    begin = at
                    if element or not ends:
                        number += 1
                        yield _on_one_line(element)
                    if ends:
                        _check_end(held[at:], reader)
                        return
        else:
            at = len(held)
        if len(held) - begin > most_bytes + _READ_BYTES:
            msg = f"event must be at most {most_bytes} bytes; got more in element {number + 1}"
            raise ArrayError(msg)
    msg = f"array must end with a bracket; got the end of the file after {number} elements"
    raise ArrayError(msg)


def objects(reader: BufferedReader, most_bytes: int) -> Iterator[bytes]:
    r"""The objects that come one after the other, as they are written, without line breaks.

    Between them may be space, commas, marks of byte order, and the separators of RFC 7464.

    Args:
        reader: At the first.
        most_bytes: The largest object.

    Raises:
        ArrayError: The last one does not end, or one is too large.

    Example:
        >>> from io import BytesIO
        >>> list(objects(BufferedReader(BytesIO(b'{"a": "}"}{"b": {}},\n')), 100))
        [b'{"a": "}"}', b'{"b": {}}']
    """
    held, begin, at, depth, number = b"", 0, 0, 0, 0
    while block := reader.read(max(_READ_BYTES, len(held) - begin)):  # in proportion: linear
        held, at, begin = held[begin:] + block, at - begin, 0
        while found := _TOKENS.search(held, at):
            if found[0] == b'"':
                at = found.start()  # it goes on in the next block
                break
            at, depth = found.end(), depth + (found[0] in _OPENING) - (found[0] in _CLOSING)
            if depth <= 0 and found[0] in _CLOSING:
                number, depth = number + 1, 0
                yield _on_one_line(held[begin:at].lstrip(_BETWEEN))
                begin = at
        else:
            at = len(held)
        if len(held) - begin > most_bytes + _READ_BYTES:
            msg = f"event must be at most {most_bytes} bytes; got more in object {number + 1}"
            raise ArrayError(msg)
    if held[begin:].strip(_BETWEEN):
        msg = f"object must end with a brace; got the end of the file after {number} objects"
        raise ArrayError(msg)


def _on_one_line(element: bytes) -> bytes:
    if b"\n" not in element:
        return element
    try:
        return msgspec.json.format(element, indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return element


def _check_end(rest: bytes, reader: BufferedReader) -> None:
    while not rest.strip():
        rest = reader.read(_READ_BYTES)
        if not rest:
            return
    msg = f"array must be all there is; got {rest.strip()[:40]!r} after it"
    raise ArrayError(msg)
