"""The second or two in which modules are loaded: Ctrl-C ends it in one line, as it does later.

This module imports nothing that takes time.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Import what is imported within; Ctrl-C ends the process with exit code 130.

    An interrupt within an import could turn up as any other error, so there is none. Where someone
    else has a say in signals, nothing changes.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(*_: object) -> None:
    os.write(2, b"headwater: stopped: nothing was changed\n")
    os._exit(130)
