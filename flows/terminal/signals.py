"""A clean stop: the first SIGINT, SIGTERM or SIGHUP asks for it, the second ends the process."""

import signal
import threading


def ending_signals() -> tuple[signal.Signals, ...]:
    """The signals that ask for an end; SIGHUP, of a closed terminal, unless `nohup` ignores it."""
    asked = (signal.SIGINT, signal.SIGTERM)
    is_ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return asked if is_ignored else (*asked, signal.SIGHUP)


def stop_on_signals() -> threading.Event:
    """Return an event that the first signal sets.

    Call it in the main thread. Python's KeyboardInterrupt would pass through bytewax as a Rust
    panic with a page of output, so it is turned off.
    """
    stop, signals = threading.Event(), ending_signals()

    def ask(*_: object) -> None:
        for number in signals:
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in signals:
        signal.signal(number, ask)
    return stop
