"""Terminal output in which text from settings, events or names cannot act as control codes.

Every line passes `state.plain_text.plain`: rich's output in a `TerminalConsole`, all other output
in `sys.stdout` and `sys.stderr`. So no caller has to take care of it.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import Progress
from rich.segment import Segment
from rich.text import Text

from state.plain_text import plain


class TerminalConsole(Console):
    """A console without markup, emoji codes or control characters.

    Args:
        options: Options of rich's `Console`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False} | options)

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


class _PlainStream:
    """A text stream that makes all written text plain."""

    def __init__(self, to: TextIO) -> None:
        self._to = to

    @property
    def rich_proxied_file(self) -> TextIO:
        """The stream to which rich writes its own control codes."""
        return cast("TextIO", getattr(self._to, "rich_proxied_file", self._to))

    def write(self, text: str) -> int:
        self._to.write(plain(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._to, name)


def make_plain() -> None:
    """Make `sys.stdout` and `sys.stderr` accept plain text only, for the rest of the process."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _PlainStream):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(
                    errors="backslashreplace"
                )  # for a terminal with a small character set
            setattr(sys, name, _PlainStream(stream))


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
        if ended:
            sys.stdout, sys.stderr = before
