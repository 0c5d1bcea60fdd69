"""The definition of a verb of the `headwater` command, and the types of its arguments."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from reprlib import repr as shortened
from typing import NamedTuple

from flows.errors.user_errors import CommandError
from flows.home.configuration import load_settings
from flows.home.home import Home
from flows.home.open_log import check_cluster, find_log
from flows.runtime.app import parse_day
from state.log import Trimmable
from state.plain_text import is_plain_line
from state.regular_file import check_regular


class Verb(NamedTuple):
    """A verb of the command.

    Attributes:
        name: Name on the command line.
        help: Help in one line.
        description: Effect of the verb, and what it leaves behind.
        examples: Command lines with their purpose.
        arguments: Adds its arguments to a parser.
        call: Runs the verb, and returns the exit code.
        stopped: Text on the state after Ctrl-C.
    """

    name: str
    help: str
    description: str
    examples: str
    arguments: Callable[[ArgumentParser], None]
    call: Callable[[Namespace], int]
    stopped: str


def moment(text: str) -> datetime:
    """Parse a date or time.

    Raises:
        ArgumentTypeError: The text is neither.

    Example:
        >>> moment("2014-01-01").isoformat()
        '2014-01-01T00:00:00+00:00'
    """
    try:
        return parse_day(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def microseconds(moment: datetime | None) -> int | None:
    """A time as microseconds UTC; None for none.

    Example:
        >>> microseconds(moment("2014-01-01"))
        1388534400000000
    """
    return None if moment is None else round(moment.timestamp() * 1e6)


def count(text: str) -> int:
    """Parse a number of lines.

    Raises:
        ArgumentTypeError: The text is not a whole number from 1 to a million.

    Example:
        >>> count("20")
        20
    """
    return _whole(text, 1_000_000)


def output_file(text: str) -> Path:
    """The path of a file to write, which may exist.

    The file takes the place of what has its name, so that must not be a device, or a link such as
    `/dev/stdout`.

    Raises:
        ArgumentTypeError: No file can be written there, or something else is there.

    Example:
        >>> output_file("a/report.html").name
        'report.html'
    """
    path = Path(text)
    try:
        if not (path.name and is_plain_line(text)) or text.endswith("/"):
            msg = f"must be the name of a file; got {shortened(text)}"
            raise ArgumentTypeError(msg)
        if path.is_symlink():
            msg = f"must be no link; got one in {path}: name the file that it leads to"
            raise ArgumentTypeError(msg)
        check_regular(path)
    except OSError as error:
        msg = f"must be a file that can be written; got '{error}'"
        raise ArgumentTypeError(msg) from None
    return path


def add_times(parser: ArgumentParser, since: str, until: str, metavar: str = "DATE") -> None:
    """Let a verb take a span of time, as `since` and `until`.

    Args:
        parser: The verb's.
        since: Help text of `--from`.
        until: Help text of `--to`.
        metavar: Name of a time in the help.
    """
    for flag, name, text in (("--from", "since", since), ("--to", "until", until)):
        parser.add_argument(flag, dest=name, type=moment, metavar=metavar, help=text)


def workers(text: str) -> int:
    """Parse a number of workers.

    Raises:
        ArgumentTypeError: The text is not a whole number from 1 to 256.

    Example:
        >>> workers("2")
        2
    """
    return _whole(text, 256)


def _whole(text: str, most: int) -> int:
    digits = text.lstrip("0")
    if not (text.isascii() and text.isdecimal() and digits):
        msg = f"must be a whole number from 1; got {shortened(text)}"
        raise ArgumentTypeError(msg)
    if len(digits) > len(str(most)) or int(digits) > most:
        msg = f"must be at most {most:,}; got {shortened(text)}"
        raise ArgumentTypeError(msg)
    return int(digits)


def log_of(home: Home) -> Trimmable:
    """Open the log that the settings name, if it exists.

    Raises:
        CommandError: The home has no log.
    """
    settings = load_settings()
    log = find_log(settings, home)
    if settings.log == "sqlite" and not (home.root / "log").is_dir():
        msg = (
            f"home must hold a log; got none in {home.root}: "
            "make one with `headwater run` or `headwater ingest FILE`"
        )
        raise CommandError(msg)
    check_cluster(settings, home)
    return log
