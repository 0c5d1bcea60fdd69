"""What a command tells in one line instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

from bytewax.errors import BytewaxRuntimeError

from flows.home.configuration import ConfigurationError
from models.h2o.server import H2OError
from models.linear.river_model import RiverError
from models.scoring.blend import NotFiniteError
from operators.training.model_loader import ModelError
from state.storage.artifact_store import ArtifactError
from state.stream import StreamError
from state.stream_functions import StreamFunctionError


class CommandError(Exception):
    """What was asked for cannot be done."""


USER_ERRORS = (
    CommandError,
    ConfigurationError,
    StreamError,
    StreamFunctionError,
    ArtifactError,
    H2OError,
    ModelError,
    NotFiniteError,
    RiverError,
    OSError,
)
"""Errors whose message is meant for the person at the terminal; the log's are OSErrors."""


@contextmanager
def as_command_errors() -> Iterator[None]:
    """Make a ValueError that the called function documents a CommandError.

    Raises:
        CommandError: There was one.
    """
    try:
        yield
    except ValueError as error:
        raise CommandError(str(error)) from error


def root_of(error: BaseException) -> BaseException:
    """What went wrong in a step of a dataflow, taken out of what bytewax wrapped it in.

    Example:
        >>> root_of(OSError("disk full"))
        OSError('disk full')
    """
    while isinstance(error, BytewaxRuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error
