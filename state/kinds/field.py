"""`Field`: a number of the request, unchanged."""

from collections.abc import Iterator
from dataclasses import dataclass

from state.counted import reading
from state.events import Event
from state.field_types import NUMBER
from state.kinds.kind import Column, Compiled, FieldUse, Kind, Scope, Transform


@dataclass(frozen=True)
class Field(Kind):
    """A number of the request, unchanged.

    Args:
        name: Field of the request.
        transform: Transform for the linear models.
    """

    name: str
    transform: Transform = "identity"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The field."""
        return (Column(self.name, transform=self.transform),)

    def uses(self, request: type[Event]) -> Iterator[FieldUse]:
        """The field."""
        yield FieldUse(request, self.name, NUMBER)

    def compiled(self, scope: Scope) -> Compiled:
        """The field."""
        return Compiled(given=reading(self.name))
