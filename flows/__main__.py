"""The `headwater` command: errors of the user end with exit code 2 and one line."""

import signal
import sys
import threading
from argparse import Action, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from textwrap import fill
from typing import Any, NoReturn

from flows.terminal.loading import loading

with loading():
    from bytewax.errors import BytewaxRuntimeError

    from flows.commands.branches import BRANCHES
    from flows.commands.card import CARD
    from flows.commands.clocks import CLOCKS
    from flows.commands.columns import COLUMNS
    from flows.commands.dashboards import DASHBOARDS
    from flows.commands.dead_letters import DEAD_LETTERS
    from flows.commands.doctor import DOCTOR
    from flows.commands.export import EXPORT
    from flows.commands.ingest import INGEST
    from flows.commands.models import MODELS
    from flows.commands.replay import REPLAY
    from flows.commands.report import REPORT
    from flows.commands.rollback import ROLLBACK
    from flows.commands.run import RUN
    from flows.commands.scorecard import SCORECARD
    from flows.commands.serve import SERVE
    from flows.commands.status import STATUS
    from flows.commands.stream import STREAM
    from flows.commands.top import TOP
    from flows.commands.topics import TOPICS
    from flows.commands.trim import TRIM
    from flows.commands.watch import WATCH
    from flows.errors.user_errors import USER_ERRORS, root_of
    from flows.terminal.console import plain_streams
    from flows.terminal.json_lines import LogFormatError
    from flows.terminal.signals import ending_signals

_VERBS = (
    RUN,
    STREAM,
    INGEST,
    EXPORT,
    REPLAY,
    BRANCHES,
    MODELS,
    SCORECARD,
    CARD,
    REPORT,
    COLUMNS,
    ROLLBACK,
    SERVE,
    STATUS,
    WATCH,
    TOP,
    DASHBOARDS,
    TRIM,
    TOPICS,
    DEAD_LETTERS,
    CLOCKS,
    DOCTOR,
)
_EPILOG = """\
settings: headwater.toml in this directory, or the file that HEADWATER_CONFIG names
home:     ./var, or the directory that HEADWATER_HOME names

examples:
  headwater run                       the demo, if the home is empty
  headwater export outcomes --out outcomes.parquet
  headwater VERB --help               details of a verb"""


class _Parser(ArgumentParser):
    _is_intermixed = False

    def _get_values(self, action: Action, arg_strings: list[str]) -> Any:
        """Refuse `--option=--`, of which argparse makes an empty list, whatever the type."""
        if action.option_strings and action.nargs is None and arg_strings == ["--"]:
            self.error(f"argument {action.option_strings[-1]}: must have a value; got '--'")
        return super()._get_values(action, arg_strings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Let options stand before, between and after a verb's other words."""
        if self._subparsers is not None or self._is_intermixed:
            return super().parse_known_args(args, namespace)
        self._is_intermixed = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_intermixed = False

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"headwater: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: Words after the command's name; None: this process's.

    Returns:
        Exit code: 0; 1 if a check found a problem; 2 on an error of the user; 129 after SIGHUP;
            130 after Ctrl-C; 143 after SIGTERM.
    """
    try:
        with plain_streams():
            return _main(argv)
    except LogFormatError as error:
        return _end(2, str(error))


def _main(argv: Sequence[str] | None) -> int:
    stopped = "nothing was changed"
    try:
        arguments = _parser().parse_args(argv)
        stopped = arguments.stopped
        with _terminated_like_stopped():
            code: int = arguments.call(arguments)
    except KeyboardInterrupt as interrupt:
        number = interrupt.args[0] if isinstance(interrupt, _Terminated) else signal.SIGINT
        return _end(128 + number, f"stopped: {stopped}")
    except (BytewaxRuntimeError, *USER_ERRORS) as error:
        root = root_of(error)
        if not isinstance(root, USER_ERRORS):
            raise
        return _end(2, str(root))
    return code


class _Terminated(KeyboardInterrupt):
    """A signal was received; the argument is its number."""


@contextmanager
def _terminated_like_stopped() -> Iterator[None]:
    """Handle SIGTERM and SIGHUP like Ctrl-C, so that no incomplete file is left.

    Verbs that run a flow replace these handlers, for a clean stop.
    """
    signals = set(ending_signals()) - {signal.SIGINT}

    def terminate(number: int, _: object) -> None:
        for one in signals:
            signal.signal(one, signal.SIG_IGN)  # a second one would interrupt the cleanup
        raise _Terminated(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, terminate) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(code: int, line: str) -> int:
    sys.stderr.write(f"headwater: {line}\n")
    return code


def _parser() -> ArgumentParser:
    parser = _Parser(
        prog="headwater",
        description="Keeps a prediction model fresh on a live event stream.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in _VERBS:
        own = verbs.add_parser(
            verb.name,
            help=verb.help,
            description=fill(verb.description, 80),
            epilog=f"examples:\n{verb.examples}",
            formatter_class=RawDescriptionHelpFormatter,
        )
        verb.arguments(own)
        own.set_defaults(call=verb.call, stopped=verb.stopped)
    return parser


if __name__ == "__main__":
    sys.exit(main())
