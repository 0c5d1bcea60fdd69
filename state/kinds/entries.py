"""Entries in a block that grows with them: `[touched, grown, first, n, entry, …]`.

The n entries begin at place `first`, each of the same width.
"""

from typing import Any

from state.kinds.compiled import part

HEAD = 4
"""Number of cells of a block before its entries."""


def rooms(most: int) -> list[int]:
    """Capacities of a block in entries, at first and after each growth."""
    room_of = room.py_func  # compiling it here would take longer than all else
    found = [room_of(most, 0)]
    while found[-1] < most:
        found.append(room_of(most, len(found)))
    return found


@part
def room(most: int, grown: int) -> Any:
    """Capacity in entries of a block that has grown `grown` times: 4, 16, …, all.

    The last capacity has an eighth more than the most entries, so that they seldom have to move
    back.
    """
    now, all_of_them = 4 << (2 * grown), most + most // 8
    return now if 2 * now < all_of_them else all_of_them


@part
def move(pool: Any, base: int, source: int, target: int, n: int, width: int) -> None:
    """Move n entries, which may overlap their target."""
    cells, start, to = n * width, base + source * width, base + target * width
    if to < start:
        for i in range(cells):
            pool[to + i] = pool[start + i]
    else:
        for i in range(cells - 1, -1, -1):
            pool[to + i] = pool[start + i]
