"""Compare a Grafana with what it should hold."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from flows.watch.grafana_objects import Kind, Wanted

Find = Callable[[Kind, str], dict[str, Any] | None]


class Change(NamedTuple):
    """An object that is missing, or is other than it should be.

    Attributes:
        wanted: The object as it should be.
        found: The object as it is; None: Grafana has none with its uid.
        differences: Paths of the fields that differ, with both values.
    """

    wanted: Wanted
    found: dict[str, Any] | None
    differences: tuple[str, ...] = ()


def changes(objects: list[Wanted], find: Find) -> list[Change]:
    """The changes that are needed, in order.

    Args:
        objects: The objects as they should be.
        find: Returns the object of a kind and uid; None: there is none.
    """
    needed = []
    for one in objects:
        found = find(one.kind, one.uid)
        if found is None:
            needed.append(Change(one, None))
        elif differing := tuple(differences(one.content, found)):
            needed.append(Change(one, found, differing))
    return needed


def differences(wanted: Any, found: Any, path: str = "") -> Iterator[str]:
    """The places where `found` is not as wanted; fields that nobody asked for may have any value.

    Example:
        >>> list(differences({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3, "c": 4}], "id": 7}))
        ['a[1].b: 3, not 2']
    """
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name, value in wanted.items():
            yield from differences(value, found.get(name), f"{path}.{name}" if path else name)
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from differences(one, other, f"{path}[{number}]")
    elif wanted != found:
        yield f"{path}: {_shortened(found)}, not {_shortened(wanted)}"


def _shortened(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} items"
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
