"""Features by key: fields of the request, and the event's fields that must equal them."""

from collections.abc import Iterator, Mapping

from state.counted import Counted, Labelled
from state.events import Event
from state.field_types import KEY, declared, is_text, spoken
from state.kinds.kind import FieldUse, Kind, Scope, StreamError

By = tuple[str, ...] | Mapping[str, str]
"""Fields that request and event share, or a mapping of request fields to event fields."""


class Keyed(Kind):
    """A kind that keeps values for each key."""

    over: Counted | Mapping[Counted, float]
    by: By

    @property
    def overs(self) -> tuple[Counted, ...]:
        """The event types it observes."""
        return tuple(self.over) if isinstance(self.over, Mapping) else (self.over,)

    def __post_init__(self) -> None:
        """Check the key too."""
        by = self.by
        if isinstance(by, list):
            object.__setattr__(self, "by", tuple(by))
        names = [*by, *by.values()] if isinstance(by, Mapping) else by
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            hint = f": write ({by!r},)" if isinstance(by, str) else ""
            msg = f"by must be a tuple of field names; got {by!r} in {type(self).__name__}{hint}"
            raise StreamError(msg)
        super().__post_init__()

    @property
    def request_key(self) -> tuple[str, ...]:
        """Fields of the request that make the key."""
        return tuple(self.by)

    def event_key(self, over: Counted) -> tuple[str, ...]:
        """Fields of the counted event that make its key; for a label, fields of its request."""
        names = tuple(self.by.values()) if isinstance(self.by, Mapping) else self.by
        return tuple(f"request.{name}" for name in names) if over is Labelled else names

    @property
    def prefix(self) -> str:
        """Begin of its columns' names."""
        return "_".join(self.request_key) or "all"

    def uses(self, request: type[Event]) -> Iterator[FieldUse]:
        """The fields of the key, on the request and on each counted event."""
        yield from (FieldUse(request, name, KEY) for name in self.request_key)
        for over in self.overs:
            for name in self.event_key(over):
                yield FieldUse(_holder(over, request), name.removeprefix("request."), KEY)

    def wrong(self, scope: Scope) -> str:
        """Refuse to pair a text with a number, as they never match."""
        for over in self.overs:
            holder = _holder(over, scope.request)
            for ours, name in zip(self.request_key, self.event_key(over), strict=True):
                theirs = name.removeprefix("request.")
                asked, counted = declared(scope.request)[ours], declared(holder)[theirs]
                if not {*map(is_text, asked)} & {*map(is_text, counted)}:
                    return (
                        f"by must pair texts with texts and numbers with numbers; got {ours!r} of "
                        f"{scope.request.__name__} ({spoken(asked)}) and {theirs!r} of "
                        f"{holder.__name__} ({spoken(counted)}) in feature {self.title}"
                    )
        return ""


def _holder(over: Counted, request: type[Event]) -> Counted:
    return request if over is Labelled else over
