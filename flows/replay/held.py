"""The lock on the folder of an audit or a branch: one replay at a time works in it."""

from contextlib import AbstractContextManager
from pathlib import Path

from state.process_lock import is_locked, locked


def held(root: Path, what: str) -> AbstractContextManager[None]:
    """Lock a folder in a `with` block; create it if it is missing.

    Args:
        root: Folder to lock.
        what: Name of its content, for the message.

    Raises:
        LockedError: Another replay works in the folder.
    """
    root.mkdir(parents=True, exist_ok=True)
    return locked(
        root / "lock", f"{what} must be free; got {root.name!r} in use by another replay in {root}"
    )


def is_held(root: Path) -> bool:
    """Whether a replay works in the folder; several processes may ask at once."""
    return is_locked(root / "lock")
