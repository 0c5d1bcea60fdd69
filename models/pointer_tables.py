"""Tables of addresses, by which compiled code accesses models: arrays as arguments take longer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NO_MODEL, GIVEN, TREES, GLM = range(4)

BANK = np.dtype(
    [
        ("width", "i8"),
        ("kinds", "i8"),
        ("crosses", "i8"),
        ("n_crosses", "i8"),
        ("hashed", "i8"),
        ("scale", "i8"),
        ("first", "i8"),
        ("weights", "i8"),
        ("memory", "i8"),
        ("rows", "i8"),
        ("places", "i8"),
        ("taken", "i8"),
        ("rates", "i8"),
        ("room", "i8"),
    ]
)
"""The bank of learners: lengths and addresses of the arrays of `models.linear.bank`."""

ENSEMBLE = np.dtype(
    [
        ("rivers", "i8"),
        ("shares", "i8"),
        ("trust", "i8"),
        ("online", "i8"),
        ("online_trust", "i8"),
        ("residual", "i8"),
        ("residual_trust", "i8"),
        ("older", "i8"),
        ("older_trust", "i8"),
        ("stacks", "i8"),
        ("group_stacks", "i8"),
    ]
)
"""The ensemble: its number of River classifiers, and the addresses of its weights."""

OFFLINE = np.dtype(
    [
        ("kind", "i8"),
        ("width", "i8"),
        ("places", "i8"),
        ("levels", "i8"),
        ("codes", "i8"),
        ("n_codes", "i8"),
        ("a", "i8"),
        ("n_a", "i8"),
        ("b", "i8"),
        ("n_b", "i8"),
        ("c", "i8"),
        ("n_c", "i8"),
        ("skipped", "i8"),
        ("link", "i8"),
        ("init", "f8"),
        ("divisor", "f8"),
        ("weight_0", "f8"),
        ("weight_1", "f8"),
    ]
)
"""The offline model: places of its columns, codes of its levels, and `Mojo.kernel_args`.

`levels` is int64[width, 2]: begin and end in `codes` of a column's levels; -1 for a number. `a`,
`b` and `c` are nodes, roots and bits of trees, or factors, means and beta of a GLM.
"""


class PointerTable:
    """One row of addresses, and the arrays they point to.

    Args:
        dtype: BANK, ENSEMBLE or OFFLINE.
        fields: Fields of the row; the others are 0.
        kept: Arrays whose addresses the row holds.

    Attributes:
        address: Address of the row.
        row: The row itself.
    """

    __slots__ = ("_kept", "address", "row")

    def __init__(
        self, dtype: np.dtype[np.void], fields: Mapping[str, float], kept: Sequence[NDArray[Any]]
    ) -> None:
        self.row = np.zeros(1, dtype)
        self.address: int = self.row.ctypes.data
        self.change(fields, kept)

    def change(self, fields: Mapping[str, float], kept: Sequence[NDArray[Any]]) -> None:
        """Change fields of the row in place."""
        for name, value in fields.items():
            self.row[name] = value
        self._kept = tuple(kept)
