"""The pictures of a report, each with a table of the same figures."""

from collections.abc import Sequence

import numpy as np

from flows.pages.chart import Line, Span, Strip, areas, lines, strips
from flows.pages.document import Key, Picture, Table
from flows.reports.answers import FROZEN
from flows.reports.figures import between, figure, several, share
from flows.reports.periods import values
from flows.reports.report import PARTS, Report
from flows.reports.title_text import TITLE_EVENTS, title_words
from flows.terminal.time_format import format_time
from models.judging.drift import MEANINGS
from models.judging.histograms import Estimate
from models.judging.intervals import Counted, exact_interval
from models.refit.fit_record import TITLES

NAMES = {
    "probability": "the answers",
    "online": "online learners alone",
    "offline": "offline model alone",
    "residual": "offline model, corrected",
    FROZEN: "the first model, never replaced",
    "base": "always the same probability",
    "foreseen": "expected before labels",
}
_COLOURS = {
    "probability": "c1", FROZEN: "c2", "online": "c3", "offline": "c4", "residual": "c6",
    "base": "c5", "foreseen": "c2",
}  # fmt: skip
_MOST_EVENTS, _MOST_WORDS = 300, 300
"""Most rows of the table of events, and characters of each: a noisy log must fit into the page."""
_WEIGHTS = {
    "online": ("online learners", "c3"),
    "newest": ("newest offline model", "c1"),
    "older": ("the model before it", "c7"),
    "stacks": ("stacks of all these", "c6"),
}


def loss_picture(report: Report) -> Picture:
    """Log-loss of the answers, of the frozen first model and of always the same probability."""
    shown = [("base", report.base_loss), (FROZEN, report.loss[FROZEN])]
    found = [_line(name, of) for name, of in shown if any(of)]
    found.append(_line("probability", report.loss["probability"], band=True))
    columns = [*shown, ("probability", report.loss["probability"])]
    return _picture(
        report,
        "Log-loss of the answers over time",
        "How wrong the probabilities were (log-loss): lower is better. The band is the 95 % "
        "interval of the answers.",
        found,
        [(NAMES[name], [figure(v, 4) for v in values(of)]) for name, of in columns if any(of)]
        + [("95 % interval", [between(one, 4) for one in report.loss["probability"]])],
        [(name, of) for name, of in columns if any(of)],
    )


def parts_picture(report: Report) -> Picture | None:
    """By how much the answers were better than each of their parts; None: there are no figures."""
    ours = report.loss["probability"]
    shown = []
    for name in PARTS:
        of = [
            None if a is None or b is None else Estimate(b.value - a.value, 0.0, 0.0)
            for a, b in zip(ours, report.loss[name], strict=True)
        ]
        if any(of):
            shown.append((name, of))
    if not shown:
        return None
    return _picture(
        report,
        "Log-loss of each part minus that of the answers",
        "By how much each part alone was worse than the answers (log-loss): above the dashed line "
        "at 0 the answers were better.",
        [_line(name, of) for name, of in shown],
        [(NAMES[name], [figure(v, 4) for v in values(of)]) for name, of in shown],
        shown,
        zero=True,
    )


def auc_picture(report: Report) -> Picture | None:
    """AUC of the answers and their parts; None: no period has both labels."""
    names = [name for name in (*PARTS, "probability") if any(report.auc[name])]
    if not any(report.auc["probability"]):
        return None
    return _picture(
        report,
        "AUC of the answers and of their parts over time",
        "How well the answers tell label 1 from label 0 (AUC): 1 is perfect, 0.5 is no better than "
        "tossing a coin. The band is the 95 % interval of the answers.",
        [_line(name, report.auc[name], band=name == "probability") for name in names],
        [(NAMES[name], [figure(v) for v in values(report.auc[name])]) for name in names]
        + [("95 % interval", [between(one) for one in report.auc["probability"]])],
        [(name, report.auc[name]) for name in names],
    )


