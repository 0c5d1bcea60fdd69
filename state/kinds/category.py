"""`Category`: a text or a whole number of the request, one level of a finite set."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from state.events import Event
from state.field_types import LEVEL, TEXT, declared
from state.kinds.kind import Column, Compiled, FieldUse, Kind, Scope


@dataclass(frozen=True)
class Category(Kind):
    """A text or a whole number of the request, one level of a finite set."""

    name: str

    @property
    def columns(self) -> tuple[Column, ...]:
        """The field."""
        return (Column(self.name, categorical=True),)

    def uses(self, request: type[Event]) -> Iterator[FieldUse]:
        """The field."""
        yield FieldUse(request, self.name, LEVEL)

    def compiled(self, scope: Scope) -> Compiled:
        """The field."""
        return Compiled(given=_level_of(scope.request, self.name))


def _level_of(request: type[Event], name: str) -> Callable[[Any], str | None]:
    """A function that returns the level: a text, or the digits of a whole number."""
    get: Callable[[Any], Any] = attrgetter(name)
    if all(map(TEXT.takes, declared(request)[name])):
        return get
    return lambda event: None if (value := get(event)) is None else str(value)
