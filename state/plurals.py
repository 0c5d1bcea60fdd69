"""A count with its noun, in the singular or the plural."""


def counted(count: int, noun: str, nouns: str = "") -> str:
    """A count with its noun.

    Args:
        count: Number of things.
        noun: Name of one.
        nouns: Name of several; default: the noun with an s.

    Example:
        >>> counted(1, "record"), counted(1_200, "record"), counted(0, "entry", "entries")
        ('1 record', '1,200 records', '0 entries')
    """
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"
