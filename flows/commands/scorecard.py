"""`headwater scorecard`: quality of the answers, and the thresholds that can be trusted."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

import msgspec
import polars as pl
from rich.table import Table

from flows.commands.verb import Verb, add_times
from flows.errors.user_errors import as_command_errors
from flows.home.configuration import find_stream, load_settings
from flows.reading import read
from flows.reports.estimates import figures_text
from flows.reports.scorecard import (
    NEEDED,
    REQUESTS,
    Expected,
    ScorecardReport,
    WindowQuality,
    judged,
    scorecard_of,
)
from flows.reports.trust_text import trust_lines
from flows.terminal.console import TerminalConsole
from flows.terminal.time_format import format_time
from models.judging.drift import MEANINGS, Finding
from state.settings import Risk
from state.topics import OUTCOMES, PREDICTIONS

ANSWERS = ("ensemble", "online", "offline", "residual")

_Say = Callable[[str], None]


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--answers", choices=ANSWERS, default="ensemble", help="whose answers (default: ensemble)"
    )
    add_times(parser, "event time of the oldest request, UTC (default: all)", "before this")
    parser.add_argument("--json", action="store_true", help="everything, as one JSON object")


def _run(arguments: Namespace) -> int:
    settings = load_settings()
    by_silence = find_stream(settings.stream).label.silence is not None
    name = "probability" if arguments.answers == "ensemble" else arguments.answers
    with as_command_errors():
        outcomes, predictions = (
            _between(read(topic).select(*columns, name), arguments.since, arguments.until)
            for topic, columns in ((OUTCOMES, NEEDED), (PREDICTIONS, (*REQUESTS, "event_time")))
        )
        found = judged(outcomes, predictions, by_silence=by_silence)
    report = scorecard_of(found, arguments.answers, settings)
    if arguments.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report)).decode() + "\n")
    else:
        _show(report, settings.accepted_risk, settings.decision.threshold)
    return 0


def _between(rows: pl.LazyFrame, since: datetime | None, until: datetime | None) -> pl.LazyFrame:
    time = pl.col("event_time")
    for limit, condition in ((since, time.ge), (until, time.lt)):
        if limit is not None:
            rows = rows.filter(condition(limit.replace(tzinfo=None)))
    return rows


def _show(report: ScorecardReport, risk: Risk, threshold: float) -> None:
    console = TerminalConsole()
    say = partial(console.print, highlight=False, soft_wrap=True)
    if not report.requests:
        say("No request has got its label yet.")
        return
    say(f"Answers of the {report.answers}, up to {format_time(report.until)}")
    if report.waiting:
        say(f"{report.waiting:,} labelled requests do not count yet: an older one waits.")
    console.print(_quality(report.quality))
    say(f"\nDecisions from {threshold:g} on")
    console.print(_decisions(report.quality))
    say(f"\nTrust, each promise kept with confidence {risk.confidence:.0%}")
    _show_trust(say, report, risk)
    say("\nCalibration: the mean probability, and the share of label 1")
    console.print(_calibration(report.calibration))
    if report.drift:
        say("\nDrift, and the log-loss against that which the answers expect")
        console.print(_drift(report.drift))
    else:
        say("\nDrift: none found")
    if report.ahead is not None:
        _show_ahead(say, report.ahead)


def _quality(windows: Sequence[WindowQuality]) -> Table:
    table = _table("last", "requests", "label 1", "log-loss", "AUC", "95 % interval", "off by")
    for one in windows:
        table.add_row(
            one.window or "all",
            f"{one.requests:,}",
            f"{one.positives / one.requests:.1%}" if one.requests else "-",
            _figure(one.log_loss, 4),
            _figure(one.auc and one.auc.value),
            f"{one.auc.low:.3f}-{one.auc.high:.3f}" if one.auc else "-",
            _figure(one.calibration_error if one.requests else None),
        )
    return table


def _decisions(windows: Sequence[WindowQuality]) -> Table:
    table = _table("last", "precision", "recall", "F1", "F2", "accuracy")
    for one in windows:
        figures = (one.precision, one.recall, one.f1, one.f2, one.accuracy)
        table.add_row(one.window or "all", *map(_figure, figures))
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "last" else "right")
    return table


def _show_trust(say: _Say, report: ScorecardReport, risk: Risk) -> None:
    for word, line in zip(
        ("act", "let go", "unsure"), trust_lines(report.trust, risk), strict=True
    ):
        say(f"  {word:<6}  {line}")
    say(
        f"The cheapest threshold is {report.cheapest:.3f}: wrong decisions cost "
        f"{report.cost:,.1f} per 1,000 requests."
    )


def _show_ahead(say: _Say, ahead: Expected) -> None:
    say(
        f"\n{ahead.requests:,} requests wait to be judged. To be expected of them: label 1 for "
        f"{ahead.positives:,.0f}, {figures_text(ahead.metrics)}."
    )
    if not ahead.trusted:
        say(f"Do not rely on that: {ahead.doubt}.")


def _calibration(groups: Sequence[tuple[float, float, int]]) -> Table:
    table = _table("said", "came", "requests")
    for said, came, requests in groups:
        table.add_row(f"{said:.1%}", f"{came:.1%}", f"{requests:,}")
    return table


def _drift(findings: Sequence[Finding]) -> Table:
    table = _table("since", "labels", "log-loss")
    table.add_column("finding")
    for one in findings:
        table.add_row(
            format_time(one.since), f"{one.labels:,}", f"{one.excess:+.4f}", MEANINGS[one.kind]
        )
    return table


def _figure(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


SCORECARD = Verb(
    name="scorecard",
    help="show the quality of the answers, and which can be trusted",
    description=(
        "Reads `outcomes` and `predictions` and shows: quality over the newest `metrics.windows`, "
        "at `decision.threshold`, with intervals of 95 %; from which probability on a positive "
        "can be trusted and below which a negative can, so that the shares in `risk` are kept; "
        "what the answers said and what came; when the answers were off (drift), with at most one "
        "false alarm in `drift.false_alarms`; and what is to be expected of the requests that wait "
        'to be judged, from the oldest without a label on. "Off by" is the mean distance between '
        "said and came. Requests newer than one that still waits for its label do not count."
    ),
    examples="""\
  headwater scorecard
  headwater scorecard --from 2013-03-01 --to 2013-04-01
  headwater scorecard --answers offline --json""",
    arguments=_arguments,
    call=_run,
    stopped="nothing was changed",
)
