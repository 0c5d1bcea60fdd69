"""A report as a document: the results in words first, then a picture for each question."""

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np

from flows.pages.chart import Bar, bars
from flows.pages.document import Block, Heading, Items, Paragraph, Picture, Table, code
from flows.reports.answers import FROZEN
from flows.reports.calibration import calibration_picture
from flows.reports.column_history import column_blocks
from flows.reports.estimates import figures_text
from flows.reports.figures import between, day, figure, length, moment, period, several, share
from flows.reports.purpose import purpose_of
from flows.reports.report import Report
from flows.reports.report_pictures import (
    auc_picture,
    estimates_picture,
    events_picture,
    labels_picture,
    loss_picture,
    parts_picture,
    saved_picture,
    weights_picture,
)
from flows.reports.title_text import TITLE_COUNTS, title_words
from flows.reports.trust_text import trust_lines
from flows.reports.wins import Win
from flows.terminal.time_format import format_time
from models.judging.drift import MEANINGS
from models.judging.histograms import NORMAL_95, Estimate
from models.judging.importance import MeanEffect
from models.refit.fit_record import TITLES
from models.refit.gate import short, standard_error
from models.scorecard import log_losses
from state.settings import Settings
from state.stream import Stream

_MOST_COLUMNS = 10
_OF_LATE = 200
_LOG_LOSS = (
    "Log-loss measures how wrong probabilities are: 0 is perfect, and lower is better. Proven "
    "means that such a claim is false in at most one of twenty comparisons."
)
_CALIBRATION = (
    "Across: the probability that was said. Up: how often label 1 came. On the dashed line both "
    "are equal."
)
_PARTS = {
    "online": "the online learners alone",
    "offline": "the offline model alone",
    "residual": "the offline model with its corrections",
}


def report_blocks(report: Report, stream: Stream, settings: Settings) -> list[Block]:
    """The document of a report.

    Args:
        report: The facts.
        stream: The stream.
        settings: `stream`, `decision`, `drift` and `risk` apply.
    """
    of = settings.decision
    unit = "wrong decisions" if of.false_positive == of.false_negative == 1.0 else "cost"
    blocks: list[Block] = [*map(Paragraph, purpose_of(stream, settings.stream))]
    blocks += [Heading("In short"), Paragraph(_LOG_LOSS)]
    blocks += [Items(list(_in_short(report, settings, unit)))]
    blocks += [Heading("Are the answers getting better?"), loss_picture(report)]
    blocks += [Paragraph(_reading(report))]
    blocks += _kept([auc_picture(report)])
    blocks += [Heading("Were the estimates right?"), *_estimates(report)]
    blocks += [Heading("What was saved?"), saved_picture(report, unit)]
    blocks += [Heading("What happened?"), events_picture(report), *trouble(report, settings)]
    blocks += [Heading("Is the mixture worth it?"), Items(list(_parts(report)))]
    blocks += _kept([parts_picture(report), weights_picture(report)])
    blocks += [Heading("Are the labels right?"), labels_picture(report)]
    blocks += [Heading("Can the probabilities be taken at their word?")]
    blocks += [calibration_picture(report.scorecard, _CALIBRATION)]
    blocks += [Items(list(_trust(report, settings)))]
    blocks += [Heading("Which columns moved the answers?"), *_effects(report)]
    blocks += [Heading("Are the columns as they were in training?")]
    blocks += column_blocks(report.columns, report.alerts)
    return blocks


def report_title(report: Report, stream: Stream) -> str:
    """The title."""
    return f"{stream.name}: report up to {day(int(report.times[-1]))}"


def _kept(blocks: list[Block | None]) -> list[Block]:
    return [block for block in blocks if block is not None]


def _in_short(report: Report, settings: Settings, unit: str) -> Iterator[str]:
    n, waiting = len(report.labels), report.answers.found.waiting
    yield (
        f"{n:,} requests from {period(int(report.times[0]), int(report.times[-1]))} have their "
        f"label: it is 1 for {share(report.share)}."
        + (f" Another {waiting:,} do not count yet, as an older request waits." if waiting else "")
    )
    base = report.wins["base"]
    if base is not None:
        yield won(report, base, f"always saying {share(report.share)}")
    frozen = report.wins[FROZEN]
    first = report.answers.first
    if frozen is not None and first is not None:
        yield won(report, frozen, f"the first model {code(first.model)}, had it stayed alone")
    elif first is not None:
        reason = report.answers.frozen.reason or "it answered none of these requests"
        yield f"No comparison with the first model {code(first.model)}: {reason}"
    yield from _cost(report, settings, unit)
    found = Counter(one.status for one in report.decisions)
    if found:
        words = (f"{n:,} {TITLE_COUNTS.get(status, status)}" for status, n in found.items())
        yield f"Decisions on models: {', '.join(words)}."
    else:
        yield "No refit was due."
    newest = report.answers.newest
    if newest is not None:
        yield (
            f"The newest model in use is {code(newest.model)}, of "
            f"{format_time(newest.boundary)} UTC: `headwater card` describes it."
        )
    yield from _champion(report)
    yield from now(report)


