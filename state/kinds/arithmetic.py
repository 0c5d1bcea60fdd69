"""`Difference` and `Ratio` of two columns."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from state.kinds.compiled import part
from state.kinds.kind import Column, Compiled, Derived, Kind, Scope, Transform

DIFFERENCE, RATIO = 0, 1


class _OfTwo(Kind):
    name: str
    a: str
    b: str
    transform: Transform
    how: int

    @property
    def columns(self) -> tuple[Column, ...]:
        """The result."""
        return (Column(self.name, transform=self.transform),)

    def wrong(self, scope: Scope) -> str:
        """Refuse columns that are not numbers of earlier features."""
        before = scope.columns[: scope.place]
        numeric = [column.name for column in before if not column.categorical]
        for name in (self.a, self.b):
            if name not in numeric:
                return (
                    f"{self.title} must be of numeric columns of features before it, "
                    f"{', '.join(numeric) or 'of which there are none'}; got {name!r}"
                )
        return ""

    def compiled(self, scope: Scope) -> Compiled:
        """The derivation from both columns."""
        return Compiled(derived=Derived(self.how, scope.place_of(self.a), scope.place_of(self.b)))


@dataclass(frozen=True)
class Difference(_OfTwo):
    """A column minus another, such as a price minus its mean of the day; missing if one is.

    Args:
        name: Name of the column.
        a: A numeric column of a feature before this one.
        b: The column to subtract.
        transform: Transform for the linear models.
    """

    name: str
    a: str
    b: str
    transform: Transform = "identity"
    how = DIFFERENCE


@dataclass(frozen=True)
class Ratio(_OfTwo):
    """A column divided by another; missing if one is missing or the divisor is 0.

    Args:
        name: Name of the column.
        a: A numeric column of a feature before this one.
        b: The column to divide by.
        transform: Transform for the linear models.
    """

    name: str
    a: str
    b: str
    transform: Transform = "identity"
    how = RATIO


@part
def derive(derived: Any, row: Any) -> None:
    """Compute derived columns, in order; a result that is not finite becomes missing."""
    for k in range(len(derived)):
        one = derived[k]
        a, b = row[one.a], row[one.b]
        value = a - b if one.how == DIFFERENCE else a / b
        row[one.column] = value if np.isfinite(value) else np.nan
