"""End a flow with a one-line error and exit code 2, also under bytewax's own runner.

bytewax turns an error in a step into a Rust panic, which Rust prints before Python can. With
several connected processes, the final error is about the lost connection, and the cause is lost.
"""

import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.testing import TestingSink, TestingSource, cluster_main

from flows.errors.user_errors import USER_ERRORS, CommandError, as_command_errors, root_of
from flows.terminal.console import make_plain
from flows.terminal.signals import stop_on_signals

# Untyped in bytewax's own stubs.
_run_workers: Callable[..., None] = cluster_main
_bytewax_error: Any = BytewaxRuntimeError

_NETWORK = re.compile(r"failed to initialize networking: (.*)")
_raised: list[BytewaxRuntimeError] = []


@contextmanager
def one_line_errors() -> Iterator[threading.Event]:
    """End the process with one line and exit code 2 if the flow cannot start or fails later.

    Yields:
        An event that is set when the flow must stop: on a signal, or after a part of it failed.

    Raises:
        CommandError: A ValueError was raised.
    """
    stop = stop_on_signals()
    _watch(stop)
    with as_command_errors():
        make_plain()
        yield stop


@contextmanager
def quiet_bytewax(stop: threading.Event) -> Iterator[None]:
    """Run a flow whose errors the caller reports; Rust prints nothing.

    Args:
        stop: Set when a part of the flow has failed.

    Raises:
        CommandError: The processes' addresses cannot be used.
    """
    before = sys.excepthook
    _watch(stop)
    try:
        yield
    except RuntimeError as error:
        line = _unconnected(error)
        if line is None:
            raise
        raise CommandError(line) from error
    finally:
        sys.excepthook = before
        del _bytewax_error.__init__


def has_failed() -> bool:
    """Whether a part of the running flow has raised an error; it is reported at the end."""
    return bool(_raised)


def _unconnected(error: BaseException) -> str | None:
    """A line on addresses that bytewax cannot use; None: it is another error."""
    found = _NETWORK.search(str(error))
    if found is None:
        return None
    rule = "addresses must be reachable, and this process's own of this machine and free"
    return f"{rule}; got '{found[1]}'"


def _watch(stop: threading.Event) -> None:
    """Take over bytewax's error handling.

    bytewax passes panics to `sys.excepthook`, for the rest of the process, after its first run
    with several workers; an empty flow run here triggers that.
    """
    nothing = Dataflow("nothing")
    op.output("end", op.input("none", nothing, TestingSource([])), TestingSink([]))
    _run_workers(nothing, [], 0)

    def keep(error: BytewaxRuntimeError, *words: Any) -> None:
        RuntimeError.__init__(error, *words)
        _raised.append(error)
        # Code that runs while bytewax tears the flow down must see that it failed.
        stop.set()

    _raised.clear()
    _bytewax_error.__init__ = keep
    sys.excepthook = _end


def _end(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Replacement of `sys.excepthook`."""
    if traceback is None:
        return  # still in Rust: it will be raised in Python next
    is_panic = kind.__name__ == "PanicException"
    if is_panic and _raised:
        error = _raised[0]
    root = root_of(error)
    if isinstance(root, USER_ERRORS):
        line = str(root)
    elif error not in _raised and is_panic and "thread panic" in str(error):
        line = "all processes of a flow must run; one has ended: its own output says why"
    elif (found := _unconnected(error)) is not None:
        line = found
    else:
        sys.__excepthook__(type(error), error, error.__traceback__)
        return
    sys.stderr.write(f"headwater: {line}\n")
    if is_panic:
        # Workers may still run Python code, and an orderly exit would abort them.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(2)
    raise SystemExit(2)
