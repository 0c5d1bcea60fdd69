"""`headwater serve`: answer requests over HTTP."""

import logging
import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from reprlib import repr as shortened

import msgspec

from flows.commands.verb import Verb, log_of
from flows.errors.user_errors import CommandError, as_command_errors
from flows.home.configuration import load_settings
from flows.home.home import environment_home
from flows.scorer import Scorer
from flows.serving.bind import bind, token_for
from flows.terminal.console import say_at_once
from flows.terminal.json_lines import tell
from operators.training.model_loader import ModelError


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default: serve.host, loopback)")
    parser.add_argument("--port", type=_port, help="port; 0: any free one (default: serve.port)")
    parser.add_argument(
        "--access-log", action="store_true", help="print a line on standard error for each request"
    )


def _port(text: str) -> int:
    if not text.isdecimal() or len(text) > 5 or int(text) > 65_535:
        msg = f"must be a whole number up to 65535; got {shortened(text)}"
        raise ArgumentTypeError(msg)
    return int(text)


def _run(arguments: Namespace) -> int:
    try:
        from flows.serving.run import serve  # noqa: PLC0415 - needs an extra
    except ModuleNotFoundError as error:
        msg = f"serve must have its server; got '{error}': pip install 'headwater[serve]'"
        raise CommandError(msg) from error
    given = {name: getattr(arguments, name) for name in ("host", "port")}
    chosen = {name: value for name, value in given.items() if value is not None}
    settings = msgspec.structs.replace(load_settings().serve, **chosen)
    if arguments.access_log:
        logging.basicConfig(format="%(asctime)s %(message)s")
        logging.getLogger("headwater.access").setLevel(logging.INFO)
    with as_command_errors():
        token = token_for(settings.host, os.environ)
    log_of(environment_home()).close()
    with bind(settings.host, settings.port) as bound, _opened() as scorer:
        serve(scorer, settings, bound, token, say_at_once)
    tell("stopped", "Stopped.", say_at_once)
    return 0


def _opened() -> Scorer:
    try:
        return Scorer.open(on_trouble=say_at_once)
    except ModelError as error:
        raise CommandError(str(error)) from error


SERVE = Verb(
    name="serve",
    help="score over HTTP",
    description=(
        "Answers POST /score and /score/batch as the flow would, from a replica that follows the "
        "log and writes nothing; /docs describes all endpoints. It listens on loopback; at any "
        "other address clients must send the token in HEADWATER_TOKEN. After SIGTERM /readyz "
        "answers 503, requests are still answered for serve.drain, then the service ends. Ctrl-C "
        "ends it at once."
    ),
    examples="""\
  headwater serve                     on 127.0.0.1:8080
  headwater serve --port 9000 --access-log
  HEADWATER_TOKEN=$(openssl rand -hex 16) headwater serve --host 0.0.0.0
  curl -H 'content-type: application/json' -d @request.json '127.0.0.1:8080/score?reasons=5'""",
    arguments=_arguments,
    call=_run,
    stopped="nothing was changed",
)
