"""The note in a home that holds the definition its outputs were made by."""

from pathlib import Path

import msgspec

from flows.definition.definition import (
    KEY_CHANGED,
    Change,
    Definition,
    change_between,
    definition_of,
)
from flows.home.configuration import ConfigurationError
from flows.home.home import read_note
from state.atomic_write import write_atomically
from state.stream import Stream

_NAME = "definition.json"


def noted(root: Path) -> Definition | None:
    """Read the noted definition; None: the home has no note yet.

    Args:
        root: The home's directory.

    Raises:
        ConfigurationError: The note is unreadable.
    """
    return read_note(root / _NAME, Definition)


def note(root: Path, stream: Stream) -> None:
    """Note today's definition as the one that the home's outputs are made by."""
    today = definition_of(stream)
    if noted(root) != today:
        root.mkdir(parents=True, exist_ok=True)
        write_atomically(root / _NAME, msgspec.json.format(msgspec.json.encode(today)))


def changed_since(root: Path, stream: Stream) -> Change:
    """Compare today's definition with the noted one; without a note there are no differences.

    Args:
        root: The home's directory.
        stream: Today's stream.
    """
    before = noted(root)
    return Change([], []) if before is None else change_between(before, definition_of(stream))


def refusal(root: Path, stream: Stream, change: Change, why: str = "") -> ConfigurationError:
    """The error for a home whose outputs were made by another definition.

    Args:
        root: The home's directory.
        stream: Today's stream.
        change: Differences from the noted definition.
        why: Additional text on how the outputs would differ, if that is known.
    """
    msg = (
        f"definition of stream {stream.name!r} must be the one that the home was begun with; got "
        f"{change} in {root}{why}: put it back, or begin a new home (set HEADWATER_HOME and "
        "`headwater ingest` the events there)"
    )
    return ConfigurationError(msg)


def check_definition(root: Path, stream: Stream) -> None:
    """Refuse a stream whose definition differs from the one that the home's outputs were made by.

    Raises:
        ConfigurationError: The definitions differ; the message names the differences.
    """
    change = changed_since(root, stream)
    if change.declared or change.functions:
        raise refusal(root, stream, change)


def check_key(root: Path, stream: Stream) -> None:
    """Refuse a stream with another key than the home's: its events would go to other partitions.

    Raises:
        ConfigurationError: The key differs; the message names the differences.
    """
    change = changed_since(root, stream)
    if KEY_CHANGED in change.declared:
        raise refusal(root, stream, change)
