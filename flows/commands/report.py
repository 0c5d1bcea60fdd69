"""`headwater report`: one page on how good the answers are, for people."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from flows.commands.verb import Verb, add_times, log_of, microseconds, output_file
from flows.home.configuration import load_settings
from flows.home.deployment import Deployment
from flows.home.home import environment_home
from flows.pages.page import page
from flows.reports.report import report_of
from flows.reports.report_text import report_blocks, report_title
from flows.terminal.read_progress import read_progress
from state.atomic_write import write_atomically


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=output_file,
        default=Path("report.html"),
        metavar="FILE",
        help="the page (default: report.html)",
    )
    add_times(parser, "event time of the oldest request, UTC (default: all)", "before this")


def _run(arguments: Namespace) -> int:
    settings, home = load_settings(), environment_home()
    log_of(home).close()
    since, until = microseconds(arguments.since), microseconds(arguments.until)
    with Deployment.open(settings, home, checkpoints=False) as deployment, read_progress() as show:
        report = report_of(deployment, since, until, show)
        blocks = report_blocks(report, deployment.stream, settings)
        title = report_title(report, deployment.stream)
    content = page(title, blocks).encode()
    write_atomically(arguments.out, content)
    sys.stdout.write(
        f"{arguments.out}: {len(content) / 1000:,.0f} kB, {len(report.labels):,} requests\n"
    )
    return 0


REPORT = Verb(
    name="report",
    help="write a page on quality, refits, drift, labels and what was saved",
    description=(
        "Writes one HTML file without scripts or references to anything outside: in words what was "
        "won, then pictures over time with intervals: log-loss and AUC, against the first model, "
        "had it never been replaced, and against each part; what was saved; refits, drift and "
        "alerts; weights of the mixture; labels; calibration; and which columns moved the answers "
        "on the last day. The same log gives the same file. Each picture has its figures as a "
        "table. It reads all outcomes: a year of flights takes about half a minute."
    ),
    examples="""\
  headwater report
  headwater report --out march.html --from 2013-03-01 --to 2013-04-01""",
    arguments=_arguments,
    call=_run,
    stopped="no file was written",
)
