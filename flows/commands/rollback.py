"""`headwater rollback`: use an earlier model again, at once."""

import sys
import time
from argparse import ArgumentParser, Namespace

from flows.commands.errors import refusing
from flows.commands.verb import Verb, log_of
from flows.configuration import find_stream, load_settings
from flows.home import environment_home
from flows.logs import open_log
from operators.decisions import PublishedModels


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="its id; none: the one that was in use before this one ever was",
    )


def _run(arguments: Namespace) -> int:
    home, settings = environment_home(), load_settings()
    log_of(home).close()
    with refusing():
        log = open_log(settings, find_stream(settings.stream), home)
        published = PublishedModels(log)
        before = published.champion()
        model = published.roll_back(arguments.model, time.time_ns() // 1000)
    log.close()
    sys.stdout.write(f"{model} takes the place of {before}\n")
    return 0


ROLLBACK = Verb(
    name="rollback",
    help="use an earlier model again, at once",
    description=(
        "A running flow, and one that is started later, takes the model with the next message, and "
        "writes that to the journal; scorers follow. The model stays until a later fit is promoted."
    ),
    examples="""\
  headwater rollback                     the model before; once more, the one before that
  headwater rollback gbm-0123456789ab    this one""",
    arguments=_arguments,
    call=_run,
    stopped="nothing was changed, unless it said so",
)
