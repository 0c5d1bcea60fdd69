"""`Elapsed`: minutes between two times of the request."""

from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

from state.events import MINUTE_US, Event
from state.field_types import TIME
from state.kinds.kind import Column, Compiled, FieldUse, Kind, Scope, Transform


@dataclass(frozen=True)
class Elapsed(Kind):
    """Minutes from one time of the request to another, such as the time left to a known event.

    Args:
        name: Name of the column.
        since: Field with the earlier time (µs UTC).
        until: Field with the later time (µs UTC).
        transform: Transform for the linear models.
    """

    name: str
    since: str
    until: str
    transform: Transform = "identity"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The minutes."""
        return (Column(self.name, transform=self.transform),)

    def uses(self, request: type[Event]) -> Iterator[FieldUse]:
        """Both times."""
        yield from (FieldUse(request, name, TIME) for name in (self.since, self.until))

    def compiled(self, scope: Scope) -> Compiled:
        """The difference of the two."""
        start, end = attrgetter(self.since), attrgetter(self.until)
        return Compiled(given=lambda event: (end(event) - start(event)) / MINUTE_US)
