"""The settings file and the streams that can be named in it."""

import importlib
import os
import sys
import tomllib
from pathlib import Path

from state.settings import Settings, settings_from
from state.stream import Stream

BUILT_IN = {
    "flights": "flows.streams.flights:stream",
    "quotes": "flows.streams.quotes:stream",
}


class ConfigurationError(ValueError):
    """The settings cannot be used; the message is one line and says where."""


def load_settings(named: Path | str | None = None) -> Settings:
    """The settings in a file; none named: in `HEADWATER_CONFIG`, `headwater.toml`, the defaults.

    Args:
        named: The file; it must be there.

    Raises:
        ConfigurationError: The file is missing, no TOML, or holds what no setting takes.
    """
    where = "settings" if named else "HEADWATER_CONFIG"
    named = named or os.environ.get("HEADWATER_CONFIG")
    path = Path(named or "headwater.toml")
    if not path.exists():
        if named:
            msg = f"{where} must name a file; got {named}"
            raise ConfigurationError(msg)
        return Settings()
    try:
        return settings_from(tomllib.loads(path.read_text("utf-8")))
    except ValueError as error:
        msg = f"{error} in {path}"
        raise ConfigurationError(msg) from error


def find_stream(name: str) -> Stream:
    """A built-in stream, or the user's own as `module:attribute` from the working directory.

    Raises:
        ConfigurationError: There is no such stream.
    """
    module, colon, attribute = BUILT_IN.get(name, name).partition(":")
    if not colon:
        msg = f"stream must be one of {sorted(BUILT_IN)} or 'module:attribute'; got {name!r}"
        raise ConfigurationError(msg)
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        stream = getattr(importlib.import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        msg = f"stream must be importable; got {name!r}: {error}"
        raise ConfigurationError(msg) from error
    if not isinstance(stream, Stream):
        msg = f"stream must be a Stream; got {type(stream).__name__} at {name!r}"
        raise ConfigurationError(msg)
    return stream
