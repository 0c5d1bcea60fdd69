"""`Bins`: another column cut into intervals."""

from collections.abc import Iterator
from dataclasses import dataclass

from state.kinds.kind import BinEdges, Column, Compiled, Kind, Scope
from state.stream_numbers import Bound


@dataclass(frozen=True)
class Bins(Kind):
    """Another column cut into intervals, one level each, for the linear models and their crosses.

    Trees cut by themselves: they do not get it. A missing value is a level of its own.

    Args:
        name: Name of the column.
        of: A numeric column of the same stream.
        edges: Ascending edges; a value on an edge belongs to the interval above.
    """

    name: str
    of: str
    edges: tuple[float, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The number of the interval."""
        return (Column(self.name, categorical=True, for_trees=False),)

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the levels: missing, then the intervals upwards."""
        return ("missing", *(f"bin{i:02d}" for i in range(len(self.edges) + 1)))

    def bounds(self, lateness_us: int) -> Iterator[Bound]:
        """The edges."""
        for edge in self.edges:
            yield Bound("edge", edge)

    def wrong(self, scope: Scope) -> str:
        """Refuse a column that is not numeric, and edges that do not ascend."""
        numeric = {column.name for column in scope.columns if not column.categorical}
        if self.of not in numeric:
            return f"bins {self.name!r} must cut a numeric column; got {self.of!r}"
        if not self.edges or list(self.edges) != sorted(set(self.edges)):
            return f"edges must ascend; got {self.edges} in bins {self.name!r}"
        return ""

    def compiled(self, scope: Scope) -> Compiled:
        """The bins."""
        return Compiled(cut=BinEdges(scope.place_of(self.of), self.edges))
