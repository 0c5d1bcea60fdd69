"""Errors that a command prints as one line instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

from bytewax.errors import BytewaxRuntimeError

from flows.home.configuration import ConfigurationError
from models.h2o.errors import H2OError
from models.linear.river_model import RiverError
from models.refit.proposals import MissingOptunaError
from models.scoring.blend import NotFiniteError
from operators.training.model_loader import ModelError
from state.storage.artifact_store import ArtifactError
from state.stream import StreamError
from state.stream_functions import StreamFunctionError


class CommandError(Exception):
    """The command cannot be carried out."""


USER_ERRORS = (
    CommandError,
    ConfigurationError,
    StreamError,
    StreamFunctionError,
    ArtifactError,
    H2OError,
    MissingOptunaError,
    ModelError,
    NotFiniteError,
    RiverError,
    OSError,
)
"""Errors whose message is meant for the user; the log's errors are OSErrors."""


@contextmanager
def as_command_errors() -> Iterator[None]:
    """Turn a documented ValueError of the called function into a CommandError.

    Raises:
        CommandError: A ValueError was raised.
    """
    try:
        yield
    except ValueError as error:
        raise CommandError(str(error)) from error


def root_of(error: BaseException) -> BaseException:
    """The original error of a dataflow step, unwrapped from bytewax's errors.

    Example:
        >>> root_of(OSError("disk full"))
        OSError('disk full')
    """
    while isinstance(error, BytewaxRuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error
