"""Report a problem as a line, once."""

import threading
from collections import deque
from collections.abc import Callable

_MOST_WAIT_S = 1.0
_REMEMBERED = 8


class OnceNotifier:
    """Reports a line unless it was reported before and not forgotten.

    Args:
        listener: Called with each line.
        aside: Call it in a thread of its own, so that a listener that raises or blocks stops
            nothing else; `threading.excepthook` gets its errors.
    """

    def __init__(self, listener: Callable[[str], object], *, aside: bool) -> None:
        self._listener, self._aside = listener, aside
        self._told: deque[str] = deque(maxlen=_REMEMBERED)

    def __call__(self, line: str) -> None:
        """Report a line."""
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
        """Forget all lines, so that they are reported again."""
        self._told.clear()
