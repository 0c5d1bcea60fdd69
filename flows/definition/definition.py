"""A stream's definition as data: the parts that decide the bytes a flow writes."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

import msgspec

from flows.definition.function_source import source_of
from state.stream import Stream
from state.stream_functions import functions_of

_MOST_SHOWN = 8
_WHOLE = ("lateness", "dedup", "refit_from", "crosses", "key")
KEY_CHANGED = "key changed"
"""The declared change of a stream's partition key."""


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A stream's definition in a form that can be stored and compared.

    Attributes:
        stream: Name of the stream.
        events: JSON schema of each field, by event type.
        required: Names of the required fields, by event type.
        parts: All other declarations as text, by their name in messages.
        functions: Sources of all functions, by their name in messages.
    """

    stream: str
    events: dict[str, dict[str, str]]
    required: dict[str, list[str]]
    parts: dict[str, str]
    functions: dict[str, str]


class Change(msgspec.Struct, frozen=True):
    """Differences between two definitions.

    Attributes:
        declared: Features, events or rules that were added, removed or changed.
        functions: Functions whose source changed.
    """

    declared: list[str]
    functions: list[str]

    def __str__(self) -> str:
        """Format the differences as a sentence."""
        each = [*self.declared, *(f"source of {one} changed" for one in self.functions)]
        more = f" and {len(each) - _MOST_SHOWN} more" if len(each) > _MOST_SHOWN else ""
        return ", ".join(each[:_MOST_SHOWN]) + more


def definition_of(stream: Stream) -> Definition:
    """Describe a stream's definition; declarations that equal their default are left out."""
    schemas = {str(kind.__struct_config__.tag): _schema_of(kind) for kind in stream.events}
    return Definition(
        stream=stream.name,
        events={
            tag: {name: json.dumps(of, sort_keys=True) for name, of in one["properties"].items()}
            for tag, one in schemas.items()
        },
        required={tag: sorted(one.get("required", ())) for tag, one in schemas.items()},
        parts=dict(_parts(stream)),
        functions={one.title: source_of(one.call) for one in functions_of(stream)},
    )


def change_between(old: Definition, new: Definition) -> Change:
    """The differences, except event types and optional fields that were only added."""
    declared = [*_events(old, new), *_declared(old.parts, new.parts)]
    if old.stream != new.stream:
        declared.insert(0, f"name was {old.stream!r}")
    ours = [title for title in old.functions if title in new.functions]
    return Change(
        declared, [title for title in ours if old.functions[title] != new.functions[title]]
    )


def _events(old: Definition, new: Definition) -> Iterator[str]:
    for tag, before in old.events.items():
        if tag not in new.events:
            yield f"event {tag} removed"
            continue
        now = new.events[tag]
        for name, schema in before.items():
            if name not in now:
                yield f"field {name} of event {tag} removed"
            elif now[name] != schema or (name in old.required[tag]) != (name in new.required[tag]):
                yield f"field {name} of event {tag} changed"
        added = [name for name in new.required[tag] if name not in before]
        yield from (f"required field {name} of event {tag} added" for name in added)


def _declared(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    yield from (f"{name} removed" for name in old if name not in new)
    yield from (f"{name} added" for name in new if name not in old)
    both = [name for name in old if name in new]
    yield from (f"{name} changed" for name in both if old[name] != new[name])
    if both != [name for name in new if name in old]:
        yield "order of features changed"


def _parts(stream: Stream) -> Iterator[tuple[str, str]]:
    yield "request", _text(stream.request)
    yield "label rule", _text(stream.label)
    for title, feature in zip(stream.titles, stream.features, strict=True):
        yield f"feature {title}", _text(feature)
    for name in _WHOLE:
        yield name, _text(getattr(stream, name))


def _text(value: Any) -> str:
    """A declared value as text; functions are compared by source elsewhere."""
    if isinstance(value, type):
        return value.__name__
    if is_dataclass(value):
        given = [(of.name, getattr(value, of.name)) for of in fields(value) if _is_given(value, of)]
        return f"{type(value).__name__}({', '.join(f'{n}={_text(v)}' for n, v in given)})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(k)}: {_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "(" + ", ".join(map(_text, value)) + ")"
    return "function" if callable(value) else repr(value)


def _is_given(declared: Any, of: Field[Any]) -> bool:
    return of.default is MISSING or getattr(declared, of.name) != of.default


def _schema_of(kind: type[Any]) -> dict[str, Any]:
    try:
        _, schemas = msgspec.json.schema_components([kind])
    except TypeError:  # a type of the user's own, which JSON schema does not support
        return {"properties": dict.fromkeys(kind.__struct_fields__)}
    found: dict[str, Any] = schemas[kind.__name__]
    return found
