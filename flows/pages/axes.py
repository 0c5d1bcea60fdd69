"""Round numbers and times for the ticks of an axis."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from state.events import DAY_US, HOUR_US, MINUTE_US, SECOND_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEPS_US = (
    *(n * SECOND_US for n in (1, 5, 15, 30)),
    *(n * MINUTE_US for n in (1, 5, 15, 30)),
    *(n * HOUR_US for n in (1, 3, 6, 12)),
    *(n * DAY_US for n in (1, 2, 7, 14)),
)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 600, 1200, 6000, 12_000, 24_000)
_MONTH_US = 2_629_746 * SECOND_US


def number_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within a range, at most `most` steps apart.

    Example:
        >>> number_ticks(0.38, 0.62)
        [0.4, 0.45, 0.5, 0.55, 0.6]
        >>> number_ticks(0.0, 0.0)
        [0.0]
    """
    if not high > low:
        return [low]
    raw = (high - low) / most
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(scale * m for m in (1, 2, 5, 10) if scale * m >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def number_text(value: float, step: float) -> str:
    """A number with as many digits as a step needs.

    Example:
        >>> number_text(0.4, 0.05), number_text(0.05, 0.05), number_text(12000.0, 2000.0)
        ('0.40', '0.05', '12,000')
    """
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 2
    return f"{value:,.{digits}f}"


def time_ticks(begin: int, end: int, most: int = 6) -> list[tuple[int, str]]:
    """Round times (µs UTC) within a range, at most about `most`, and their texts.

    Example:
        >>> time_ticks(1_357_000_000_000_000, 1_360_000_000_000_000)[1:3]
        [(1358121600000000, '14 Jan'), (1358726400000000, '21 Jan')]
    """
    span = max(end - begin, 1)
    for step in _STEPS_US:
        if span / step <= most:
            shift = 3 * DAY_US if step % (7 * DAY_US) == 0 else 0  # 1970 began on a Thursday
            first = -(-(begin + shift) // step) * step - shift
            return [(t, _moment(t, step)) for t in range(first, end + 1, step)]
    months = next((m for m in _MONTHS if span / (m * _MONTH_US) <= most), _MONTHS[-1])
    return list(_months(begin, end, months))


def _months(begin: int, end: int, step: int) -> Iterator[tuple[int, str]]:
    first = _EPOCH + timedelta(microseconds=begin)
    number = -(-(first.year * 12 + first.month - 1) // step) * step
    while number < 9999 * 12:
        moment = datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
        time = (moment - _EPOCH) // timedelta(microseconds=1)
        if time > end:
            return
        if time >= begin:
            yield time, f"{moment:%Y}" if step >= 12 else f"{moment:%b %Y}"
        number += step


def _moment(us: int, step: int) -> str:
    moment = _EPOCH + timedelta(microseconds=us)
    if step >= DAY_US:
        return f"{moment.day} {moment:%b}"
    if us % DAY_US == 0:
        return f"{moment.day} {moment:%b}"
    return f"{moment:%H:%M}" if step >= MINUTE_US else f"{moment:%H:%M:%S}"
