"""One record that is not as recorded, field by field, and why that may be."""

import math
from typing import Any, NamedTuple

import msgspec

from state.log import Entry, Record

_ROUNDING = 1e-9


class Field(NamedTuple):
    """A field that differs, both values as JSON; empty where the record lacks it."""

    name: str
    recorded: str
    replayed: str


class Difference(msgspec.Struct, frozen=True):
    """The place of a record, and how it differs.

    Attributes:
        topic: Its topic.
        partition: Its partition.
        sequence: Its offset there; None: it is not about one record.
        offset: In `events`, of what it belongs to, if it says so.
        id: Of the request, if it says so.
        fields: Those that differ.
        cause: Where it is known from the start.
    """

    topic: str
    partition: int
    sequence: int | None
    offset: int | None
    id: str | None
    fields: list[Field]
    cause: str = ""


def surplus(topic: str, partition: int, record: Record) -> Difference:
    """A stored record that was not made again."""
    old = _fields(record.value)
    fields = [Field(name, _json(old, name), "") for name in old]
    cause = "more is recorded than the events give: it was added, or events were lost"
    return Difference(
        topic, partition, record.offset, old.get("offset"), old.get("id"), fields, cause
    )


def difference(topic: str, partition: int, record: Record, entry: Entry) -> Difference:
    """How a stored record differs from the one made again."""
    old, new = _fields(record.value), _fields(entry.value)
    fields = [
        Field(name, _json(old, name), _json(new, name))
        for name in {**old, **new}
        if name not in old or name not in new or old[name] != new[name]
    ]
    if record.key != entry.key:
        fields.insert(0, Field("(key)", repr(record.key), repr(entry.key)))
    if not fields:
        fields = [Field("(bytes)", repr(record.value), repr(entry.value))]
    known = {**old, **new}
    return Difference(topic, partition, record.offset, known.get("offset"), known.get("id"), fields)


def cause_of(first: Difference, different: int, after: int) -> str:
    """Why records differ, as far as that can be told.

    Args:
        first: The first of them.
        different: How many differ.
        after: How many after the first do not.
    """
    if first.cause:
        return first.cause
    names = {field.name for field in first.fields}
    if any(not field.recorded or not field.replayed for field in first.fields):
        return "the fields are not the same: another version of the program wrote them"
    if names == {"chain"}:
        return "a prediction before this one was altered, or the chain itself"
    if "model" in names:
        return "another offline model was used: the journal or the topic models was altered"
    if all(_is_rounding(field) for field in first.fields if field.name != "chain"):
        return "the same but for rounding: another machine or other libraries made it"
    if after > different:
        return "it was altered after it was written: most of what follows is as replayed"
    return (
        "from here on all is otherwise: other settings, other code, or altered events "
        "(an altered checkpoint is not used)"
    )


def _fields(value: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {"(bytes)": repr(value)}
    return found if isinstance(found, dict) else {"(value)": found}


def _json(fields: dict[str, Any], name: str) -> str:
    return msgspec.json.encode(fields[name]).decode() if name in fields else ""


def _is_rounding(field: Field) -> bool:
    if field.name.startswith("("):  # of the record, and not JSON
        return False
    old, new = msgspec.json.decode(field.recorded), msgspec.json.decode(field.replayed)
    both = isinstance(old, float) and isinstance(new, float)
    return both and math.isclose(old, new, rel_tol=_ROUNDING)
