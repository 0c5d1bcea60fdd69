"""Whether the repair of a home was interrupted: the note that a repair leaves until it is done."""

from pathlib import Path


def repair_folder(root: Path) -> Path:
    """Folder in which a repair makes the new home."""
    return root / ".repair"


def ready_note(root: Path) -> Path:
    """The note of what goes where; it exists from the decision for the new home to the end."""
    return repair_folder(root) / "ready"


def is_repair_unfinished(root: Path) -> bool:
    """Whether a repair has decided for its new home and must be resumed.

    Args:
        root: Folder of the home.
    """
    return ready_note(root).exists()
