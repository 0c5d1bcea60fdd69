"""Memory that the features of a stream use for each key."""

from typing import NamedTuple

from state.features import Feature
from state.stream import Stream

WARN_BYTES = 100_000
"""Memory of a key that is worth a warning: a hundred thousand such keys take 10 GB."""

_ENTRY_BYTES = 250
"""Estimated bytes of a key's entries in a table and its directory."""


class KeyMemory(NamedTuple):
    """Memory of one key.

    Attributes:
        by: Fields of the request that make the key; empty: there is one key.
        least: Bytes of a key with one event.
        most: Bytes of a key that fills all its windows.
        largest: The feature with the largest part of it.
    """

    by: tuple[str, ...]
    least: int
    most: int
    largest: Feature

    def __str__(self) -> str:
        """Format the figures for people."""
        key = " and ".join(self.by) or "all together"
        return f"{key}: {self.least / 1e3:,.1f} to {self.most / 1e3:,.1f} kB"


def key_memory(stream: Stream) -> list[KeyMemory]:
    """Memory of each kind of key, the largest first, without the user's own hooks."""
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
