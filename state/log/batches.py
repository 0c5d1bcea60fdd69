"""Batches: lists of consecutive items, bounded in number and in bytes."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def batches(
    items: Iterable[T], size_of: Callable[[T], int], *, max_items: int, max_bytes: int
) -> Iterator[list[T]]:
    """Split items into lists; the item that reaches a bound ends its list.

    Example:
        >>> list(batches([b"a", b"bb", b"cccc", b"d"], len, max_items=2, max_bytes=4))
        [[b'a', b'bb'], [b'cccc'], [b'd']]
    """
    batch: list[T] = []
    size = 0
    for item in items:
        batch.append(item)
        size += size_of(item)
        if len(batch) >= max_items or size >= max_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
