"""What reaches a person's terminal: nothing from settings, events or names can command it.

Every line passes `state.plain_text.plain`: what rich draws on its way through a `TerminalConsole`,
all else on its way through `sys.stdout` and `sys.stderr`. So no caller has to think of it.
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
    """A console that takes text as it is: no markup, no emoji codes, no control characters.

    Args:
        options: Of rich's own.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False} | options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Text made plain before it is laid out, so that nothing of it is cut off."""
        return super().render_str(plain(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """What rich makes of it, its own control codes as they are, text made plain."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=plain(segment.text))


class Bar(Progress):
    """A progress bar, beside which other lines are plain too."""

    def start(self) -> None:
        """Show it."""
        super().start()
        if not self.disable:
            # Until `stop`, rich has streams of its own here that make styles of escape sequences.
            make_plain()


class _PlainStream:
    """A text stream that makes plain what is written to it."""

    def __init__(self, to: TextIO) -> None:
        self._to = to

    @property
    def rich_proxied_file(self) -> TextIO:
        """Where rich writes its own control codes."""
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
    """From here on let `sys.stdout` and `sys.stderr` take plain text only."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _PlainStream):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(
                    errors="backslashreplace"
                )  # of a terminal that knows few letters
            setattr(sys, name, _PlainStream(stream))


@contextmanager
def plain_streams() -> Iterator[None]:
    """`make_plain` for a while; an error that ends the process is told in plain text too."""
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
