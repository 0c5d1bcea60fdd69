"""Parse times: RFC 3339 text, or numbers in a unit that the stream declares."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, NamedTuple, get_args

import msgspec
from msgspec import UNSET, UnsetType

from state.events import SECOND_US, Event, TimeUnit, TimeUs
from state.field_types import TIME, declared, is_null
from state.local_times import LocalTimes

YEAR_1990_US = 631_152_000 * SECOND_US
YEAR_2100_US = 4_102_444_800 * SECOND_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = {"s": Decimal(SECOND_US), "ms": Decimal(1_000), "us": Decimal(1), "ns": Decimal("0.001")}
_WHOLE_US = {unit: int(us) for unit, us in _US.items() if us >= 1}
WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
"""Names of the units."""
_MOST_CHARACTERS = 100
# Lengths of digit strings that are dates, as no unit has such numbers since 1990.
_DIGITS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
# An exponent, as spreadsheets and pandas write large numbers.
_NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?")
_decode = msgspec.json.Decoder().decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class TimeUnitError(ValueError):
    """A number is not a time in the declared unit; the message names the likely unit."""


class TimeTexts(NamedTuple):
    """The form of times in text.

    Attributes:
        form: Format for `datetime.strptime`; empty: that of `parse_time`, which also reads the
            times that the format does not fit.
        zone: Zone of times that name none.
    """

    form: str = ""
    zone: tzinfo = UTC

    def parsed(self, text: str, local: LocalTimes) -> datetime | str:
        """The moment that a text is by the format; the text where it is none.

        Args:
            text: Perhaps a time.
            local: Gives a zone to a time that names none.
        """
        try:
            moment = datetime.strptime(text[:_MOST_CHARACTERS].strip(), self.form)  # noqa: DTZ007
        except ValueError:
            return text
        return local.moment(moment)


_ISO_IN_UTC = TimeTexts()


def parse_time(text: str, local: LocalTimes | None = None) -> datetime:
    """Parse a time in RFC 3339 or another form of ISO 8601.

    Args:
        text: The time.
        local: Gives a zone to a time that names none; None: such times are UTC.

    Raises:
        ValueError: The text is not a time.

    Example:
        >>> parse_time("2026-01-01t00:30:00z").isoformat(), parse_time("20260101").isoformat()
        ('2026-01-01T00:30:00+00:00', '2026-01-01T00:00:00+00:00')
    """
    if len(text) > _MOST_CHARACTERS:
        msg = f"time must be at most {_MOST_CHARACTERS} characters; got {len(text)}"
        raise ValueError(msg)
    text = text.strip()
    if local is None or text.endswith(" UTC"):
        text, local = text.removesuffix(" UTC"), LocalTimes()
    digits = _DIGITS.get(len(text)) if text.isascii() and text.isdecimal() else None
    if digits is not None:
        return local.moment(datetime.strptime(text, digits))  # noqa: DTZ007
    leap = text[16:19] == ":60"  # RFC 3339 has leap seconds: the next second is the same instant
    text = f"{text[:16]}:59{text[19:]}" if leap else text
    moment = local.moment(datetime.fromisoformat(f"{text[:-1]}Z" if text.endswith("z") else text))
    try:
        return moment + timedelta(seconds=1) if leap else moment
    except OverflowError as error:
        msg = f"time must be before the year 10000; got {text!r}"
        raise ValueError(msg) from error


def microseconds(value: Any, unit: TimeUnit, name: str, local: LocalTimes | None = None) -> int:
    """Convert a number of units since 1970 UTC, or a time as text, to microseconds.

    Args:
        value: A number or its text, a text for `parse_time`, or a datetime with a zone.
        unit: Unit of numbers.
        name: Name of the field, for errors.
        local: See `parse_time`.

    Raises:
        ValueError: A text is not a time.
        TypeError: The value is neither number nor text.

    Example:
        >>> microseconds(1.5, "s", "time"), microseconds("1970-01-01T01:00+01:00", "s", "time")
        (1500000, 0)
    """
    if isinstance(value, str) and len(value) > _MOST_CHARACTERS:
        msg = f"{name} must be at most {_MOST_CHARACTERS} characters; got {len(value)}"
        raise ValueError(msg)
    if _is_moment(value):
        moment = parse_time(value, local) if isinstance(value, str) else value
        since = moment - _EPOCH
        return (since.days * 86_400 + since.seconds) * SECOND_US + since.microseconds
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        msg = f"{name} must be a number of {unit} or in ISO 8601; got {value!r:.80}"
        raise TypeError(msg)
    if isinstance(value, int) and unit in _WHOLE_US:
        return value * _WHOLE_US[unit]
    # By decimal digits, so that 1.1 s are exactly 1,100,000 µs.
    return int(Decimal(str(value)) * _US[unit])


def is_number(text: str) -> bool:
    """Whether a text is a number of units since 1970, and not a date in digits.

    Example:
        >>> is_number("1767225600"), is_number("20260101"), is_number("1.7672256e9")
        (True, False, True)
    """
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return False
    if len(text) not in _DIGITS or not text.isdecimal():
        return True
    try:
        parse_time(text)
    except ValueError:
        return True
    return False


def _is_moment(value: Any) -> bool:
    """Whether the value is a date or time, in contrast to a number of units."""
    return isinstance(value, datetime) or (isinstance(value, str) and not is_number(value))


def likely_unit(number: float | Decimal) -> TimeUnit | None:
    """The only unit in which a number is a time from 1990 to 2100; None: there is none.

    Example:
        >>> likely_unit(1_767_225_600), likely_unit(1_767_225_600_000), likely_unit(12)
        ('s', 'ms', None)
    """
    for unit in get_args(TimeUnit):
        if YEAR_1990_US <= Decimal(number) * _US[unit] < YEAR_2100_US:
            return unit  # type: ignore[no-any-return]
    return None


class Times:
    """Converts the times in a stream's events to microseconds.

    Args:
        events: Event types of the stream.
        unit: Unit of numbers.
        since: A number that means an earlier time (µs UTC) is taken to be in another unit.
        is_sure: Numbers are in the declared unit; do not check them.
        texts: Form of times in text.

    Attributes:
        local: Counts the times in text that named no zone.
    """

    def __init__(
        self,
        events: Iterable[type[Event]],
        unit: TimeUnit = "us",
        since: int = YEAR_1990_US,
        *,
        is_sure: bool = False,
        texts: TimeTexts = _ISO_IN_UTC,
    ) -> None:
        self._unit, self._since, self._is_sure = unit, since, is_sure
        self._texts, self.local = texts, LocalTimes(texts.zone)
        self._fields = {str(event.__struct_config__.tag): time_fields(event) for event in events}
        every = frozenset().union(*self._fields.values())
        self._untyped = every if len(self._fields) == 1 else frozenset({"time"})
        others = sorted(every - {"time"})
        plain = msgspec.defstruct(
            "Timed",
            [("time", TimeUs), *((name, TimeUs | None | UnsetType, UNSET) for name in others)],
        )
        self._others = others
        self._plain: Callable[[bytes], Any] = msgspec.json.Decoder(plain).decode

    def of(self, raw: bytes) -> bytes:
        """Convert the times in a JSON object to microseconds; all else stays byte for byte.

        Invalid objects and times stay unchanged, for the shard to report.

        Raises:
            TimeUnitError: A number is certainly in another unit.
        """
        try:
            plain = self._plain(raw)
        except _UNREADABLE:
            return self._rewritten(raw)
        if self._unit == "us" and all(map(self._is_likely, self._numbers(plain))):
            return raw
        return self._rewritten(raw)

    def value(self, name: str, value: Any) -> int:
        """Convert one time to microseconds.

        Args:
            name: Name of its field.
            value: Value as received.

        Raises:
            TimeUnitError: It is a number that is certainly in another unit.
            ValueError: It is a text that is not a time.
            TypeError: It is neither number nor text.
        """
        self.local.is_in_order = name == "time"
        if self._texts.form and isinstance(value, str):
            value = self._texts.parsed(value, self.local)
        us = microseconds(value, self._unit, name, self.local)
        if not (self._is_sure or _is_moment(value) or self._is_likely(us)):
            self._check(name, value, us)
        return us

    def _numbers(self, plain: Any) -> Iterable[int]:
        yield plain.time
        for name in self._others:
            other = getattr(plain, name)
            if isinstance(other, int):
                yield other

    def _is_likely(self, us: int) -> bool:
        return self._since <= us < YEAR_2100_US

    def _check(self, name: str, value: Any, us: int) -> None:
        """Refuse another unit, and an event's own time before the earliest valid one."""
        likely = likely_unit(Decimal(str(value)))
        if likely == self._unit or (likely is None and (name != "time" or us < 0)):
            return
        if likely is None and us >= YEAR_2100_US:
            return  # the shard refuses times after all valid ones
        since = f"{_EPOCH + timedelta(microseconds=self._since):%Y-%m-%d}"
        hint = (
            "earlier times need `times_from` in the stream"
            if likely is None
            else f'it looks like {WORDS[likely]}: put time_unit="{likely}" into the stream'
        )
        msg = f"{name} must be {WORDS[self._unit]} from {since} to 2100; got {value}: {hint}"
        raise TimeUnitError(msg)

    def _rewritten(self, raw: bytes) -> bytes:
        try:
            fields = _decode_fields(raw)
            kind = _decode(fields["type"]) if "type" in fields else ""
        except _UNREADABLE:
            return raw
        known = self._fields.get(kind) if isinstance(kind, str) else None
        changed = False
        for name in fields.keys() & (known or self._untyped):
            try:
                came = _decode(fields[name])
                us = self.value(name, came)
            except TimeUnitError:
                raise
            except (*_UNREADABLE, ValueError, TypeError, ArithmeticError):
                continue
            if us != came or not isinstance(came, int):
                fields[name] = msgspec.Raw(b"%d" % us)
                changed = True
        return _encode(fields) if changed else raw


def time_fields(event: type[Event]) -> frozenset[str]:
    """The fields of an event that hold a time."""
    return frozenset(
        name
        for name, kinds in declared(event).items()
        if all(TIME.takes(kind) or is_null(kind) for kind in kinds) and any(map(TIME.takes, kinds))
    )
