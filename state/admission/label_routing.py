"""Whether label events come to the partition of their request, before it costs labels."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from state.events import Event
from state.log import partition_of
from state.stream import Stream

MOST_IDS = 1_000_000
"""Number of requests and label events that are followed; later ones are ignored."""


class LabelRouting:
    """Follows requests and the label events that name them, in any order.

    Args:
        stream: Stream whose `key` chooses the partition.
        partitions: Number of partitions of `events`; with one, or with labels that have the key, no
            label can reach a wrong one.
    """

    def __init__(self, stream: Stream, partitions: int) -> None:
        label = stream.label
        self._request, self._on, self._partitions = stream.request, label.on, partitions
        self._fields = stream.key_fields
        self._key: Callable[[Event], str] = stream.key_of()
        self._request_of: Callable[[Any], str] = attrgetter(label.of or "id")
        self._is_needed = label.of is not None and partitions > 1
        self._asked: dict[str, str] = {}
        self._waiting: dict[str, tuple[str, str]] = {}
        self._met = self._astray = 0
        self._is_by_key = label.of is None
        self._first = ""

    def see(self, event: Event) -> None:
        """Take in the next event, of whatever type."""
        if not self._is_needed or len(self._asked) + len(self._waiting) >= MOST_IDS:
            return
        if isinstance(event, self._request):
            key = self._key(event)
            self._asked.setdefault(event.id, key)
            if (told := self._waiting.pop(event.id, None)) is not None:
                self._meet(event.id, key, *told)
        if isinstance(event, self._on) and self._request_of(event) != event.id:
            request, key = self._request_of(event), self._key(event)
            if request in self._asked:
                self._meet(request, self._asked[request], event.id, key)
            else:
                self._waiting[request] = event.id, key

    def _meet(self, request: str, asked: str, label: str, told: str) -> None:
        self._met += 1
        ours, theirs = (partition_of(key.encode(), self._partitions) for key in (asked, told))
        if ours == theirs:
            return
        self._astray += 1
        if not self._first:
            of, on = self._fields[self._request], self._fields[self._on]
            self._first = (
                f"{self._on.__name__} {label!r} with {on} {told!r} goes to partition {theirs}, "
                f"its {self._request.__name__} {request!r} with {of} {asked!r} to {ours}"
            )

    @property
    def warning(self) -> str:
        """One line with the number of misdirected labels and the first; empty: none was."""
        if not self._astray:
            return ""
        return (
            f"{self._astray:,} of {self._met:,} {self._on.__name__} events go to another partition "
            f"than their request and would label nothing: {self._first}. `key` must send both "
            "the same way, or use partitions=1"
        )

    @property
    def summary(self) -> str:
        """A clause on the labels, if there is no `warning`."""
        if self._is_by_key:
            return "labels are found by fields, in their own partition; not checked further"
        if not self._is_needed:
            return "one partition has all requests and labels; not checked further"
        alone = f"; {len(self._waiting):,} without their request" if self._waiting else ""
        return f"{self._met:,} labels are in the partition of their request{alone}, as far as read"
