"""`headwater columns`: live columns against the training window of the champion."""

import sys
from argparse import ArgumentParser, Namespace
from functools import partial

import msgspec
from rich.table import Table

from flows.commands.verb import Verb, log_of
from flows.home.configuration import load_settings
from flows.home.deployment import Deployment
from flows.home.home import environment_home
from flows.reports.column_lines import ColumnLine, column_lines
from flows.reports.column_training import training_columns
from flows.reports.counts import newest_metrics
from flows.terminal.console import TerminalConsole
from flows.terminal.time_format import format_time
from state.plain_text import plain_line


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="everything, as one JSON object")


def _run(arguments: Namespace) -> int:
    settings, home = load_settings(), environment_home()
    log_of(home).close()
    with Deployment.open(settings, home, checkpoints=False) as deployment:
        training = training_columns(deployment)
        newest = newest_metrics(deployment.log)
    lines = column_lines(newest)
    if arguments.json:
        found = {"compared": training.sentence, "columns": lines}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
        return 0
    console = TerminalConsole()
    say = partial(console.print, highlight=False, soft_wrap=True)
    say(training.sentence)
    if training.profile is None:
        return 0
    if not newest:
        say("No metrics yet: columns are compared once in metrics.every of event time.")
        return 0
    for line in lines:
        if line.faults:
            say(plain_line(f"{line.column}: {line.words}"))
    if lines:
        console.print(_table(lines))
    else:
        say("No column stands out.")
    say(f"By the newest metrics, of {format_time(max(one.time for one in newest))} UTC.")
    return 0


def _table(lines: list[ColumnLine]) -> Table:
    table = Table(box=None)
    for heading in ("column", "nulls", "before", "new", "PSI", "by chance", "weight"):
        table.add_column(heading, justify="left" if heading == "column" else "right")
    for line in lines:
        of = line.state
        figures = (
            f"{of.nulls:.1%}",
            f"{of.nulls_before:.1%}",
            f"{of.beyond:.1%}",
            f"{of.psi:.3f}",
            f"{of.critical:.3f}",
            f"{of.importance:.1%}",
        )
        table.add_row(plain_line(line.column), *figures)
    return table


COLUMNS = Verb(
    name="columns",
    help="compare the columns of the newest requests with the training window",
    description=(
        "Lists the columns of the vector that stand out in the newest metrics: those with faults "
        "first (which also gave an alert `data_quality`), then those whose values have drifted, by "
        "weight times drift. Per column: the share of nulls, and the share before, in the training "
        "window at the same hours of the week; the share of new values, which are levels that were "
        "not in training or numbers out of its range; PSI, the population stability index against "
        "the same hours of the week, and the index that chance exceeds in one of a thousand "
        "windows; and its weight, the column's share in the importance of all. Without a fault, a "
        "column is not listed below a PSI of 0.1. With several partitions it shows the one in "
        "which the column stands out most."
    ),
    examples="""\
  headwater columns
  headwater columns --json            everything, as one JSON object""",
    arguments=_arguments,
    call=_run,
    stopped="nothing was changed",
)
