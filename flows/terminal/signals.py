"""A clean stop: the first SIGINT or SIGTERM asks for it, the second ends the process at once."""

import signal
import threading

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stop_on_signals() -> threading.Event:
    """Return an event that the first signal sets.

    Call it in the main thread. Python's KeyboardInterrupt would pass through bytewax as a Rust
    panic with a page of output, so it is turned off.
    """
    stop = threading.Event()

    def ask(*_: object) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in _SIGNALS:
        signal.signal(number, ask)
    return stop
