"""The label of a stream: the outcome of a request, and the event that tells it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from state.events import Event


@dataclass(frozen=True, kw_only=True)
class Label:
    """The outcome of a request, which an event tells, or silence until a deadline.

    The event names its request by id (`of`), or labels the next request of a key (`by`). The
    deadline is exclusive: a label counts if it comes while the watermark is before it, so an event
    with the deadline's own time is too late if `Stream.lateness` is 0.

    Args:
        on: Type of the event that tells the label; with `by` it may be the request's own type.
        of: Field of the event with the request's id.
        by: Instead of `of`, the fields of a key; a mapping if the request's field has another name:
            `{"to": "sender"}`. The first event of a key at or after a request is its label, and the
            label of all waiting requests of that key. `()`: one key for all.
        value: Whether the label is 1; called with the event, or with the event and the request if
            it takes two arguments.
        deadline: Returns the event time (µs) at which a request's silence becomes `silence`.
        silence: Label of a request without an event in time; None: unknown, so the request is
            dropped, counted and not learned.
        delay: Longest time from a request to its label. Training leaves out that much, and a label
            that comes before its request waits that long.
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
        """The key's fields: request's name to event's name; empty if `of` is given."""
        by = self.by or ()
        return by if isinstance(by, Mapping) else {name: name for name in by}

    @cached_property
    def needs_request(self) -> bool:
        """Whether `value` takes the request too; without a signature, it takes only the event.

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
