"""Types that a field of an event may hold, as its class declares them, and types features need."""

from collections.abc import Callable
from typing import NamedTuple

from msgspec import inspect

from state.counted import Counted
from state.events import TimeUs


class FieldRequirement(NamedTuple):
    """A requirement of a feature on a field.

    Attributes:
        what: Name of the accepted types, for messages.
        takes: Whether one of the field's types is accepted.
    """

    what: str
    takes: Callable[[inspect.Type], bool]


def declared(event: Counted) -> dict[str, tuple[inspect.Type, ...]]:
    """The fields of an event, each with the types that it may hold.

    Example:
        >>> from msgspec import Struct
        >>> class Rain(Struct):
        ...     city: str
        ...     fell: float | None
        >>> {name: spoken(types) for name, types in declared(Rain).items()}
        {'city': 'str', 'fell': 'float or null'}
    """
    described = inspect.type_info(event)
    assert isinstance(described, inspect.StructType | inspect.NamedTupleType)
    return {field.name: _alternatives(field.type) for field in described.fields}


def nullable(event: Counted, name: str) -> bool:
    """Whether a field may be null."""
    return any(map(is_null, declared(event)[name]))


def fields_of_bytes(event: Counted) -> set[str]:
    """The fields that may hold bytes, which JSON encodes as base64."""
    return {
        name
        for name, kinds in declared(event).items()
        if any(isinstance(kind, inspect.BytesType) for kind in kinds)
    }


def spoken(types: tuple[inspect.Type, ...]) -> str:
    """Name types for messages."""
    names = [type(kind).__name__.removesuffix("Type").lower() for kind in types]
    return " or ".join("null" if name == "none" else name for name in names)


def is_boundless(kind: inspect.Type) -> bool:
    """Whether a type is an unbounded whole number."""
    lowest_and_highest = (("ge", "gt"), ("le", "lt"))
    return isinstance(kind, inspect.IntType) and not all(
        any(getattr(kind, bound) is not None for bound in either) for either in lowest_and_highest
    )


def _alternatives(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    if isinstance(kind, inspect.Metadata):
        return _alternatives(kind.type)
    if isinstance(kind, inspect.UnionType):
        return tuple(one for part in kind.types for one in _alternatives(part))
    return (kind,)


def is_null(kind: inspect.Type) -> bool:
    """Whether a type is null."""
    return isinstance(kind, inspect.NoneType)


def _is_number(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.IntType | inspect.FloatType | inspect.BoolType)


def is_text(kind: inspect.Type) -> bool:
    """Whether a type is a text, or a fixed set of texts."""
    texts = isinstance(kind, inspect.LiteralType) and all(isinstance(v, str) for v in kind.values)
    return texts or isinstance(kind, inspect.StrType)


def _is_whole(kind: inspect.Type) -> bool:
    whole = isinstance(kind, inspect.LiteralType) and all(type(v) is int for v in kind.values)
    return whole or isinstance(kind, inspect.IntType)


_TIMES = _alternatives(inspect.type_info(TimeUs))

TIME = FieldRequirement("a time, declared TimeUs, never null", lambda kind: kind in _TIMES)
NUMBER = FieldRequirement("a number or null", lambda kind: _is_number(kind) or is_null(kind))
TEXT = FieldRequirement("a text or null", lambda kind: is_text(kind) or is_null(kind))
LEVEL = FieldRequirement(
    "a text, a whole number or null",
    lambda kind: is_text(kind) or _is_whole(kind) or is_null(kind),
)
KEY = FieldRequirement(
    "a text or a number, never null", lambda kind: is_text(kind) or _is_number(kind)
)
VALUE = FieldRequirement(
    "a text, a number or null", lambda kind: is_text(kind) or _is_number(kind) or is_null(kind)
)
WHOLE = FieldRequirement("a whole number, never null", _is_whole)
PARTITION_KEY = FieldRequirement("a text, never null", is_text)
