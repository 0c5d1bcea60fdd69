"""`headwater top`: a live view of a flow in the terminal."""

import time
from argparse import ArgumentParser, Namespace
from contextlib import closing

from rich.live import Live

from flows.commands.verb import Verb
from flows.commands.watch import pause
from flows.home.configuration import load_settings
from flows.home.home import environment_home
from flows.terminal.console import TerminalConsole
from flows.watch.top import rendered
from flows.watch.view import view_of
from flows.watch.watcher import Watcher


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="print one view and end")
    parser.add_argument(
        "--every", type=pause, default="2s", metavar="TIME", help="time between looks (default: 2s)"
    )


def _run(arguments: Namespace) -> int:
    console = TerminalConsole()
    with closing(Watcher(load_settings(), environment_home())) as watcher:
        first = watcher.look()
        if arguments.once:
            view = view_of(first)
            console.print(rendered(view))
            return 1 if any(one.severity == "page" for one in view.problems) else 0
        if not console.is_terminal:
            _print_on(console, watcher, arguments.every)
        with Live(rendered(view_of(first)), console=console, screen=True) as live:
            while True:
                time.sleep(arguments.every)
                live.update(rendered(view_of(watcher.look())))


def _print_on(console: TerminalConsole, watcher: Watcher, every_s: float) -> None:
    """One view below the other, for a file or a pipe, until it is stopped."""
    while True:
        console.print(rendered(view_of(watcher.look())), "")
        time.sleep(every_s)


TOP = Verb(
    name="top",
    help="show a flow live in the terminal",
    description=(
        "Problems first, then partitions with their lag, the models' log-loss tick by tick, "
        "shares in the answers, dead letters, fits, clocks, processes and the newest alerts. It "
        "only reads. Ctrl-C ends it. With --once the exit code is 1 if there is a problem that "
        "should wake somebody. Without a terminal it prints one view below the other."
    ),
    examples="""\
  headwater top
  headwater top --once                for scripts""",
    arguments=_arguments,
    call=_run,
    stopped="nothing was changed",
)
