"""Group dead letters by equal reasons, each group with an example."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from state.plain_text import plain_line

T = TypeVar("T")

_MOST_GROUPS = 1_000
_MOST_NAMES, _MOST_OF_NAME = 50, 100
# The parts that differ between equal reasons: quoted values, numbers, places.
_VARIES = re.compile(r"'[^']*'|\d+(?:\.\d+)?")
_OF_RECORD = frozenset({"duplicate", "clock_skew", "late"})


class Refusal(NamedTuple):
    """The reason why a record is refused.

    Attributes:
        reason: A word to count by.
        detail: A sentence.
        topic: Foreign topic of the record; empty: it is from a file.
        advice: The way to read such records; empty: none is known.
    """

    reason: str
    detail: str
    topic: str = ""
    advice: str = ""


class Groups(Generic[T]):
    """Refused records by equal reasons, each group with its size and its last record.

    If there are very many reasons, the last ones form one group per word.

    Attributes:
        total: Number of records.
    """

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str], tuple[Refusal, int, T]] = {}
        self.total = 0

    def add(self, refusal: Refusal, example: T) -> None:
        """Count a record."""
        kind = "" if refusal.reason in _OF_RECORD else _VARIES.sub("…", refusal.detail)
        key = refusal.reason, refusal.topic, kind
        if key not in self._groups and len(self._groups) >= _MOST_GROUPS:
            key = refusal.reason, refusal.topic, ""
        count = self._groups[key][1] if key in self._groups else 0
        self._groups[key] = refusal, count + 1, example
        self.total += 1

    def __iter__(self) -> Iterator[tuple[Refusal, int, T]]:
        """The groups, the largest first."""
        return iter(sorted(self._groups.values(), key=lambda group: -group[1]))


def grouped(refused: Iterable[tuple[Refusal, T]]) -> Groups[T]:
    """Refused records by equal reasons.

    Example:
        >>> late = Refusal("invalid", "no number '1'"), Refusal("invalid", "no number '2'")
        >>> list(grouped(zip(late, "ab")))
        [(Refusal(reason='invalid', detail="no number '2'", topic='', advice=''), 2, 'b')]
    """
    groups = Groups[T]()
    for refusal, example in refused:
        groups.add(refusal, example)
    return groups


def reason_lines(groups: Iterable[tuple[Refusal, int, bytes]]) -> Iterator[str]:
    """Each reason in a line, with an example in the next; the same advice comes once."""
    given = {""}
    for refusal, count, example in groups:
        advice = "" if refusal.advice in given else f": {refusal.advice}"
        given.add(refusal.advice)
        yield f"{count:,} {refusal.reason}: {refusal.detail}{advice}"
        yield f"  {shown(example)}"


def shown(raw: bytes, most: int = 300) -> str:
    r"""The begin of a record as plain text, on one line.

    Example:
        >>> shown(b'{"a":\n1}'), shown(b"\xff")
        ('{"a":\\u000a1}', '\\xff')
    """
    text = raw[:most].decode(errors="backslashreplace")
    return plain_line(text) + "…" * (len(raw) > most)


def names_shown(names: Sequence[str]) -> str:
    r"""The first names as plain text on one line, and the number of others.

    Example:
        >>> names_shown(["a\n", "b"]), names_shown([f"c{i}" for i in range(9_052)])[-23:]
        ('a\\u000a, b', 'c48, c49 and 9,002 more')
    """
    first = ", ".join(plain_line(name[:_MOST_OF_NAME]) for name in names[:_MOST_NAMES])
    others = len(names) - _MOST_NAMES
    return f"{first} and {others:,} more" if others > 0 else first
