"""Check arguments of declarations against the types that their class declares."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from reprlib import repr as shortened
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin


class StreamError(ValueError):
    """A stream's definition has an unknown name or an impossible value."""


def check_arguments(made: Any) -> None:
    """Refuse arguments of a frozen dataclass that have other types; lists become tuples.

    The contents of mappings and the arguments of functions are not checked.

    Args:
        made: The instance.

    Raises:
        StreamError: An argument has another type; with a hint if only a comma is missing.

    Example:
        >>> from state.features import Count, Rolling
        >>> from state.events import Event
        >>> Rolling(Event, ("host",), ("1h"), (Count(),))
        Traceback (most recent call last):
        state.kinds.arguments.StreamError: windows must be a tuple of texts; got '1h' in Rolling: \
write ('1h',)
    """
    for field in fields(made):
        value, declared = getattr(made, field.name), field.type
        if get_origin(declared) is tuple:
            if isinstance(value, list):
                value = tuple(value)
                object.__setattr__(made, field.name, value)
            _check_tuple(made, field.name, value, get_args(declared)[0])
        elif not _takes(declared, value):
            _refuse(made, field.name, _words(declared), value)


def _check_tuple(made: Any, name: str, value: Any, declared: Any) -> None:
    each = f"a tuple of {_words(declared, several=True)}"
    if not isinstance(value, tuple):
        hint = f": write ({shortened(value)},)" if _takes(declared, value) else ""
        _refuse(made, name, each, value, hint)
    for one in value:
        if not _takes(declared, one):
            _refuse(made, name, each, one)


def _refuse(made: Any, name: str, rule: str, value: Any, hint: str = "") -> None:
    msg = f"{name} must be {rule}; got {shortened(value)} in {type(made).__name__}{hint}"
    raise StreamError(msg)


def _takes(declared: Any, value: Any) -> bool:
    """Whether a value has a declared type, as far as types are checked."""
    origin = get_origin(declared)
    if origin is Literal:
        return value in get_args(declared)
    if origin is type:
        return isinstance(value, type) and issubclass(value, get_args(declared)[0])
    if isinstance(declared, UnionType):
        return any(_takes(one, value) for one in get_args(declared))
    if declared in {int, float}:
        return isinstance(value, int | declared) and not isinstance(value, bool)
    kind = origin or declared
    return not isinstance(kind, type) or isinstance(value, kind)


def _words(declared: Any, *, several: bool = False) -> str:
    if get_origin(declared) is Literal:
        return "one of " * (not several) + ", ".join(get_args(declared))
    if isinstance(declared, UnionType):
        words = dict.fromkeys(_words(one, several=several) for one in get_args(declared))
        return " or ".join(words)
    named: tuple[str, str] = getattr(
        declared, "IN_WORDS", (getattr(declared, "__name__", str(declared)),) * 2
    )
    return _NAMES.get(get_origin(declared) or declared, named)[several]


_NAMES: dict[Any, tuple[str, str]] = {
    str: ("a text", "texts"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    type: ("an event type", "event types"),
    tuple: ("a pair of columns", "pairs of columns"),
    Callable: ("a function", "functions"),
    Mapping: ("a mapping", "mappings"),
    NoneType: ("None", "None"),
}
"""Names of declared types in messages, alone and in a tuple of them."""
