"""Whether label events come to the partition of their request, before it costs labels."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

from state.events import Event
from state.log import partition_of
from state.plurals import counted
from state.stream import Stream

MOST_IDS = 1_000_000
"""Number of requests and label events that are followed; later ones are ignored."""


class _Place(NamedTuple):
    """An event's id, its key as text, and the partition in which it lies, or to which it goes."""

    id: str
    key: str
    partition: int


class LabelRouting:
    """Follows requests and the label events that name them or share a key, in any order.

    Args:
        stream: Stream whose `key` chooses the partition.
        partitions: Number of partitions of `events`; with one no label can reach a wrong one.
    """

    def __init__(self, stream: Stream, partitions: int) -> None:
        label = stream.label
        self._request, self._on, self._partitions = stream.request, label.on, partitions
        self._fields = stream.key_fields
        self._key: Callable[[Event], str] = stream.key_of()
        self._is_by_key = label.of is None
        self._named = _fields_of([*label.fields.values()] if label.of is None else [label.of])
        self._own = _fields_of([*label.fields] if label.of is None else ["id"])
        self._is_needed = self._is_by_key or partitions > 1
        self._asked: dict[Any, _Place] = {}
        self._waiting: dict[Any, list[_Place]] = {}
        self._size = self._met = self._alone = self._astray = 0
        self._first = ""

    def see(self, event: Event, partition: int | None = None) -> None:
        """Take in the next event, of whatever type.

        Args:
            event: The event.
            partition: Number of its partition; None: the one that its key gives.
        """
        if not self._is_needed or self._size >= MOST_IDS:
            return
        if isinstance(event, self._request) and (own := self._own(event)) not in self._asked:
            self._asked[own] = self._place(event, partition)
            for label in self._waiting.pop(own, []):
                self._alone -= 1
                self._meet(self._asked[own], label)
        if isinstance(event, self._on) and (self._is_by_key or self._named(event) != event.id):
            name, label = self._named(event), self._place(event, partition)
            if name in self._asked:
                self._meet(self._asked[name], label)
            else:
                self._waiting.setdefault(name, []).append(label)
                self._alone += 1

    def _place(self, event: Event, partition: int | None) -> _Place:
        self._size += 1
        key = self._key(event)
        if partition is None:
            partition = partition_of(key.encode(), self._partitions)
        return _Place(event.id, key, partition)

    def _meet(self, asked: _Place, told: _Place) -> None:
        self._met += 1
        if asked.partition == told.partition:
            return
        self._astray += 1
        if not self._first:
            of, on = self._fields[self._request], self._fields[self._on]
            self._first = (
                f"{self._on.__name__} {told.id!r} with {on} {told.key!r} goes to partition "
                f"{told.partition}, its {self._request.__name__} {asked.id!r} with {of} "
                f"{asked.key!r} to {asked.partition}"
            )

    @property
    def warning(self) -> str:
        """One line with the number of misdirected labels and the first; empty: none was."""
        if not self._astray:
            return ""
        advice = "`key` must send both the same way, or use partitions=1"
        if self._is_by_key:
            advice = "all that is written to `events` must lie in the partition of its `key`"
        one = self._astray == 1
        return (
            f"{self._astray:,} of {counted(self._met, f'{self._on.__name__} event')} "
            f"{'goes' if one else 'go'} to another partition than {'its' if one else 'their'} "
            f"request and would label nothing: {self._first}. {advice}"
        )

    @property
    def summary(self) -> str:
        """A clause on the labels, if there is no `warning`."""
        if self._is_by_key:
            have = "has" if self._met == 1 else "have"
            labels = f"{self._met:,} of {counted(self._met + self._alone, 'label event')}"
            return f"{labels} {have} the key of a request, in its partition, as far as read"
        if not self._is_needed:
            return "one partition has all requests and labels; not checked further"
        alone = f"; {self._alone:,} without their request" if self._alone else ""
        one, several = "label is in the partition of its", "labels are in the partition of their"
        return f"{counted(self._met, one, several)} request{alone}, as far as read"


def _fields_of(names: list[str]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda _: ()
