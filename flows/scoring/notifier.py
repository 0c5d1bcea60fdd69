"""What goes wrong is told in a line, once."""

import threading
from collections import deque
from collections.abc import Callable

_MOST_WAIT_S = 1.0
_REMEMBERED = 8


class OnceNotifier:
    """Tells a line unless it was told before and is not forgotten.

    Args:
        listener: Is told.
        aside: In a thread of its own, so that one who raises or stays away keeps nobody: what it
            raises goes to `threading.excepthook`.
    """

    def __init__(self, listener: Callable[[str], object], *, aside: bool) -> None:
        self._listener, self._aside = listener, aside
        self._told: deque[str] = deque(maxlen=_REMEMBERED)

    def __call__(self, line: str) -> None:
        """Tell it."""
        if line in self._told:
            return
        self._told.append(line)
        if not self._aside:
            self._listener(line)
            return
        telling = threading.Thread(target=self._listener, args=(line,), name="tell", daemon=True)
        telling.start()
        telling.join(_MOST_WAIT_S)

    def forget(self) -> None:
        """What was told may be told again."""
        self._told.clear()
