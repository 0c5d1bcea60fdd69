"""Wait for what another thread or process does, without spinning and never for ever."""

import time
from collections.abc import Callable

LOOK_EVERY_S = 0.005
WITHIN_S = 60.0


def until(
    condition: Callable[[], object],
    within_s: float = WITHIN_S,
    *,
    told: Callable[[], str] = lambda: "the condition must come true in time",
) -> None:
    """Return once a condition holds.

    Args:
        condition: Looked at every few milliseconds.
        within_s: Longest wait, seconds.
        told: The text of the failure; it is asked for only then.
    """
    limit = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < limit, told()
        time.sleep(LOOK_EVERY_S)
