"""Figures as text, for cards and reports."""

from datetime import UTC, datetime, timedelta

from flows.terminal.time_format import format_time
from models.judging.histograms import Estimate
from state.durations import Duration


def figure(value: float | None, digits: int = 3) -> str:
    """A number, or a hyphen for none.

    Example:
        >>> figure(0.12345), figure(None)
        ('0.123', '-')
    """
    return "-" if value is None else f"{value:.{digits}f}"


def share(value: float | None) -> str:
    """A share in percent.

    Example:
        >>> share(0.1234), share(None)
        ('12.3 %', '-')
    """
    return "-" if value is None else f"{value * 100:.1f} %"


def between(of: Estimate | None, digits: int = 3) -> str:
    """The ends of an interval.

    Example:
        >>> between(Estimate(0.5, 0.4, 0.6))
        '0.400 to 0.600'
    """
    return "-" if of is None else f"{of.low:.{digits}f} to {of.high:.{digits}f}"


def shares_between(of: Estimate) -> str:
    """The ends of a share's interval, in percent.

    Example:
        >>> shares_between(Estimate(0.5, 0.4, 0.6))
        '40.0 % to 60.0 %'
    """
    return f"{share(of.low)} to {share(of.high)}"


def period(begin: int, end: int) -> str:
    """A span of time, µs UTC.

    Example:
        >>> period(1_364_774_400_000_000, 1_364_860_800_000_000)
        '2013-04-01 00:00 to 2013-04-02 00:00 UTC'
    """
    return f"{format_time(begin)} to {format_time(end)} UTC"


def length(us: int) -> str:
    """A length of time in one unit.

    Example:
        >>> length(26 * 3_600_000_000), length(90 * 60_000_000), length(86_400_000_000)
        ('26 hours', '90 minutes', '24 hours')
    """
    for unit, size in (("days", "1d"), ("hours", "1h"), ("minutes", "1m")):
        if us >= 2 * Duration.parse(size):
            return f"{us / Duration.parse(size):.3g} {unit}"
    return f"{us / 1e6:.3g} seconds"


def day(us: int) -> str:
    """The date of a time, µs UTC.

    Example:
        >>> day(1_362_268_800_000_000)
        '3 March 2013'
    """
    date = _date(us)
    return f"{date.day} {date:%B %Y}"


def moment(us: int, period_us: int) -> str:
    """A time as exactly as periods of a length need it.

    Example:
        >>> moment(1_362_268_800_000_000, 604_800_000_000)
        '3 March 2013'
        >>> moment(1_362_268_800_000_000, 3_600_000_000)
        '3 March 2013, 00:00 UTC'
    """
    return day(us) if period_us >= Duration.parse("1d") else f"{day(us)}, {_date(us):%H:%M} UTC"


def several(period_us: int) -> str:
    """Periods of a length, in the plural.

    Example:
        >>> several(604_800_000_000), several(300_000_000)
        ('weeks', 'periods of 5m')
    """
    names = {"1m": "minutes", "1h": "hours", "1d": "days", "7d": "weeks"}
    known = {int(Duration.parse(text)): name for text, name in names.items()}
    return known.get(period_us, f"periods of {Duration(period_us)}")


def _date(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