def _champion(report: Report) -> Iterator[str]:
    titles = [one for one in report.decisions if one.status in TITLES]
    if titles:
        at = moment(titles[-1].time, report.periods.length)
        yield f"The last proof on models is of {at}: {title_words(titles[-1])}."
    newest = report.answers.newest
    if report.champion is not None and newest is not None:
        word = (
            "the newest model too"
            if report.champion == newest.model
            else "as the newest one is not proven better yet"
        )
        yield f"The champion is {code(report.champion)}, {word}."


def _cost(report: Report, settings: Settings, unit: str) -> Iterator[str]:
    base, frozen = report.wins["base"], report.wins[FROZEN]
    word = "yes" if report.always else "no"
    if base is not None:
        yield (
            f"{unit.capitalize()} from a probability of {settings.decision.threshold:g} on: "
            f"{base.our_cost:,.0f}. Always deciding {word!r} would have made "
            f"{base.their_cost:,.0f}: {_less(base)}."
        )
    if frozen is not None:
        yield (
            f"On the {frozen.requests:,} requests that the first model could have answered: "
            f"{frozen.our_cost:,.0f}, against {frozen.their_cost:,.0f}: {_less(frozen)}."
        )


def _less(of: Win) -> str:
    saved = of.their_cost - of.our_cost
    if not saved:
        return "nothing saved"
    part = f", {share(abs(saved) / of.their_cost)}" if of.their_cost else ""
    return f"{abs(saved):,.0f} {'saved' if saved >= 0 else 'MORE'}{part}"


def won(report: Report, of: Win, other: str) -> str:
    """One sentence on the answers against another way to answer."""
    at = report.periods.length
    by = f"log-loss {figure(of.ours, 4)} against {figure(of.theirs, 4)}"
    often = (
        f" They were better in {of.better:,} of {of.periods:,} {several(at)}." if of.periods else ""
    )
    if of.gain > 0 and of.proven is not None:
        return (
            f"Since {moment(of.proven, at)} the answers are proven better than {other}: {by}, "
            f"{share(of.gain / of.theirs)} less.{often}"
        )
    if of.gain < 0 and of.disproven is not None:
        return (
            f"The answers are WORSE than {other}, proven since {moment(of.disproven, at)}: {by}."
            f"{often}"
        )
    word = "better" if of.gain > 0 else "worse"
    error = "" if math.isinf(of.error) else f" ± {short(of.error)}"
    return (
        f"It is not proven whether the answers are better than {other}: they were {word} by "
        f"{short(abs(of.gain))}{error}; {by}.{often}"
    )


def now(report: Report, least: int = _OF_LATE) -> Iterator[str]:
    """Lines on the log-loss of the newest requests, if there are `least`, and on drift now."""
    *windows, whole = report.scorecard.quality
    of_late = next((one for one in windows if one.requests >= least), None)
    if of_late is not None and of_late.requests < whole.requests:
        late, before = _loss_of(report, of_late.requests), float(whole.log_loss or 0.0)
        word = "better than" if late.high < before else "worse than"
        if late.low <= before <= late.high:
            word = "by its interval not different from that"
        yield (
            f"Of late (the last {of_late.window}, {of_late.requests:,} requests) the log-loss was "
            f"{figure(late.value, 4)} (95 % interval {between(late, 4)}), {word} over the whole "
            f"time, {figure(before, 4)}."
        )
    ahead = report.scorecard.ahead
    if ahead is None:
        return
    auc = figures_text({name: of for name, of in ahead.metrics.items() if name == "auc"})
    yield (
        f"Expected of the {ahead.requests:,} newest requests, whose labels are not all known yet: "
        f"{auc}, label 1 for {share(ahead.positives / ahead.requests)}."
    )
    if not ahead.trusted:
        yield f"Do not rely on that: {ahead.doubt}. Look at drift below."


