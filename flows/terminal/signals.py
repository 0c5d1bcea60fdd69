"""A clean stop: the first SIGINT or SIGTERM asks for it, the second ends the process at once."""

import signal
import threading

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stop_on_signals() -> threading.Event:
    """An event that the first signal sets.

    Called in the main thread. Python's own KeyboardInterrupt would pass through bytewax as a panic
    with a page of Rust, so there is none from here on.
    """
    stop = threading.Event()

    def ask(*_: object) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in _SIGNALS:
        signal.signal(number, ask)
    return stop
