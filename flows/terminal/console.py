"""Terminal output in which text from settings, events or names cannot act as control codes.

Every line passes `state.plain_text.plain`: rich's output in a `TerminalConsole`, all other output
in `sys.stdout` and `sys.stderr`. So no caller has to take care of it.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import IO, Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import Progress
from rich.segment import Segment
from rich.text import Text

from flows.terminal.json_lines import JsonLines, are_wanted
from state.plain_text import plain


class TerminalConsole(Console):
    """A console without markup, emoji codes or control characters.

    Args:
        options: Options of rich's `Console`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False} | options)

    @property
    def file(self) -> IO[str]:
        """The stream to which plain text and rich's own control codes are written."""
        found: IO[str] = _beneath(super().file)
        return found

    @file.setter
    def file(self, new: IO[str]) -> None:
        self._file = new

    def render_str(self, text: str, **options: Any) -> Text:
        """Make the text plain before rich lays it out, so that none of it is cut off."""
        return super().render_str(plain(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Make rich's segments plain, but keep rich's own control codes."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=plain(segment.text))


class Bar(Progress):
    """A progress bar that keeps other printed lines plain too."""

    def start(self) -> None:
        """Show the bar."""
        super().start()
        if not self.disable:
            # Until `stop`, rich's own streams here would turn escape sequences into styles.
            make_plain()


def _beneath(to: Any) -> Any:
    """Return the stream beneath those that make text plain and those of rich's bars."""
    while (within := getattr(to, "rich_proxied_file", to)) is not to:
        to = within
    return to


class _Unfailing:
    """A text stream that drops text which cannot be written.

    So a flow goes on after its terminal or pipe was closed, or the disk for its messages is full.
    """

    def __init__(self, to: TextIO) -> None:
        self._to = to

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._to.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._to.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._to, name)


class _PlainStream:
    """A text stream that makes all written text plain."""

    def __init__(self, to: TextIO) -> None:
        self._to = to

    @property
    def rich_proxied_file(self) -> TextIO:
        """The stream to which rich writes its own control codes."""
        found: TextIO = _beneath(self._to)
        return found

    def write(self, text: str) -> int:
        self._to.write(plain(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._to, name)


def say_at_once(line: str) -> None:
    """Write a line to standard error, whatever gathers its output."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def make_plain() -> None:
    """Make `sys.stdout` and `sys.stderr` accept plain text only, for the rest of the process.

    Stderr never fails from then on; see `flows.terminal.json_lines` for records in place of lines.

    Raises:
        LogFormatError: The environment asks for another form of lines.
    """
    as_json = are_wanted()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _PlainStream | JsonLines):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(
                    errors="backslashreplace"
                )  # for a terminal with a small character set
            if name == "stderr":
                stream = _Unfailing(stream)
            stream = _PlainStream(stream)
            if name == "stderr" and as_json:
                stream = JsonLines(stream)
            setattr(sys, name, stream)


@contextmanager
def plain_streams() -> Iterator[None]:
    """`make_plain` in a `with` block; an error that ends the process is printed plain too."""
    before = sys.stdout, sys.stderr
    make_plain()
    ended = False
    try:
        yield
        ended = True
    except SystemExit:
        ended = True
        raise
    finally:
        if isinstance(sys.stderr, JsonLines):
            sys.stderr.close()
        if ended:
            sys.stdout = before[0]
            if before[1] is None or _takes_all(before[1]):
                sys.stderr = before[1]


def _takes_all(stream: TextIO) -> bool:
    """Whether nothing is left that cannot be written; else Python ends with exit code 120."""
    try:
        stream.flush()
    except OSError:
        return False
    return True