def _loss_of(report: Report, newest: int) -> Estimate:
    """Mean log-loss of the newest requests, with its 95 % interval."""
    said = report.answers.found.rows["probability"].to_numpy()[-newest:]
    losses = log_losses(report.labels[-newest:].astype(np.float64), said)
    mean, error = float(losses.mean()), NORMAL_95 * standard_error(losses)
    return Estimate(mean, mean - error, mean + error)


def _reading(report: Report) -> str:
    return (
        f"All pictures show {several(report.periods.length)}, by the time of the requests. Where "
        "there are fewer than 20 labels, a point is missing."
    )


def _estimates(report: Report) -> Iterator[Block]:
    """The AUC that could have been expected before the labels, and the one that came."""
    pairs = [
        (foreseen, came)
        for foreseen, came in zip(report.foreseen, report.auc["probability"], strict=True)
        if foreseen is not None and came is not None
    ]
    picture = estimates_picture(report)
    if picture is None:
        yield Paragraph("Not known: it takes some 20 labels of each kind in a period.")
        return
    inside = sum(foreseen.low <= came.value <= foreseen.high for foreseen, came in pairs)
    off = sum(abs(foreseen.value - came.value) for foreseen, came in pairs) / len(pairs)
    yield Paragraph(
        "How good answers are can be estimated before their labels come, from the probabilities "
        "alone: if these are right, the AUC lies in the interval 95 times of 100. It did in "
        f"{inside:,} of {len(pairs):,} {several(report.periods.length)}; on average the estimate "
        f"was off by {figure(off)}. Where it lies outside for long, the answers were off (drift)."
    )
    yield picture


def _parts(report: Report) -> Iterator[str]:
    for name, text in _PARTS.items():
        found = report.wins[name]
        if found is not None:
            yield won(report, found, text)


def trouble(report: Report, settings: Settings) -> Iterator[Block]:
    """An explanation of the marks of drift, and the worst times."""
    kinds = Counter(MEANINGS[one.kind] for one in report.scorecard.drift)
    if kinds:
        words = ", ".join(f"{meaning}: {n:,}" for meaning, n in sorted(kinds.items()))
        yield Paragraph(
            "A mark of drift is the time from which on the answers were off beyond chance. By "
            f"kind: {words}. If nothing were wrong, one mark would come in "
            f"{length(settings.drift.false_alarms)} at most. The search begins anew after each, so "
            "a long trouble leaves several. The learners correct the answers meanwhile, and a "
            "refit may come early."
        )
    drift = sorted(report.scorecard.drift, key=lambda one: -one.excess * one.labels)[:3]
    costly = [one for one in drift if one.excess > 0]
    if costly:
        yield Paragraph("The times at which wrong answers cost most:")
        yield Items(
            [
                f"from {format_time(one.since)} UTC, for {one.labels:,} requests: "
                f"{MEANINGS[one.kind]}; log-loss {figure(one.excess)} above the expected one"
                for one in costly
            ]
        )


def _trust(report: Report, settings: Settings) -> Iterator[str]:
    act, let_go, unsure = trust_lines(report.scorecard.trust, settings.accepted_risk)
    confidence = f"{settings.accepted_risk.confidence:.0%}"
    yield f"Act on a positive {act} (kept with a confidence of {confidence})."
    yield f"Let a negative go {let_go} ({confidence})."
    yield f"Unsure: {unsure}."


def _effects(report: Report) -> Iterator[Block]:
    if not report.effects:
        reason = report.answers.file.reason or "the outcomes lack one of its columns"
        yield Paragraph(f"Not known: {reason}")
        return
    before = {one.column: one for one in report.before}
    yield Paragraph(
        "How the columns changed the odds of label 1 on the last day, in the answers of the newest "
        "offline model: its answer with the column against its answer without."
    )
    shown = [one for one in report.effects[:_MOST_COLUMNS] if one.size > 0]
    yield Picture(
        bars(
            "Mean effect of the columns on the odds of label 1, last day",
            [Bar(f"{one.column} {one.words}", one.change) for one in shown],
        ),
        "To the right: the column raises the odds on average; to the left: it lowers them. The "
        "columns that move a single answer most, up or down, come first.",
        [],
        Table(
            ["column", "odds, last day", "odds, day before", "a single answer"],
            [
                [code(one.column), _odds(one.change), _odds_of(before.get(one.column)), _size(one)]
                for one in shown
            ],
        ),
    )


def _size(of: MeanEffect) -> str:
    return f"{math.expm1(of.size) * 100:.0f} %"


def _odds_of(of: MeanEffect | None) -> str:
    return "-" if of is None else _odds(of.change)


def _odds(change: float) -> str:
    return f"{math.expm1(change) * 100:+.0f} %"
