"""Times in µs UTC as people read them."""

from datetime import UTC, datetime


def told(us: int | None) -> str:
    """A time as people read it.

    Example:
        >>> told(1_364_774_400_000_000), told(None)
        ('2013-04-01 00:00', '')
    """
    return "" if us is None else f"{datetime.fromtimestamp(us / 1e6, UTC):%Y-%m-%d %H:%M}"
