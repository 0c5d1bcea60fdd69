"""`headwater branches`: the what-ifs of a home."""

from argparse import ArgumentParser, Namespace
from typing import Any

import msgspec

from flows.commands.verb import Verb
from flows.home.home import environment_home
from flows.replay.branch import Branch, branches_of, home_of, remove, size_bytes
from flows.replay.held import is_held
from flows.terminal.console import TerminalConsole
from flows.terminal.time_format import format_time


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--remove", metavar="NAME", nargs="+", help="remove these")


def _run(arguments: Namespace) -> int:
    home, console = environment_home(), TerminalConsole(soft_wrap=True, highlight=False)
    for name in arguments.remove or ():
        remove(home, name)
        console.print(f"{name}: removed")
    if arguments.remove:
        return 0
    found = branches_of(home)
    if not found:
        console.print("No branches: `headwater replay --set key=value` makes one.")
    for branch in found:
        state = "running" if is_held(home_of(home, branch.name).root) else _state(branch)
        size = size_bytes(home, branch.name) / 1e6
        until = format_time(branch.until) or "the end"
        console.print(
            f"{branch.name}  {format_time(branch.since) or 'the start'} to {until}  {state}  "
            f"{size:,.1f} MB\n            {changes_of(branch.changes)}",
            markup=False,
        )
    return 0


def changes_of(changes: dict[str, Any]) -> str:
    """Format a branch's changed settings as on the command line.

    Example:
        >>> changes_of({"decision.threshold": 0.3, "training.pinned": "gbm-1"})
        'decision.threshold=0.3 training.pinned="gbm-1"'
    """
    shown = (f"{key}={msgspec.json.encode(value).decode()}" for key, value in changes.items())
    return " ".join(shown) or "no changed setting"


def _state(branch: Branch) -> str:
    return "done" if branch.done else "interrupted"


BRANCHES = Verb(
    name="branches",
    help="list and remove what-ifs",
    description=(
        "One entry for each what-if of `headwater replay`: name, range, state, bytes that only it "
        "needs, and its changed settings. Removing one never touches the original."
    ),
    examples="""\
  headwater branches
  headwater branches --remove 0f3c5a9be1""",
    arguments=_arguments,
    call=_run,
    stopped="the same command completes a removal",
)
