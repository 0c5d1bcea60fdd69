"""`headwater rollback`: use an earlier model again, at once."""

import sys
import time
from argparse import ArgumentParser, Namespace

from flows.commands.verb import Verb, log_of
from flows.errors.user_errors import as_command_errors
from flows.home.configuration import load_settings
from flows.home.deployment import Deployment
from flows.home.home import environment_home


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="model id; default: the previous champion",
    )


def _run(arguments: Namespace) -> int:
    home, settings = environment_home(), load_settings()
    log_of(home).close()
    with as_command_errors():
        deployment = Deployment.open(settings, home, make_topics=True, checkpoints=False)
        registry = deployment.registry
        before = registry.newest_model()
        model = registry.roll_back(arguments.model, time.time_ns() // 1000)
    deployment.close()
    sys.stdout.write(f"{model} takes the place of {before}\n")
    return 0


ROLLBACK = Verb(
    name="rollback",
    help="return to an earlier model at once",
    description=(
        "A running flow activates the model at its next message and writes that to the journal; a "
        "flow that starts later does the same. Scorers follow. The model stays until a later fit "
        "is promoted."
    ),
    examples="""\
  headwater rollback                     the previous champion; again: the one before it
  headwater rollback gbm-0123456789ab    this model""",
    arguments=_arguments,
    call=_run,
    stopped="nothing was changed, unless a line said so",
)
