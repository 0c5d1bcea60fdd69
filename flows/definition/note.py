"""The note of a home that tells the definition by which its outputs were made."""

from pathlib import Path

import msgspec

from flows.definition.definition import Change, Definition, change_between, definition_of
from flows.home.configuration import ConfigurationError
from flows.home.home import read_note
from state.atomic_write import write_atomically
from state.stream import Stream

_NAME = "definition.json"


def noted(root: Path) -> Definition | None:
    """The definition in the note; None: the home has no note yet.

    Args:
        root: The home's.

    Raises:
        ConfigurationError: It cannot be read.
    """
    return read_note(root / _NAME, Definition)


def note(root: Path, stream: Stream) -> None:
    """Make today's definition the one that a home's outputs are made by."""
    today = definition_of(stream)
    if noted(root) != today:
        root.mkdir(parents=True, exist_ok=True)
        write_atomically(root / _NAME, msgspec.json.format(msgspec.json.encode(today)))


def changed_since(root: Path, stream: Stream) -> Change:
    """How today's definition differs from that of a home; not at all where it has no note.

    Args:
        root: The home's.
        stream: Today's.
    """
    before = noted(root)
    return Change([], []) if before is None else change_between(before, definition_of(stream))


def refusal(root: Path, stream: Stream, change: Change, why: str = "") -> ConfigurationError:
    """The error for a home whose outputs were made by another definition.

    Args:
        root: The home's.
        stream: Today's.
        change: How it differs.
        why: That its outputs would differ, if that is known.
    """
    msg = (
        f"definition of stream {stream.name!r} must be the one that the home was begun with; got "
        f"{change} in {root}{why}: put it back, or begin a new home (set HEADWATER_HOME and "
        "`headwater ingest` the events there)"
    )
    return ConfigurationError(msg)


def check_definition(root: Path, stream: Stream) -> None:
    """Refuse a stream by which a home's outputs were not made.

    Raises:
        ConfigurationError: The message names what changed.
    """
    change = changed_since(root, stream)
    if change.declared or change.functions:
        raise refusal(root, stream, change)
