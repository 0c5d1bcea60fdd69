"""What an answer says that is no score: one JSON object, as RFC 9457 has it."""

import json
import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import TypeVar

import msgspec

T = TypeVar("T")
_MOST_SHOWN = 200
_MOST_SEARCHED_BYTES = 65_536
_AT = re.compile(r" - at `\$(.*)`$", re.DOTALL)
_NAMED = re.compile(r"Object (?:contains unknown|missing required) field `([^`]*)`")
_INVALID = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Problem(msgspec.Struct, frozen=True):
    """Why there is no score.

    Attributes:
        title: The status in words.
        status: As in the response's first line.
        detail: What must be, and what was got.
        field: JSON path of what is wrong in the body; null: not one field.
        request_id: As in the header `x-request-id`.
    """

    title: str
    status: int
    detail: str
    field: str | None
    request_id: str


class ProblemError(Exception):
    """A request gets this instead of a score.

    Args:
        status: Of the response.
        detail: A sentence; cut where it shows too much of what came in.
        field: JSON path.
        headers: More headers of the response.
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
        """As it is sent."""
        title = HTTPStatus(self.status).phrase
        return Problem(title, self.status, self.detail, self.field, request_id)


def shown(text: str) -> str:
    """As much of a text as an answer repeats.

    Example:
        >>> len(shown("x" * 500))
        200
    """
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def decoded(body: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    """What a body holds.

    Raises:
        ProblemError: It is no JSON (400), or not what is wanted (422).
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise ProblemError(422, str(error), field_of(str(error))) from error
    except _INVALID as error:
        field = _not_finite(body)
        if field is None:
            msg = f"body must be JSON in UTF-8; got {error}"
            raise ProblemError(400, msg) from error
        msg = f"numbers must be finite; got one that is not at `{field}`"
        raise ProblemError(422, msg, field) from error


def field_of(message: str) -> str | None:
    """JSON path of the field that msgspec complains about.

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


def _not_finite(body: bytes) -> str | None:
    """Path of the first NaN or infinity, which JSON lacks but many writers send."""
    if len(body) > _MOST_SEARCHED_BYTES:
        return None
    try:
        left = [("$", json.loads(body))]
    except (ValueError, RecursionError):
        return None
    while left:
        path, value = left.pop()
        if isinstance(value, dict):
            left += ((f"{path}.{name}", one) for name, one in reversed(value.items()))
        elif isinstance(value, list):
            left += ((f"{path}[{i}]", value[i]) for i in reversed(range(len(value))))
        elif isinstance(value, float) and not math.isfinite(value):
            return path
    return None
