"""Entries in a block that grows with them: `[touched, grown, first, n, entry, …]`.

There are n of them from place `first` on, each of the same width.
"""

from typing import Any

from state.kinds.compiled import part

HEAD = 4
"""Cells of a block before its entries."""


def rooms(most: int) -> list[int]:
    """For how many entries a block has room, at first and each time that it has grown."""
    room_of = room.py_func  # to compile it here would take longer than all else
    found = [room_of(most, 0)]
    while found[-1] < most:
        found.append(room_of(most, len(found)))
    return found


@part
def room(most: int, grown: int) -> Any:
    """For how many entries a block has room that has grown so often: 4, 16, …, all.

    In the end for an eighth more than there can be: then they seldom have to move back.
    """
    now, all_of_them = 4 << (2 * grown), most + most // 8
    return now if 2 * now < all_of_them else all_of_them


@part
def move(pool: Any, base: int, source: int, target: int, n: int, width: int) -> None:
    """Move n entries, whatever of them overlaps."""
    cells, start, to = n * width, base + source * width, base + target * width
    if to < start:
        for i in range(cells):
            pool[to + i] = pool[start + i]
    else:
        for i in range(cells - 1, -1, -1):
            pool[to + i] = pool[start + i]
