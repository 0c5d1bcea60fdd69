"""The body of an error response: one JSON object as RFC 9457 defines it."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec

from state.plain_text import plain_line

T = TypeVar("T")
_MOST_SHOWN = 200
_MOST_SEARCHED_BYTES = 65_536
_AT = re.compile(r" - at `\$(.*)`$", re.DOTALL)
_NAMED = re.compile(r"Object (?:contains unknown|missing required) field `([^`]*)`")
_encode = msgspec.json.Encoder().encode
_INVALID = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Problem(msgspec.Struct, frozen=True):
    """The reason why a request got no score.

    Attributes:
        title: Phrase of the status.
        status: HTTP status of the response.
        detail: The broken rule and the value that was sent.
        field: JSON path of the invalid value in the body; null: it is not one field.
        request_id: Value of the response header `x-request-id`.
    """

    title: str
    status: int
    detail: str
    field: str | None
    request_id: str


class ProblemError(Exception):
    """An error that is sent to the client instead of a score.

    Args:
        status: HTTP status of the response.
        detail: A sentence; cut if it repeats too much of the request.
        field: JSON path of the invalid value.
        headers: Additional headers of the response.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.field = status, shown(detail), field and shown(field)
        self.headers = headers

    def told(self, request_id: str) -> Problem:
        """The body of the response."""
        title = HTTPStatus(self.status).phrase
        return Problem(title, self.status, self.detail, self.field, request_id)


def headers_of(problem: ProblemError, body: bytes) -> dict[str, str]:
    """Headers of the response."""
    return {
        "content-type": "application/problem+json",
        "content-length": str(len(body)),
        **(problem.headers or {}),
    }


def as_http(problem: ProblemError, request_id: str) -> bytes:
    r"""Format the problem as a complete HTTP response, the last one of its connection.

    Example:
        >>> as_http(ProblemError(400, "no"), "a-1").partition(b"\r\n")[0]
        b'HTTP/1.1 400 Bad Request'
    """
    told = problem.told(request_id)
    body = _encode(told)
    headers = headers_of(problem, body) | {"x-request-id": request_id, "connection": "close"}
    lines = [f"HTTP/1.1 {told.status} {told.title}", *map(": ".join, headers.items())]
    return "\r\n".join([*lines, "\r\n"]).encode() + body


def shown(text: str) -> str:
    r"""Make a text safe for the client's terminal, of the length that an answer may repeat.

    Example:
        >>> shown("Invalid value '\x9b31m'"), len(shown("x" * 500))
        ("Invalid value '\\u009b31m'", 200)
    """
    text = plain_line(text)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def decoded(
    body: bytes, decoder: "msgspec.json.Decoder[T]", mended: Callable[[bytes], bytes] = bytes
) -> T:
    """Decode a body.

    Args:
        body: JSON.
        decoder: Decoder of the wanted type.
        mended: Rewrites a body that has another type, for one more attempt.

    Raises:
        ProblemError: The body is not JSON (400), or is JSON of another type (422). A repeated name
            is refused too, as other JSON readers could take the other value.
    """
    try:
        try:
            wanted = decoder.decode(body)
        except msgspec.ValidationError:
            wanted = decoder.decode(mended(body))
        _check_names(body)
    except _TwiceError as error:
        field = _path_of(body, lambda value: value is _TWICE)
        msg = f"`{field or '$'}` must be given once; got it more than once"
        raise ProblemError(422, msg, field) from error
    except msgspec.ValidationError as error:
        raise ProblemError(422, str(error), field_of(str(error))) from error
    except _INVALID as error:
        field = _path_of(body, _is_not_finite)
        if field is None:
            msg = f"body must be JSON in UTF-8; got {error}"
            raise ProblemError(400, msg) from error
        msg = f"`{field}` must be a finite number; got NaN or an infinity"
        raise ProblemError(422, msg, field) from error
    return wanted


def field_of(message: str) -> str | None:
    """The JSON path of the field in an error message of msgspec.

    Example:
        >>> field_of("Expected `int` >= 0 - at `$[1].driver`")
        '$[1].driver'
        >>> field_of("Object contains unknown field `wind` - at `$[0]`")
        '$[0].wind'
        >>> field_of("Expected `object`, got `array`")
        '$'
    """
    at, named = _AT.search(message), _NAMED.match(message)
    return f"${at[1] if at else ''}{f'.{named[1]}' if named else ''}"


class _TwiceError(ValueError):
    """An object of the body repeats a name."""


_TWICE = object()


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError
    return found


def _mark_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        found[name] = _TWICE
    return found


_decode_once = json.JSONDecoder(object_pairs_hook=_refuse_twice).decode
_decode_names = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[dict[str, msgspec.Raw]]).decode


def _check_names(body: bytes) -> None:
    """Refuse an object, or array of objects, in which a name is repeated at any depth."""
    found = _decode_names(body)
    names = len(found) if isinstance(found, dict) else sum(map(len, found))
    # Each name has a colon; if there are no others, no name is repeated or nested, or in a text.
    if body.count(b":") > names:
        _decode_once(body.decode())


def _path_of(body: bytes, is_wanted: Callable[[Any], bool]) -> str | None:
    """Path of the first value that matches; None: none does, or the body is too large to search."""
    if len(body) > _MOST_SEARCHED_BYTES:
        return None
    try:
        left = [("$", json.loads(body, object_pairs_hook=_mark_twice))]
    except (ValueError, RecursionError):
        return None
    while left:
        path, value = left.pop()
        if is_wanted(value):
            return path
        if isinstance(value, dict):
            left += ((f"{path}.{name}", one) for name, one in reversed(value.items()))
        elif isinstance(value, list):
            left += ((f"{path}[{i}]", value[i]) for i in reversed(range(len(value))))
    return None


def _is_not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
