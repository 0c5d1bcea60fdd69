"""Lines for people as JSON records for machines, where `HEADWATER_LOG_FORMAT` is `json`.

Each line for standard error becomes one record. What `tell` says has the name of its event and its
figures; an error is the event `error`, every other line the event `line`.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from pythonjsonlogger.msgspec import MsgspecFormatter

FORMAT_VARIABLE = "HEADWATER_LOG_FORMAT"
_FORMATS = ("text", "json")
_ERROR = "headwater: "
"""Begins the line of an error."""
_logger = logging.getLogger("headwater")


class LogFormatError(ValueError):
    """The environment asks for an unknown format."""


def are_wanted() -> bool:
    """Whether the environment asks for records in place of lines.

    Raises:
        LogFormatError: It asks for another format.
    """
    found = os.environ.get(FORMAT_VARIABLE) or _FORMATS[0]
    if found not in _FORMATS:
        msg = f"{FORMAT_VARIABLE} must be one of {', '.join(_FORMATS)}; got {found[:100]!r}"
        raise LogFormatError(msg)
    return found == "json"


class JsonLines:
    """A text stream that makes a record of each line, and takes all other logs of the process.

    Args:
        to: Text stream to which the records are written, one a line.
    """

    def __init__(self, to: Any) -> None:
        self._to, self._rest = to, ""
        self._lock = threading.Lock()
        self._handler = logging.StreamHandler(to)
        self._handler.setFormatter(
            MsgspecFormatter(
                ["levelname", "message"],
                rename_fields={"levelname": "level"},
                timestamp="time",
                defaults={"event": "line"},
            )
        )
        logging.getLogger().addHandler(self._handler)
        _logger.setLevel(logging.INFO)

    def close(self) -> None:
        """Give back the logs of the process."""
        logging.getLogger().removeHandler(self._handler)
        _logger.setLevel(logging.NOTSET)

    def write(self, text: str) -> int:
        """Make a record of each line that ends in the text; the rest waits for its end."""
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
        for line in filter(str.strip, lines):
            if line.startswith(_ERROR):
                _logger.error(line.removeprefix(_ERROR), extra={"event": "error"})
            else:
                _logger.info(line)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """`write` each."""
        for line in lines:
            self.write(line)

    def pass_on(self, line: str, number: int) -> None:
        """Write a line of a child process, with its number; the line may be a record already."""
        if line.startswith('{"event":'):
            self._to.write(f'{{"process_number":{number},{line[1:]}')
        else:
            _logger.info(line.rstrip("\n"), extra={"process_number": number})

    def isatty(self) -> bool:
        """No program draws bars here."""
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._to, name)


def are_records() -> bool:
    """Whether this process writes records, and needs no tables."""
    return isinstance(sys.stderr, JsonLines)


def tell(event: str, line: str, say: Callable[[str], object], **fields: object) -> None:
    """Say a line, or record the event with its figures.

    Args:
        event: Name of the event, which stays the same from release to release.
        line: Line for people.
        say: Says it.
        fields: Figures of the record.
    """
    if are_records():
        _logger.info(line, extra={"event": event, **fields})
    else:
        say(line)
