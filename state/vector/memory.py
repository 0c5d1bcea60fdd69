"""How much memory the features of a stream take for each key."""

from typing import NamedTuple

from state.features import Feature
from state.stream import Stream

WARN_BYTES = 100_000
"""A hundred thousand keys of so much take 10 GB."""

_ENTRY_BYTES = 250
"""Of a key in a table and its directory, about: the key itself, its place and its address."""


class KeyMemory(NamedTuple):
    """What one key takes.

    Attributes:
        by: Fields of the request that make it; none: there is one key.
        least: Bytes of a key with one event.
        most: Bytes of a key that fills all its windows.
        largest: The feature that takes most of it.
    """

    by: tuple[str, ...]
    least: int
    most: int
    largest: Feature

    def __str__(self) -> str:
        """In words."""
        key = " and ".join(self.by) or "all together"
        return f"{key}: {self.least / 1e3:,.1f} to {self.most / 1e3:,.1f} kB"


def key_memory(stream: Stream) -> list[KeyMemory]:
    """The memory of each kind of key, the largest first; of a user's own hooks nothing is known."""
    blocks: dict[tuple[str, ...], list[tuple[int, int, Feature]]] = {}
    place = 0
    for feature in stream.features:
        for block in feature.compiled(stream.scope(place)).blocks:
            sizes = (block.sizes[0] * 8 + _ENTRY_BYTES, block.sizes[-1] * 8 + _ENTRY_BYTES)
            blocks.setdefault(block.by, []).append((*sizes, feature))
        place += len(feature.columns)
    found = [
        KeyMemory(
            by,
            sum(least for least, _, _ in of),
            sum(most for _, most, _ in of),
            max(of, key=lambda one: one[1])[2],
        )
        for by, of in blocks.items()
    ]
    return sorted(found, key=lambda one: -one.most)
