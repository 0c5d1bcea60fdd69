"""A pace of checkpoints that a test sets."""

from collections.abc import Callable


class FixedPace:
    """Tells that a checkpoint is due when a function says so.

    Args:
        is_due: The function.
    """

    def __init__(self, is_due: Callable[[], bool]) -> None:
        self.is_due = self.is_due_at_rest = is_due

    def done(self) -> None:
        """Take no notice."""
