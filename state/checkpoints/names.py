"""Names of checkpoint files: offset and boundary, padded so that they sort in this order."""

import re
from collections.abc import Iterable

PERIODIC_KEPT = 3
"""Number of periodic checkpoints of a partition to keep, in a home and in a store."""

_NAME = re.compile(r"\d{15}-\d{16}-(boundary|periodic)\.ckpt", re.ASCII)
_EARLIER = re.compile(r"\d{1,18}-(boundary|periodic)\.ckpt", re.ASCII)


def name_of(offset: int, boundary: int, *, at_boundary: bool) -> str:
    """Name of a checkpoint's file.

    Example:
        >>> name_of(7, 1357_000_000_000_000, at_boundary=True)
        '000000000000007-1357000000000000-boundary.ckpt'
    """
    kind = "boundary" if at_boundary else "periodic"
    return f"{offset:015d}-{boundary:016d}-{kind}.ckpt"


def is_checkpoint(name: str) -> bool:
    """Whether a name is that of a checkpoint's file."""
    return _NAME.fullmatch(name) is not None


def is_earlier(name: str) -> bool:
    """Whether a name was given by an earlier version, without the boundary."""
    return _EARLIER.fullmatch(name) is not None


def is_at_boundary(name: str) -> bool:
    """Whether a checkpoint was made at a boundary; those are kept."""
    return name.endswith("-boundary.ckpt")


def offset_of(name: str) -> int:
    """Offset of the first record after a checkpoint."""
    return int(name.partition("-")[0])


def surplus(names: Iterable[str]) -> frozenset[str]:
    """The checkpoints of a partition that are not kept.

    Example:
        >>> names = [name_of(n, 0, at_boundary=n == 2) for n in range(6)]
        >>> sorted(map(offset_of, surplus(names)))
        [0, 1]
    """
    periodic = sorted(name for name in names if not is_at_boundary(name))
    return frozenset(periodic[:-PERIODIC_KEPT])
