"""`headwater watch`: a flow's metrics for Prometheus, and a page for people."""

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from contextlib import ExitStack
from functools import partial
from reprlib import repr as shortened
from typing import NamedTuple

import msgspec

from flows.commands.verb import Verb
from flows.errors.user_errors import CommandError, as_command_errors
from flows.home.configuration import load_settings
from flows.home.deployment import Deployment
from flows.home.home import environment_home
from flows.serving.bind import bind, token_for
from flows.terminal.console import say_at_once
from flows.terminal.json_lines import tell
from flows.watch.pushing import Pushing
from flows.watch.rules_file import rules_file
from flows.watch.sinks import Graphite, Influx, Sink
from flows.watch.watcher import Watcher
from state.durations import Duration

_DEFAULT = "127.0.0.1:9464"
_LEAST_S, _MOST_S = 0.2, 60.0


class Address(NamedTuple):
    """A host and a port to listen at."""

    host: str
    port: int


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--prometheus",
        type=address,
        default=_DEFAULT,
        metavar="HOST:PORT",
        help=f"address to listen on (default: {_DEFAULT}); `:PORT` is loopback",
    )
    parser.add_argument(
        "--every", type=pause, default="2s", metavar="TIME", help="time between looks (default: 2s)"
    )
    parser.add_argument(
        "--influx",
        metavar="URL",
        help="push points to InfluxDB: its address for writing, as in "
        "http://127.0.0.1:8086/write?db=headwater; a token comes from INFLUX_TOKEN",
    )
    parser.add_argument(
        "--graphite", type=address, metavar="HOST:PORT", help="push points to Graphite, with tags"
    )
    parser.add_argument("--rules", action="store_true", help="print the alert rules and end")


def address(text: str) -> Address:
    """An address of an argument.

    Raises:
        ArgumentTypeError: The text is not an address.

    Example:
        >>> address(":9464"), address("[::1]:0")
        (Address(host='127.0.0.1', port=9464), Address(host='::1', port=0))
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not port.isascii() or int(port[:6]) > 65_535:
        msg = f"must be HOST:PORT or :PORT; got {shortened(text)}"
        raise ArgumentTypeError(msg)
    return Address(host.strip("[]") or "127.0.0.1", int(port))


def pause(text: str) -> float:
    """Seconds between two looks.

    Raises:
        ArgumentTypeError: The text is not a duration, or the duration is out of bounds.

    Example:
        >>> pause("500ms")
        0.5
    """
    try:
        seconds = Duration.parse(text) / 1e6
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    if not _LEAST_S <= seconds <= _MOST_S:
        msg = f"must be from 200ms to 1m; got {shortened(text)}"
        raise ArgumentTypeError(msg)
    return seconds


def _run(arguments: Namespace) -> int:
    if arguments.rules:
        sys.stdout.write(rules_file())
        return 0
    try:
        from flows.watch.looking import Looking  # noqa: PLC0415 - needs an extra
        from flows.watch.service import serve  # noqa: PLC0415
    except ModuleNotFoundError as error:
        msg = f"watch must have its server; got '{error}': pip install 'headwater[serve]'"
        raise CommandError(msg) from error
    settings, (host, port) = load_settings(), arguments.prometheus
    with as_command_errors():
        token = token_for(host, os.environ)
    home = environment_home()
    watcher = Watcher(settings, home)
    limits = msgspec.structs.replace(settings.serve, drain=Duration(0))
    with bind(host, port) as bound, ExitStack() as pushing:
        for name, sink in _sinks(arguments).items():
            file = home.root / "watch" / f"{name}.json"
            opened = partial(Deployment.open, settings, home, checkpoints=False)
            one = Pushing(opened, sink, file, arguments.every, say_at_once)
            pushing.enter_context(one.going_on())
        serve(Looking(watcher, arguments.every, say_at_once), limits, bound, token, say_at_once)
    tell("stopped", "Stopped.", say_at_once)
    return 0


def _sinks(arguments: Namespace) -> dict[str, Sink]:
    sinks: dict[str, Sink] = {}
    if arguments.influx:
        sinks["influx"] = Influx(arguments.influx, os.environ.get("INFLUX_TOKEN", ""))
    if arguments.graphite:
        sinks["graphite"] = Graphite(*arguments.graphite)
    return sinks


WATCH = Verb(
    name="watch",
    help="serve a flow's metrics to Prometheus, and a live page",
    description=(
        "Looks at the flow every two seconds, through its topics, its home and its heartbeats, "
        "and only reads. /metrics has everything for Prometheus, / a live page for people, "
        "/rules.yml the alert rules. It continues while the flow is down or the log cannot be "
        "read; headwater_processes and headwater_up then say so. It listens on loopback; at any "
        "other address clients must send the token in HEADWATER_TOKEN. --influx and --graphite "
        "push metrics, alerts and fits, each at its event time, and resume where they stopped."
    ),
    examples="""\
  headwater watch                     metrics and page on 127.0.0.1:9464
  headwater watch --prometheus :9000 --every 5s
  headwater watch --influx 'http://127.0.0.1:8086/write?db=headwater'
  headwater watch --graphite 127.0.0.1:2003
  headwater watch --rules             alert rules for Prometheus""",
    arguments=_arguments,
    call=_run,
    stopped="nothing was changed",
)
