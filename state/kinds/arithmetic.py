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
        """What comes out."""
        return (Column(self.name, transform=self.transform),)

    def wrong(self, scope: Scope) -> str:
        """Both must be numbers that are there when it is computed."""
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
        """Both places."""
        return Compiled(derived=Derived(self.how, scope.place_of(self.a), scope.place_of(self.b)))


@dataclass(frozen=True)
class Difference(_OfTwo):
    """A column less another, such as a price less its mean of the day; missing where one is.

    Args:
        name: The column.
        a: A numeric column of a feature before this one.
        b: Another, which is taken off.
        transform: How the linear models see it.
    """

    name: str
    a: str
    b: str
    transform: Transform = "identity"
    how = DIFFERENCE


@dataclass(frozen=True)
class Ratio(_OfTwo):
    """A column divided by another; missing where one is, or where that would be by 0.

    Args:
        name: The column.
        a: A numeric column of a feature before this one.
        b: Another, by which it is divided.
        transform: How the linear models see it.
    """

    name: str
    a: str
    b: str
    transform: Transform = "identity"
    how = RATIO


@part
def derive(derived: Any, row: Any) -> None:
    """Write what follows from other columns, in order; what is no finite number is missing."""
    for k in range(len(derived)):
        one = derived[k]
        a, b = row[one.a], row[one.b]
        value = a - b if one.how == DIFFERENCE else a / b
        row[one.column] = value if np.isfinite(value) else np.nan
