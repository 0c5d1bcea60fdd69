"""Handle Ctrl-C during the second or two of imports: one line, as later.

This module imports only what loads fast.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Import modules within this block; Ctrl-C ends the process with exit code 130.

    A KeyboardInterrupt inside an import could surface as any other error, so none is raised. If
    another signal handler is installed, it stays.
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
