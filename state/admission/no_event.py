"""The reason why a value is not a valid event of a stream."""

import re
from typing import NamedTuple

import msgspec

from state.event_times import time_fields
from state.events import Event
from state.log import MAX_VALUE_BYTES
from state.outputs.records import DeadLetterReason
from state.stream import Stream
from state.stream_functions import raise_blamed
from state.user_code import USER_CODE_ERRORS

# The depth at which the decoder gives up depends on its caller's stack: beyond this many brackets
# its message is not used, as a replay could get another one.
_MOST_BRACKETS = 200
_OF_TYPE = re.compile(
    r"Invalid value .* - at `\$\.type`|Object missing required field `type`", re.DOTALL
)


def no_event(value: bytes, error: Exception) -> tuple[DeadLetterReason, str]:
    """The reason why a value could not be decoded, as a word and a sentence."""
    if value.count(b"[") + value.count(b"{") > _MOST_BRACKETS:
        return "malformed", f"no event, with more than {_MOST_BRACKETS} brackets"
    detail = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return "malformed", detail
    return "unknown_type" if _OF_TYPE.fullmatch(detail) else "invalid", detail


MOST_EVENT_BYTES = MAX_VALUE_BYTES // 4
"""Largest value of an event, so that all records made from it fit the log.

The largest is an outcome: it has the event's key in its value and beside it, numbers, and levels of
bounded length.
"""


def too_large(value: bytes) -> str:
    """The reason why a value larger than `MOST_EVENT_BYTES` is no event, as a sentence."""
    return f"event must be at most {MOST_EVENT_BYTES} bytes; got {len(value)}"


_OF_TIME = re.compile(r"Expected `int(?: \| null)?`, got `str` - at `\$\.(\w+)`")


class Refused(NamedTuple):
    """The reason why a value would be a dead letter: a word to count by, and a sentence."""

    reason: DeadLetterReason
    detail: str


class Judge:
    """Judges a value as the shard would on its own, without regard to other events.

    Args:
        stream: Stream of the events.
        where: Place of the values, for errors of the stream's functions.

    Attributes:
        stream: Stream of the events, as given.
    """

    def __init__(self, stream: Stream, where: str = "before anything was appended") -> None:
        self.stream, self._where = stream, where
        self._decode, self._check = stream.decoder().decode, stream.check()
        self._times = frozenset().union(*map(time_fields, stream.events))
        self._types = sorted(str(event.__struct_config__.tag) for event in stream.events)

    def event(self, value: bytes) -> Event | Refused:
        """The event that a value is, or the reason why it would be a dead letter.

        Raises:
            StreamFunctionError: A function of the stream raised an error.
        """
        if len(value) > MOST_EVENT_BYTES:
            return Refused("invalid", too_large(value))
        try:
            event = self._decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            reason, detail = no_event(value, error)
            return Refused(reason, self.explained(reason, detail))
        except USER_CODE_ERRORS as error:
            raise_blamed(self.stream, error, self._where)
            raise
        try:
            wrong = self._check(event)
        except USER_CODE_ERRORS as error:
            raise_blamed(self.stream, error, self._where)
            raise
        return event if wrong is None else Refused("invalid", wrong)

    def explained(self, reason: str, detail: str) -> str:
        """The detail of a dead letter, with the types there are, or the rule for ids or times."""
        if reason == "duplicate":
            return f"{detail}: an earlier event, of whatever type, has this id"
        if reason == "unknown_type":
            return f"{detail}: the types are {', '.join(self._types)}"
        wrong = _OF_TIME.fullmatch(detail)
        if wrong and wrong[1] in self._times:
            return f"{detail}: as text it must be RFC 3339, such as 2026-01-01T12:00:00Z"
        return detail

    def check_type(self, kind: str | None) -> None:
        """Refuse an unknown event type.

        Raises:
            ValueError: No event has this type.
        """
        if kind is not None and kind not in self._types:
            msg = f"type must be one of {', '.join(self._types)}; got {kind!r}"
            raise ValueError(msg)
