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
    scan, depth = _Scan(reader, most_bytes, "element"), 0
    for token in scan:
        if token in _OPENING:
            depth += 1
            if depth == 1:
                scan.begin = scan.at
        elif token in _CLOSING or (token == b"," and depth == 1):
            ends = token in _CLOSING and depth == 1
            depth -= token in _CLOSING
            if ends or token == b",":
                element = scan.taken()[:-1].strip()
                if element or not ends:
                    scan.number += 1
                    yield _on_one_line(element)
                if ends:
                    _check_end(scan.rest(), reader)
                    return
    msg = f"array must end with a bracket; got the end of the file after {scan.number} elements"
    raise ArrayError(msg)


def objects(reader: BufferedReader, most_bytes: int) -> Iterator[bytes]:
    r"""Read JSON objects that follow one another as written, without line breaks.

    Between them may be space, commas, marks of byte order, and the separators of RFC 7464.

    Args:
        reader: Reader at the first.
        most_bytes: Size of the largest object.

    Raises:
        ArrayError: The last one does not end, or one is too large.

    Example:
        >>> from io import BytesIO
        >>> list(objects(BufferedReader(BytesIO(b'{"a": "}"}{"b": {}},\n')), 100))
        [b'{"a": "}"}', b'{"b": {}}']
    """
    scan, depth = _Scan(reader, most_bytes, "object"), 0
    for token in scan:
        depth += (token in _OPENING) - (token in _CLOSING)
        if depth <= 0 and token in _CLOSING:
            scan.number, depth = scan.number + 1, 0
            yield _on_one_line(scan.taken().lstrip(_BETWEEN))
    if scan.rest().strip(_BETWEEN):
        msg = f"object must end with a brace; got the end of the file after {scan.number} objects"
        raise ArrayError(msg)


class _Scan:
    """Iterates over the tokens of a text that is read piece by piece.

    Args:
        reader: Reader at the begin of the text.
        most_bytes: Most bytes between `begin` and the end of what was read.
        kind: Name of what begins there, for the message.

    Attributes:
        begin: Place in the bytes held from which on they are kept.
        at: Place right after the token.
        number: Number of values that were read whole, for messages.
    """

    def __init__(self, reader: BufferedReader, most_bytes: int, kind: str) -> None:
        self._reader, self._most_bytes, self._kind = reader, most_bytes, kind
        self._held = b""
        self.begin = self.at = self.number = 0

    def __iter__(self) -> Iterator[bytes]:
        while block := self._read():
            self._held, self.at, self.begin = (
                self._held[self.begin :] + block, self.at - self.begin, 0,
            )  # fmt: skip
            while found := _TOKENS.search(self._held, self.at):
                if found[0] == b'"':
                    self.at = found.start()  # it continues in the next block
                    break
                self.at = found.end()
                yield found[0]
            else:
                self.at = len(self._held)
            if len(self._held) - self.begin > self._most_bytes + _READ_BYTES:
                msg = (
                    f"event must be at most {self._most_bytes} bytes; got more in {self._kind} "
                    f"{self.number + 1}"
                )
                raise ArrayError(msg)

    def taken(self) -> bytes:
        """The bytes from `begin` up to the token's end, which then is `begin`."""
        taken, self.begin = self._held[self.begin : self.at], self.at
        return taken

    def rest(self) -> bytes:
        """The bytes from `begin` on that were read."""
        return self._held[self.begin :]

    def _read(self) -> bytes:
        # In proportion to what is held: linear in the length of an event.
        return self._reader.read(max(_READ_BYTES, len(self._held) - self.begin))


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
