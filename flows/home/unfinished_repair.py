"""Detect an interrupted repair of a home by the note that a repair keeps until it is done."""

from pathlib import Path


def repair_folder(root: Path) -> Path:
    """Folder in which a repair builds the new home."""
    return root / ".repair"


def ready_note(root: Path) -> Path:
    """File that lists the moves of a repair; it exists from the commit of the new home on."""
    return repair_folder(root) / "ready"


def is_repair_unfinished(root: Path) -> bool:
    """Whether a repair has committed its new home and must be resumed.

    Args:
        root: The home's directory.
    """
    return ready_note(root).exists()
