"""The part of a model card on the model's own answers."""

from collections.abc import Iterator

from flows.pages.document import Block, Heading, Items, Paragraph, Table, code
from flows.reports.calibration import calibration_picture, groups_of
from flows.reports.card import ModelCard, Use
from flows.reports.figures import between, figure, period, share, shares_between
from flows.reports.scorecard import ScorecardReport
from flows.reports.trust_text import trust_lines
from flows.terminal.time_format import format_time
from models.judging.drift import MEANINGS
from models.judging.intervals import exact_interval
from models.judging.slices import LEAST_ROWS, Slice
from models.refit.gate import short
from state.settings import Settings

_MOST_SLICES, _MOST_COLUMNS, _MOST_FINDINGS = 12, 15, 12
_LEAST_RISE = 0.000_05


def quality_blocks(card: ModelCard, use: Use, settings: Settings) -> Iterator[Block]:
    """Quality, calibration, slices, importance and drift, each below its heading.

    Args:
        card: The facts.
        use: Answers of the model.
        settings: `decision` and `risk` apply.
    """
    yield Heading("Quality of its answers")
    yield from _quality(use, settings)
    yield Heading("Calibration")
    yield from _calibration(use.scorecard)
    yield Heading("Worst slices")
    yield from _slices(use)
    yield Heading("Importance of the columns")
    yield from _importance(card, use)
    yield Heading("Drift while it answered")
    yield from _drift(use.scorecard)


def _quality(use: Use, settings: Settings) -> Iterator[Block]:
    report, of = use.scorecard, settings.decision
    whole = report.quality[-1]
    waiting = use.requests - use.labelled
    yield Paragraph(
        f"It answered {use.requests:,} requests, from {period(use.first, use.last)}; "
        f"{use.labelled:,} count here"
        + (f", {waiting:,} have no label or an older one waits." if waiting else ".")
        + " All figures are of its own probabilities, not of the ensemble's."
    )
    rows = [
        ["AUC", figure(whole.auc and whole.auc.value), between(whole.auc), f"{use.labelled:,}"],
        ["log-loss", figure(whole.log_loss, 4), "-", f"{use.labelled:,}"],
        ["calibration error", figure(whole.calibration_error), "-", f"{use.labelled:,}"],
    ]
    for name, count in use.decisions.items():
        if count.rows:
            found = exact_interval(count)
            rows.append([name, share(found.value), shares_between(found), f"{count.rows:,}"])
    yield Table(["measure", "value", "95 % interval", "requests"], rows)
    yield Paragraph(
        f"A decision is positive from a probability of {of.threshold:g} on. Precision is the share "
        "of label 1 in positive decisions, recall the share of positive decisions in label 1, "
        "false positives their share in label 0. The calibration error (ECE) is the mean distance "
        "between the probability that was said and the share of label 1 that came."
    )
    if len(report.quality) > 1:
        yield Paragraph("Its newest answers against all of them, which shows how it ages:")
        yield Table(
            ["last", "requests", "label 1", "log-loss", "AUC", "95 % interval"],
            [
                [
                    one.window or "all", f"{one.requests:,}", share(one.positives / one.requests),
                    figure(one.log_loss, 4), figure(one.auc and one.auc.value), between(one.auc),
                ]
                for one in report.quality
                if one.requests
            ],
        )  # fmt: skip
    yield Paragraph(
        "From where its answers can be trusted, by exact binomial bounds, each with a confidence "
        f"of {settings.accepted_risk.confidence:.0%}:"
    )
    act, let_go, unsure = trust_lines(report.trust, settings.accepted_risk)
    yield Items([f"act on a positive: {act}", f"let a negative go: {let_go}", f"unsure: {unsure}"])


def _calibration(report: ScorecardReport) -> Iterator[Block]:
    groups = groups_of(report)
    off = sum(group.is_off for group in groups)
    yield Paragraph(
        f"By tenths of the requests. In {off} of {len(groups)} groups the mean probability is "
        "outside the exact 95 % interval of the share of label 1; one in twenty is so by chance."
    )
    yield calibration_picture(
        report,
        "Across: the probability that was said. Up: the share of label 1 that came, with its "
        "interval. On the dashed line both are equal.",
    )


def _slices(use: Use) -> Iterator[Block]:
    found = use.slices
    if not found.looked_at:
        yield Paragraph(
            f"No level of a category has {LEAST_ROWS} labelled requests, so no slice was judged."
        )
        return
    yield Paragraph(
        f"A slice is the requests with one level of one category. {found.looked_at:,} slices with "
        f"at least {LEAST_ROWS} requests were looked at; {found.too_small:,} were too small. The "
        "intervals are exact and hold for all slices together with a confidence of 95 %, so that "
        "the worst of many is not called bad by chance. "
        f"In all requests {share(found.wrong)} of the decisions were wrong."
    )
    yield Table(
        ["slice", "requests", "wrong decisions", "interval", "said", "label 1 came", "interval",
         "finding"],
        [_slice_cells(one) for one in found.worst[:_MOST_SLICES]],
    )  # fmt: skip


def _slice_cells(one: Slice) -> list[str]:
    level = "missing" if one.level is None else code(one.level)
    findings = []
    if one.is_worse:
        findings.append("more wrong decisions")
    if one.is_off:
        findings.append("said too low" if one.said < one.came.value else "said too high")
    return [
        f"{code(one.column)} {level}", f"{one.requests:,}", share(one.wrong.value),
        shares_between(one.wrong), share(one.said), share(one.came.value),
        shares_between(one.came), " and ".join(findings) or "within chance",
    ]  # fmt: skip


def _importance(card: ModelCard, use: Use) -> Iterator[Block]:
    if not use.importance:
        reason = card.file.reason or "the outcomes lack one of its columns"
        yield Paragraph(f"Not known: {reason}")
        return
    useless = sum(one.rise < _LEAST_RISE for one in use.importance)
    yield Paragraph(
        "How much worse the log-loss becomes if a column's values are dealt to other requests. "
        "Columns that tell the same share their importance. "
        f"{useless:,} of {len(use.importance):,} columns made nothing better on these requests."
    )
    yield Table(
        ["column", "log-loss rises by"],
        [
            [code(one.column), short(one.rise)]
            for one in use.importance[:_MOST_COLUMNS]
            if one.rise >= _LEAST_RISE
        ],
    )


def _drift(report: ScorecardReport) -> Iterator[Block]:
    if not report.drift:
        yield Paragraph("No period was found in which its answers were off.")
        return
    worst = sorted(report.drift, key=lambda one: -one.excess * one.labels)[:_MOST_FINDINGS]
    yield Paragraph(
        f"{len(report.drift)} periods in which its answers were off; those that cost most first."
    )
    yield Table(
        ["since", "labels", "log-loss above expected", "finding"],
        [
            [format_time(one.since), f"{one.labels:,}", f"{one.excess:+.4f}", MEANINGS[one.kind]]
            for one in worst
        ],
    )
