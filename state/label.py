"""The label of a stream: what finally happened to a request, and which event tells it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from state.events import Event


@dataclass(frozen=True, kw_only=True)
class Label:
    """What finally happened to a request: said by an event, or by silence until a deadline.

    The event names its request by id (`of`), or it is the next one of the request's key (`by`).
    The deadline is exclusive: a label counts if it comes while the watermark is before it, so an
    event with the deadline's own time is too late where `Stream.lateness` is 0.

    Args:
        on: The event that says it; with `by` it may be the request's own type.
        of: Its field with the request's id.
        by: Instead of `of`, the fields of a key, by the name on the request where the names differ:
            `{"to": "sender"}`. The first event of a key that is not before a request is its label,
            and the label of all requests of the key that wait. `()`: one key for all.
        value: Whether the label is 1, from that event; with two arguments from the event and the
            request.
        deadline: Event time (µs) of a request at which silence becomes `silence`.
        silence: The label when no event came in time; None: it is not known, and the request is
            forgotten, counted and not learned.
        delay: The longest time from a request to its label; training leaves that much out, and a
            label that comes before its request waits for it so long.
    """

    on: type[Event]
    of: str | None = None
    by: tuple[str, ...] | Mapping[str, str] | None = None
    value: Callable[..., bool]
    deadline: Callable[[Any], int]
    silence: bool | None
    delay: str

    @cached_property
    def fields(self) -> Mapping[str, str]:
        """The key's fields: on the event, by those on the request; none where `of` is given."""
        by = self.by or ()
        return by if isinstance(by, Mapping) else {name: name for name in by}

    @cached_property
    def needs_request(self) -> bool:
        """Whether `value` takes the request too; what does not tell its arguments takes one.

        Example:
            >>> def of(value):
            ...     return Label(
            ...         on=Event, by=(), value=value, deadline=int, silence=None, delay="1h"
            ...     )
            >>> of(lambda event: True).needs_request
            False
            >>> of(lambda event, request: event.time < request.time).needs_request
            True
        """
        try:
            parameters = inspect.signature(self.value).parameters.values()
        except ValueError:  # such as of `operator.attrgetter`
            return False
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return sum(p.kind in kinds and p.default is p.empty for p in parameters) > 1
