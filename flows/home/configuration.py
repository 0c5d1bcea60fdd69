"""Load the settings file, and find the stream that it names."""

import importlib
import os
import sys
import tomllib
from pathlib import Path
from traceback import extract_tb
from typing import Any

from flows.own_packages import PACKAGES
from models.h2o.search import check_algorithm
from models.linear.river_model import check_river
from state.regular_file import NotRegularError, read_regular
from state.settings import Settings, Training, settings_from
from state.stream import Stream, StreamError
from state.user_code import USER_CODE_ERRORS, words_of

BUILT_IN = {
    "flights": "flows.streams.flights:stream",
    "quotes": "flows.streams.quotes:stream",
}


_MOST_BYTES = 2**20


class ConfigurationError(ValueError):
    """The settings cannot be used; the message is one line that names the file or the setting."""


def load_settings(named: Path | str | None = None) -> Settings:
    """Load settings: file `named`, else `$HEADWATER_CONFIG`, else `headwater.toml`, else defaults.

    Args:
        named: Path of the settings file, which must exist.

    Raises:
        ConfigurationError: The file is missing, is not TOML, or has an invalid key or value.
    """
    where = "settings" if named else "HEADWATER_CONFIG"
    named = named or os.environ.get("HEADWATER_CONFIG")
    path = Path(named or "headwater.toml")
    if path.is_dir() or (named and not path.exists()):
        msg = f"{where if named else 'settings'} must name a file; got {path}"
        raise ConfigurationError(msg)
    if not path.exists():
        return Settings()
    try:
        document = read_toml(path)
        settings = settings_from(document)
        check_models(settings)
        _check_slice(document, settings.training)
    except NotRegularError as error:
        raise ConfigurationError(str(error)) from error
    except OSError as error:
        msg = f"settings must be readable; got '{error.strerror}' in {path}"
        raise ConfigurationError(msg) from error
    except ValueError as error:
        msg = f"{error} in {path}"
        raise ConfigurationError(msg) from error
    return settings


def _check_slice(document: dict[str, Any], training: Training) -> None:
    """Refuse a file that asks for a longer slice to judge by than there are rows to fit on.

    If only one of the two is set, the default of the other is an upper limit and never refused.

    Raises:
        ValueError: The message names both.
    """
    both = {"window", "validation"} <= document.get("training", {}).keys()
    if both and training.window <= training.validation:
        msg = (
            f"training.window must be longer than its newest slice, which judges the candidates, "
            f"training.validation = {training.validation}; got {training.window}"
        )
        raise ValueError(msg)


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is not TOML in UTF-8, or is larger than 1 MiB.
    """
    content = read_regular(path, _MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        msg = f"settings must be at most {_MOST_BYTES:,} bytes; got more"
        raise ValueError(msg)
    return parse_toml(content.decode())


def parse_toml(text: str) -> dict[str, Any]:
    """Parse a TOML text.

    Raises:
        ValueError: The text is not TOML.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        msg = "settings must not be nested so deeply"
        raise ValueError(msg) from None


def check_models(settings: Settings) -> None:
    """Refuse an unknown H2O algorithm, and a River classifier that cannot be built.

    Raises:
        ValueError: A model is invalid; the message names the setting.
    """
    check_algorithm(settings.training.algorithm)
    for classifier in settings.online.river:
        check_river(classifier)


def find_stream(name: str) -> Stream:
    """Return a built-in stream, or import the user's own as `module:attribute`.

    Raises:
        ConfigurationError: The name is invalid, or the module cannot be imported.
    """
    module, _, attribute = BUILT_IN.get(name, name).partition(":")
    if not all(map(str.isidentifier, (*module.split("."), attribute))):
        msg = f"stream must be one of {sorted(BUILT_IN)} or 'module:attribute'; got {name!r}"
        raise ConfigurationError(msg)
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        stream = getattr(importlib.import_module(module), attribute)
    except StreamError:
        raise
    except USER_CODE_ERRORS as error:
        msg = f"stream must be importable; got {name!r}: {_cause(error, module)}"
        raise ConfigurationError(msg) from error
    if not isinstance(stream, Stream):
        msg = f"stream must be a Stream; got {type(stream).__name__} at {name!r}{_hint(module)}"
        raise ConfigurationError(msg)
    return stream


def _hint(module: str) -> str:
    """Advice on a module of the user that has the name of a package; empty: it has not."""
    name = module.partition(".")[0]
    hint = f": Headwater has a package {name!r}, so a module of yours needs another name"
    return hint if name in {*PACKAGES, "flows"} else ""


def _cause(error: BaseException, module: str) -> str:
    """Describe an import error, with the line of the user's module that raised it."""
    if isinstance(error, ImportError | AttributeError | SyntaxError):
        return f"{error}{_hint(module)}"
    file = f"{module.rpartition('.')[2]}.py"
    steps = extract_tb(error.__traceback__)
    at = next((step for step in reversed(steps) if Path(step.filename).name == file), steps[-1])
    said = " ".join(words_of(error).split())
    return f"{type(error).__name__} '{said}' in {Path(at.filename).name} line {at.lineno}"
