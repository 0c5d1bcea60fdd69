"""`headwater models`: what was fitted, and what is in use."""

import sys
from argparse import ArgumentParser, Namespace

import msgspec
from rich.table import Table

from flows.commands.verb import Verb, log_of
from flows.home.home import environment_home
from flows.runtime.summary import print_fits
from flows.terminal.console import TerminalConsole
from models.refit.fit_record import FitRecord
from operators.partition.journal import Journal
from operators.training.model_registry import ModelRegistry
from state.log import EVENTS, Log


class _InUse(msgspec.Struct, frozen=True):
    """What a partition predicts with, from which offset of `events` on."""

    partition: int
    model: str | None
    offset: int


class _Models(msgspec.Struct, frozen=True):
    in_use: list[_InUse]
    decisions: list[FitRecord]


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="everything, as one JSON object")


def _run(arguments: Namespace) -> int:
    log = log_of(environment_home())
    models = _Models(_in_use(log), ModelRegistry(log).records())
    log.close()
    if arguments.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(models)).decode() + "\n")
        return 0
    console = TerminalConsole()
    print_fits(console, models.decisions)
    console.print(_uses_table(models.in_use))
    return 0


def _in_use(log: Log) -> list[_InUse]:
    active = [Journal(log, p).active for p in range(log.partitions(EVENTS))]
    return [
        _InUse(p, one.model, one.offset) if one else _InUse(p, None, 0)
        for p, one in enumerate(active)
    ]


def _uses_table(in_use: list[_InUse]) -> Table:
    table = Table(title="in use", title_justify="left", box=None)
    for heading in ("partition", "model", "from offset"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for use in in_use:
        table.add_row(str(use.partition), use.model or "-", f"{use.offset:,}")
    return table


MODELS = Verb(
    name="models",
    help="list fits and the models in use",
    description=(
        "One line for each boundary: what was decided and why. Then the offline model that each "
        "partition of `events` uses now."
    ),
    examples="""\
  headwater models
  headwater models --json""",
    arguments=_arguments,
    call=_run,
    stopped="nothing was changed",
)