def estimates_picture(report: Report) -> Picture | None:
    """Picture of the AUC expected before labels and of that which came; None: nothing to show."""
    came = report.auc["probability"]
    if not any(a and b for a, b in zip(report.foreseen, came, strict=True)):
        return None
    both = [("foreseen", report.foreseen), ("probability", came)]
    return _picture(
        report,
        "AUC that was to be expected before the labels, and AUC that came",
        "The AUC to be expected by the probabilities alone, with its 95 % interval as a band, and "
        "the AUC by the labels that came.",
        [_line(name, of, band=name == "foreseen") for name, of in both],
        [(NAMES[name], [figure(v) for v in values(of)]) for name, of in both]
        + [("95 % interval", [between(one) for one in report.foreseen])],
        both,
    )


def weights_picture(report: Report) -> Picture | None:
    """Weights of the mixture; None: there are no metrics."""
    if not report.weights:
        return None
    times = [start + report.periods.length // 2 for start, _ in report.weights]
    shown = [(name, [of[name] for _, of in report.weights]) for name in _WEIGHTS]
    return Picture(
        areas(
            "Weights of the mixture over time",
            _span(report),
            times if len(times) > 1 else [_span(report).begin, _span(report).end],
            [(_WEIGHTS[name][1], of if len(times) > 1 else of * 2) for name, of in shown],
        ),
        "How much each kind of model counts in the answers. The mixture moves weight to what "
        "predicts best.",
        [Key(text, colour) for text, colour in _WEIGHTS.values()],
        Table(
            [_from(report), *(text for text, _ in _WEIGHTS.values())],
            [
                [format_time(start), *(share(of[name]) for name in _WEIGHTS)]
                for start, of in report.weights
            ],
        ),
    )


def events_picture(report: Report) -> Picture:
    """Decisions on models, rollbacks, drift and alerts on one axis."""
    found: dict[str, list[tuple[int, str]]] = {}
    for one in report.decisions:
        title = one.status in TITLES
        name = TITLE_EVENTS[one.status] if title else f"model {one.status}"
        words = title_words(one) if title else f"{one.model} {one.reason}".strip()
        found.setdefault(name, []).append((one.time, words))
    for time in report.rollbacks:
        found.setdefault("rolled back by a person", []).append((time, ""))
    for drift in report.scorecard.drift:
        words = f"{MEANINGS[drift.kind]}, {drift.labels:,} labels, log-loss {drift.excess:+.4f}"
        found.setdefault("answers were off (drift)", []).append((drift.since, words))
    for alert in report.alerts:
        kind = f"alert: {alert.kind.replace('_', ' ')}"
        found.setdefault(kind, []).append((alert.time, alert.message))
    colours = ["c3", "c2", "c4", "c6", "c7"]
    span = _span(report)
    shown = [
        Strip(
            name,
            "c8" if name.startswith(("answers", "alert")) else colours[i % len(colours)],
            [time for time, _ in of if span.begin <= time <= span.end],
        )
        for i, (name, of) in enumerate(found.items())
    ]
    rows = sorted((time, name, words) for name, of in found.items() for time, words in of)
    left = len(rows) - _MOST_EVENTS
    older = f" The table has the newest {_MOST_EVENTS} of {len(rows):,}." if left > 0 else ""
    return Picture(
        strips("Refits, drift and alerts over time", span, shown),
        "Each mark is one event, on the same time axis as above; each row has its number of events."
        + older
        if shown
        else "Nothing happened: no refit was due, no drift was found, and there was no alert.",
        [],
        Table(
            ["time", "event", "details"],
            [[format_time(t), n, _cut(w) or "-"] for t, n, w in rows[-_MOST_EVENTS:]],
        ),
    )


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_WORDS else f"{text[: _MOST_WORDS - 1]}…"


def labels_picture(report: Report) -> Picture:
    """Share of label 1, the mean probability, and the share of labels by silence."""
    counts = report.periods.counts()
    ones = [int(n) for n in _sums(report)]
    came: list[Estimate | None] = [
        exact_interval(Counted(k, int(n))) if n >= 20 else None
        for k, n in zip(ones, counts, strict=True)
    ]
    silent = [of.value for of in report.silent]
    found = [Line("c2", values(report.said)), _line("probability", came, band=True)]
    keys = [Key("mean probability that was said", "c2"), Key("share of label 1 that came", "c1")]
    columns = [
        ("requests", [f"{n:,}" for n in counts]),
        ("label 1 came", [share(v) for v in values(came)]),
        ("said", [share(v) for v in values(report.said)]),
    ]
    if any(silent):
        found.append(Line("c4 dash", silent))
        keys.append(Key("dashed: share of labels by silence, by a sample", "c4"))
        columns.append(("by silence", [share(v) for v in silent]))
    return Picture(
        lines(
            "Share of label 1 and of labels by silence over time",
            _span(report),
            report.periods.middles,
            found,
            limits=(0.0, _top(found)),
            percent=True,
        ),
        "How often label 1 came and how often it was said: the two should be close.",
        keys,
        _table(report, columns),
    )


def saved_picture(report: Report, unit: str) -> Picture:
    """Cost saved so far against always the same decision, and against the frozen model."""
    names = ["base", *([FROZEN] if report.wins[FROZEN] is not None else [])]
    word = "yes" if report.always else "no"
    texts = {"base": f"against always deciding {word!r}", FROZEN: "against the first model"}
    ends = [start + report.periods.length for start in report.periods.starts]
    return Picture(
        lines(
            f"{unit.capitalize()} saved so far",
            Span(report.periods.starts[0], ends[-1]),
            ends,
            [Line(_COLOURS[name], report.saved[name]) for name in names],
            zero=True,
        ),
        f"{unit.capitalize()} saved so far by the answers. While a line rises, they decide better "
        "than the other way.",
        [Key(texts[name], _COLOURS[name]) for name in names],
        _table(
            report, [(texts[name], [f"{v:,.0f}" for v in report.saved[name]]) for name in names]
        ),
    )


def _picture(
    report: Report,
    title: str,
    caption: str,
    found: Sequence[Line],
    columns: Sequence[tuple[str, Sequence[str]]],
    keys: Sequence[tuple[str, object]],
    *,
    zero: bool = False,
) -> Picture:
    return Picture(
        lines(title, _span(report), report.periods.middles, found, zero=zero),
        caption,
        [Key(NAMES[name], _COLOURS[name]) for name, _ in keys],
        _table(report, columns),
    )


def _line(name: str, of: Sequence[Estimate | None], *, band: bool = False) -> Line:
    low = [None if one is None else one.low for one in of] if band else ()
    high = [None if one is None else one.high for one in of] if band else ()
    return Line(_COLOURS[name], values(of), low, high)


def _table(report: Report, columns: Sequence[tuple[str, Sequence[str]]]) -> Table:
    cells = zip(*(of for _, of in columns), strict=True)
    return Table(
        [_from(report), *(name for name, _ in columns)],
        [[format_time(t), *row] for t, row in zip(report.periods.starts, cells, strict=True)],
    )


def _from(report: Report) -> str:
    return f"{several(report.periods.length)} from"


def _span(report: Report) -> Span:
    starts = report.periods.starts
    return Span(starts[0], starts[-1] + report.periods.length)


def _top(found: Sequence[Line]) -> float:
    shown = [v for line in found for v in (*line.points, *line.high) if v is not None]
    return min(1.0, max([0.05, *shown]) * 1.05)


def _sums(report: Report) -> Sequence[float]:
    found: list[float] = np.bincount(
        report.periods.of, report.labels, len(report.periods.starts)
    ).tolist()
    return found
