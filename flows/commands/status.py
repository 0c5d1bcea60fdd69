"""`headwater status`: show the progress of a flow, running or not."""

import sys
import time
from argparse import ArgumentParser, Namespace

import msgspec
from rich.table import Table

from flows.commands.verb import Verb, log_of
from flows.home.configuration import load_settings
from flows.home.deployment import Deployment
from flows.home.home import ALL_TOPICS, CheckpointKeyError, Home, environment_home
from flows.replay.branch import branches_of
from flows.reports.column_lines import status_lines
from flows.reports.counts import Counts
from flows.reports.estimates import estimate_lines
from flows.reports.metric_lines import line_text, states_of
from flows.reports.status import PartitionStatus, Status, status_of
from flows.terminal.console import TerminalConsole
from flows.terminal.time_format import format_time
from operators.partition.log_check import LogCutError
from state.log import EVENTS
from state.plain_text import plain_line
from state.topics import DEAD_LETTERS, INGESTED, ROLLBACKS

_OFTEN_EMPTY = frozenset({INGESTED, ROLLBACKS})
"""Topics of foreign records and of rollbacks, shown only if there are any."""


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="everything, as one JSON object")


def _run(arguments: Namespace) -> int:
    home = environment_home()
    log_of(home).close()
    with _opened(home) as deployment:
        log, store = deployment.log, deployment.home.checkpoints()
        status = status_of(log, store, ALL_TOPICS, time.time())
        lost = _lost(deployment)
    if arguments.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(status)).decode() + "\n")
        return _tell(lost)
    console = TerminalConsole(highlight=False, soft_wrap=True)
    console.print(_table(status.partitions))
    console.print(_sum(status))
    shown = [f"{t} {n:,}" for t, n in status.ends.items() if n or t not in _OFTEN_EMPTY]
    console.print("records: " + ", ".join(shown))
    if status.counts is not None:
        console.print(_counted(status.counts, status.ends.get(DEAD_LETTERS, 0)))
    for metric, states in states_of(status.newest).items():
        console.print(line_text(metric, states))
    for line in estimate_lines(status.estimates):
        console.print(line)
    for line in status_lines(status.newest):
        console.print(plain_line(line))
    fits = ", ".join(format_time(boundary) for boundary in status.pending_fits)
    console.print(f"fits that are due: {fits or 'none'}")
    if branches := branches_of(home):
        console.print(f"branches: {', '.join(one.name for one in branches)}")
    return _tell(lost)


def _opened(home: Home) -> Deployment:
    """Open the deployment, with the checkpoint store if its keys are available."""
    settings = load_settings()
    try:
        return Deployment.open(settings, home)
    except CheckpointKeyError as error:
        _tell([f"checkpoints in the store are ignored: {error}"])
        return Deployment.open(settings, home, checkpoints=False)


def _lost(deployment: Deployment) -> list[str]:
    """Describe records that checkpoints have read and the log has lost."""
    found = []
    for partition in range(deployment.log.partitions(EVENTS)):
        try:
            deployment.check_kept(partition)
        except LogCutError as error:
            found.append(str(error))
    return found


def _tell(lost: list[str]) -> int:
    for line in lost:
        sys.stderr.write(f"headwater: {line}\n")
    return 1 if lost else 0


def _table(partitions: list[PartitionStatus]) -> Table:
    table = Table(box=None)
    for heading in ("partition", "end", "position", "lag", "lag s", "records/s", "model"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for one in partitions:
        table.add_row(
            str(one.partition),
            f"{one.end:,}",
            f"{one.position:,}",
            f"{one.lag:,}",
            f"{one.lag_s:,.1f}",
            _rate(one.per_s),
            one.model or "-",
        )
    return table


def _sum(status: Status) -> str:
    known = [one.per_s for one in status.partitions if one.per_s is not None]
    lag = sum(one.lag for one in status.partitions)
    return f"all: lag {lag:,} records, {_rate(sum(known) if known else None)} records/s"


def _counted(counts: Counts, held: int) -> str:
    """Format requests, labels and dead letters as one line; `held` are all that were written."""
    more = held - sum(counts.dead_letters.values())
    newer = f" and {more:,} that they do not count yet" if more > 0 else ""
    letters = ", ".join(f"{n:,} {reason}" for reason, n in counts.dead_letters.items()) or "none"
    waiting = f", {counts.early:,} labels wait for their request" if counts.early else ""
    forgotten = f", {counts.unlabelled:,} without a label" if counts.unlabelled else ""
    return (
        f"by the newest metrics: requests {counts.requests:,}, labels {counts.labels:,}, pending "
        f"{counts.pending:,}{forgotten}{waiting}, dead letters {letters}{newer}"
    )


def _rate(per_s: float | None) -> str:
    return "-" if per_s is None else f"{per_s:,.0f}"


STATUS = Verb(
    name="status",
    help="show where a flow stands: position, lag, rate, models",
    description=(
        "One line for each partition of events: end of the log, position of the flow, lag "
        "in records and in seconds of append time, records per second over the last minute "
        "(by the checkpoints in the home, - without two of them), the offline model in use. Then "
        "the records of the other topics, the counts of the newest metrics, the alerts on metrics, "
        "what is to be expected of the requests whose labels are not known yet, and what came of "
        "earlier estimates, the columns that stand out, and the fits that are due. It only reads, "
        "beside a running flow or without one. The exit code is 1 if the end of the log was lost."
    ),
    examples="""\
  headwater status
  headwater status --json             everything, as one JSON object""",
    arguments=_arguments,
    call=_run,
    stopped="nothing was changed",
)
