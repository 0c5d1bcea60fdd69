"""A record that differs from the recorded one, field by field, and the likely cause."""

import math
from typing import Any, NamedTuple

import msgspec

from state.log import Entry, Record

_ROUNDING = 1e-9


class FieldDifference(NamedTuple):
    """A field that differs, with both values as JSON; empty where the record lacks the field."""

    name: str
    recorded: str
    replayed: str


class RecordDifference(msgspec.Struct, frozen=True):
    """The place of a record that differs, and its differing fields.

    Attributes:
        topic: Topic of the record.
        partition: Partition of the topic.
        sequence: Offset in the topic; None: the difference is not in one record.
        offset: Offset in `events` of the event it belongs to, if the record has it.
        id: Id of the request, if the record has it.
        fields: Fields that differ.
        cause: The cause, if it is known already; else empty.
    """

    topic: str
    partition: int
    sequence: int | None
    offset: int | None
    id: str | None
    fields: list[FieldDifference]
    cause: str = ""


def surplus(topic: str, partition: int, record: Record) -> RecordDifference:
    """A stored record that the replay did not produce."""
    old = _fields(record.value)
    fields = [FieldDifference(name, _json(old, name), "") for name in old]
    cause = "the events do not give this record: it was added, or events were lost"
    return RecordDifference(
        topic, partition, record.offset, old.get("offset"), old.get("id"), fields, cause
    )


def difference(topic: str, partition: int, record: Record, entry: Entry) -> RecordDifference:
    """Compare a stored record with the replayed one, field by field."""
    old, new = _fields(record.value), _fields(entry.value)
    fields = [
        FieldDifference(name, _json(old, name), _json(new, name))
        for name in {**old, **new}
        if name not in old or name not in new or old[name] != new[name]
    ]
    if record.key != entry.key:
        fields.insert(0, FieldDifference("(key)", repr(record.key), repr(entry.key)))
    if not fields:
        fields = [FieldDifference("(bytes)", repr(record.value), repr(entry.value))]
    known = {**old, **new}
    return RecordDifference(
        topic, partition, record.offset, known.get("offset"), known.get("id"), fields
    )


def cause_of(first: RecordDifference, different: int, after: int) -> str:
    """The likely cause of a difference.

    Args:
        first: The first difference.
        different: Number of records that differ.
        after: Number of identical records after the first difference.
    """
    if first.cause:
        return first.cause
    names = {field.name for field in first.fields}
    if any(not field.recorded or not field.replayed for field in first.fields):
        return (
            "the fields are not the same: another version of the program, or another definition of "
            "the stream, wrote them"
        )
    if names == {"chain"}:
        return "a prediction before this one was altered, or the chain itself"
    if "model" in names:
        return "another offline model was used: the journal or the topic models was altered"
    if all(_is_rounding(field) for field in first.fields if field.name != "chain"):
        return "identical except for rounding: another machine or other libraries made it"
    if after > different:
        return "it was altered after it was written: most of what follows is as replayed"
    return (
        "everything differs from here on: other settings, another definition of the stream, other "
        "code, or altered events "
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


def _is_rounding(field: FieldDifference) -> bool:
    if field.name.startswith("("):  # about the whole record, not JSON
        return False
    old, new = msgspec.json.decode(field.recorded), msgspec.json.decode(field.replayed)
    both = isinstance(old, float) and isinstance(new, float)
    return both and math.isclose(old, new, rel_tol=_ROUNDING)
