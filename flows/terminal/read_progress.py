"""A progress bar for reading topics."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from flows.terminal.console import Bar, TerminalConsole


@contextmanager
def read_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on standard error while a topic is read; it needs a terminal.

    Yields:
        A function to call with the topic, the number of records read, and of all.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = TerminalConsole(stderr=True)
    hidden = not console.is_interactive
    with Bar(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("", total=None)

        def show(topic: str, done: int, total: int) -> None:
            progress.update(task, description=topic, completed=done, total=total)

        yield show
