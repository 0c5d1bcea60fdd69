"""`headwater run`: run the main flow on this machine."""

import re
import sys
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from reprlib import repr as shortened

import msgspec
from bytewax import run as bytewax_run

from flows.commands.verb import Verb, moment, workers
from flows.errors.bytewax_errors import quiet_bytewax
from flows.errors.user_errors import CommandError, as_command_errors
from flows.home.configuration import load_settings
from flows.home.home import environment_home
from flows.runtime.app import App, tune_collector
from flows.runtime.processes import run_processes, stop_with_parent
from flows.terminal.console import TerminalConsole
from flows.terminal.signals import stop_on_signals

_ADDRESS = re.compile(r"(?:[\w.-]{1,255}|\[[0-9a-f:]{2,45}\]):\d{1,5}", re.ASCII | re.IGNORECASE)
_MOST_PORT = 65_535
# Untyped in bytewax's own stub; it is what `python -m bytewax.run` calls.
_run_flow: Callable[..., None] = bytewax_run.cli_main


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--until",
        type=moment,
        metavar="DATE",
        help="where the history of the built-in stream ends, UTC, exclusive "
        "(flights: 2013-04-01 if not given, 2014-01-01 is the whole year)",
    )
    parser.add_argument(
        "--follow", action="store_true", help="wait for new events at the end of the log"
    )
    parser.add_argument(
        "-w",
        "--workers",
        type=workers,
        default=1,
        metavar="N",
        help="worker threads of each process (default 1)",
    )
    parser.add_argument(
        "-p",
        "--processes",
        type=workers,
        default=1,
        metavar="N",
        help="processes that share the partitions, one of which trains (default 1)",
    )
    # As bytewax's -i and -a; for the processes that -p starts.
    parser.add_argument("--process", type=_number, help=SUPPRESS)
    parser.add_argument("--addresses", type=_addresses, help=SUPPRESS)


def _number(text: str) -> int:
    return workers(text) if text != "0" else 0


def _addresses(text: str) -> list[str]:
    addresses = text.split(";")
    for address in addresses:
        _, _, port = address.rpartition(":")
        if not _ADDRESS.fullmatch(address) or int(port) > _MOST_PORT:
            msg = f"must be like '127.0.0.1:2101;127.0.0.1:2102'; got {shortened(text)}"
            raise ArgumentTypeError(msg)
    if len(set(addresses)) < len(addresses):
        msg = f"must be another one for each process; got {shortened(text)}"
        raise ArgumentTypeError(msg)
    return addresses


def _run(arguments: Namespace) -> int:
    console = TerminalConsole(stderr=True)
    settings = load_settings()
    if arguments.follow:
        settings = msgspec.structs.replace(settings, follow=True)
    stop = stop_on_signals()
    process, count = arguments.process, len(arguments.addresses or ())
    if process is not None and not count:
        msg = f"--addresses must be given with --process; got process {process} alone"
        raise CommandError(msg)
    if count and (process is None or process >= count):
        msg = f"process must be from 0 to {count - 1}, one for each address; got {process}"
        raise CommandError(msg)
    if arguments.processes > 1:
        return run_processes(arguments.processes, _words(arguments), stop)
    if arguments.addresses:
        stop_with_parent(stop)
    with as_command_errors():
        app = App(settings, environment_home(), console, stop, arguments.until)
        flow = app.flow()
    tune_collector()
    try:
        with quiet_bytewax(stop):
            _run_flow(
                flow,
                workers_per_process=arguments.workers,
                process_id=arguments.process,
                addresses=arguments.addresses,
            )
    finally:
        app.close()
    return 0


def _words(arguments: Namespace) -> list[str]:
    """The command line of each process, but for its place among them."""
    words = [sys.executable, "-m", "flows", "run", "--workers", str(arguments.workers)]
    if arguments.follow:
        words.append("--follow")
    if arguments.until is not None:
        words += ["--until", arguments.until.isoformat()]
    return words


RUN = Verb(
    name="run",
    help="process the log: predict, learn, refit",
    description=(
        "Processes the log from the last checkpoint to its end and writes predictions, outcomes, "
        "metrics, alerts and fitted models to their topics. With a built-in stream it first fills "
        "an empty home with the history of that stream. "
        "`python -m bytewax.run flows.main` does the same. Ctrl-C or SIGTERM stops it cleanly; "
        "the next run resumes there."
    ),
    examples="""\
  headwater run                       the first three months of the flights, or new events
  headwater run --until 2014-01-01    the whole year
  headwater run --follow              wait for new events, until Ctrl-C
  headwater run -p 2                  the partitions spread over two processes""",
    arguments=_arguments,
    call=_run,
    stopped="the next run resumes from the last checkpoint",
)
