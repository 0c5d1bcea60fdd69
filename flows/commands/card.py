"""`headwater card`: all facts on one model, to be read by people."""

import sys
from argparse import ArgumentParser, Namespace

from flows.commands.verb import Verb, log_of, output_file
from flows.home.configuration import load_settings
from flows.home.deployment import Deployment
from flows.home.home import environment_home
from flows.pages.document import markdown
from flows.pages.page import page
from flows.reports.card import card_of
from flows.reports.card_text import card_blocks
from flows.terminal.read_progress import read_progress
from state.atomic_write import write_atomically


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="id of the model, or the beginning of it (default: the newest in use)",
    )
    parser.add_argument(
        "--html", type=output_file, metavar="FILE", help="write a page with pictures instead"
    )


def _run(arguments: Namespace) -> int:
    settings, home = load_settings(), environment_home()
    log_of(home).close()
    with Deployment.open(settings, home, checkpoints=False) as deployment, read_progress() as show:
        card = card_of(deployment, arguments.model, show)
        blocks = card_blocks(card, deployment.stream, settings)
    title = f"Model card: {card.record.model}"
    if arguments.html is None:
        sys.stdout.write(markdown(title, blocks))
    else:
        write_atomically(arguments.html, page(title, blocks).encode())
        sys.stdout.write(f"{arguments.html}: the card of {card.record.model}\n")
    return 0


CARD = Verb(
    name="card",
    help="describe a model: data, gate, quality, slices, importance, limits",
    description=(
        "Writes a model card as Markdown: the purpose, the data with the hashes of its files, why "
        "the model was promoted and what it replaced, the quality of its own answers with exact "
        "intervals, calibration, the worst slices with a correction for how many were looked at, "
        "the importance of each column, and the limits. It reads the log and the model's file "
        "only: the same log gives the same card."
    ),
    examples="""\
  headwater card
  headwater card gbm-9e311c8c3081 > card.md
  headwater card gbm-9e31 --html card.html""",
    arguments=_arguments,
    call=_run,
    stopped="no file was written",
)
