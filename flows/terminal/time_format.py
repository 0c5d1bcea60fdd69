"""Format times (µs UTC) for people."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def format_time(us: int | None) -> str:
    """Format a time; one outside the years 1 to 9999 is shown as its number of µs.

    Example:
        >>> format_time(1_364_774_400_000_000), format_time(None)
        ('2013-04-01 00:00', '')
        >>> format_time(2**63 - 1)
        '9223372036854775807 µs'
    """
    if us is None:
        return ""
    try:
        moment = _EPOCH + timedelta(microseconds=us)
    except OverflowError:
        return f"{us} µs"
    return moment.isoformat(" ", "minutes").removesuffix("+00:00")
