"""A model card as a document: purpose, data, gate, quality, slices, importance, limits."""

from collections.abc import Iterator, Sequence

from flows.pages.document import Block, Heading, Items, Paragraph, Table, code
from flows.reports.calibration import groups_of
from flows.reports.card import ModelCard, Use
from flows.reports.card_quality import quality_blocks
from flows.reports.figures import between, figure, length, period, share
from flows.reports.purpose import purpose_of
from flows.reports.title_text import title_words
from flows.terminal.time_format import format_time
from models.refit.fit_record import TITLES, FitRecord
from models.refit.found_by import found_by, part_of
from models.scorecard import Scorecard, constant_log_loss
from state.events import DAY_US
from state.settings import Settings
from state.stream import Stream

_FEW_LABELS, _FEW_POSITIVES = 1_000, 100
_YEAR_US = 365 * DAY_US


def card_blocks(card: ModelCard, stream: Stream, settings: Settings) -> list[Block]:
    """The document of a card.

    Args:
        card: The facts.
        stream: The stream.
        settings: `stream`, `decision` and `risk` apply.
    """
    blocks: list[Block] = [Items(list(_in_short(card)))]
    blocks += [Heading("Purpose"), *map(Paragraph, purpose_of(stream, settings.stream))]
    blocks += [Heading("Data"), *_data(card)]
    blocks += [Heading("Why it was promoted" if _was_used(card) else "Why it was not used")]
    blocks += _gate(card)
    if card.use is not None:
        blocks += quality_blocks(card, card.use, settings)
    blocks += [Heading("Limits"), Items(list(_limits(card, stream)))]
    blocks += [Heading("Fit and file"), *_fit(card.record)]
    return blocks


def _was_used(card: ModelCard) -> bool:
    return any(one.status == "promoted" for one in card.decisions)


def _in_short(card: ModelCard) -> Iterator[str]:
    record, use = card.record, card.use
    if card.in_use:
        yield "In use: the newest offline model, one part of the answers, weighed by the mixture."
    elif card.next_model is not None:
        after = card.next_model
        yield f"Replaced by {code(after.model)} at {format_time(after.boundary)} UTC."
    else:
        yield f"Never used: it was {record.status}."
    yield from _title(card)
    if use is None:
        yield (
            "No request that it answered has got its label yet."
            if _was_used(card)
            else ("It has answered no request.")
        )
        return
    whole = use.scorecard.quality[-1]
    auc = f", AUC {figure(whole.auc.value)} ({between(whole.auc)})" if whole.auc else ""
    loss = "" if whole.log_loss is None else f"log-loss {figure(whole.log_loss, 4)}"
    yield f"On {use.labelled:,} labelled requests that it answered: {loss}{auc}."
    rate = whole.positives / whole.requests if whole.requests else 0.0
    base = constant_log_loss(rate)
    if whole.log_loss is not None and base > 0:
        word = "below" if whole.log_loss <= base else "ABOVE"
        yield (
            f"That is {share(abs(1 - whole.log_loss / base))} {word} the log-loss of always saying "
            f"the share of label 1, {share(rate)}."
        )
    groups = groups_of(use.scorecard)
    off = sum(group.is_off for group in groups)
    yield (
        f"Calibration: in {off} of {len(groups)} groups the probability is off beyond its "
        f"interval; the mean error is {figure(whole.calibration_error)}."
    )
    drift = use.scorecard.drift
    if drift:
        yield (
            f"Drift: {len(drift):,} periods in which its answers were off, the last from "
            f"{format_time(drift[-1].since)} UTC."
        )
    else:
        yield "Drift: none was found while it answered."
    bad = [one for one in use.slices.worst if one.is_worse or one.is_off]
    yield (
        f"{len(bad)} of {use.slices.looked_at:,} slices are worse or off beyond chance."
        if use.slices.looked_at
        else "No slice has enough requests to be judged."
    )


def _title(card: ModelCard) -> Iterator[str]:
    if card.champion == card.record.model:
        yield "It is the champion: no other model in use is proven better."
    elif card.in_use and card.champion is not None:
        yield f"The champion is {code(card.champion)}: this one is not proven better, nor worse."
    titles = [one for one in card.decisions if one.status in TITLES]
    if titles:
        yield f"{title_words(titles[-1])} (labels up to {format_time(titles[-1].time)} UTC)."


def _data(card: ModelCard) -> Iterator[Block]:
    window = card.record.window
    if window is None:
        return
    yield Paragraph(
        f"Requests of {period(window.start, window.end)}, {length(window.end - window.start)}: "
        f"{window.rows:,} labelled rows, of which the newest {window.validation_rows:,} judged the "
        "candidates. The rows are the vectors that were scored at the time of each request. They "
        "came from these files, cut from `outcomes`; those of a file that are older or newer than "
        "the window are left out:"
    )
    rows = ("-" if one.rows is None else f"{one.rows:,}" for one in card.files)
    yield Table(
        ["file", "rows", "sha256"],
        [[code(f.path), n, code(f.sha256)] for f, n in zip(card.files, rows, strict=True)],
    )


def _gate(card: ModelCard) -> Iterator[Block]:
    record = card.record
    reason = f": {record.reason}" if record.reason else ""
    error = " (± is one standard error)" if "±" in reason else ""
    yield Paragraph(f"At {format_time(record.boundary)} UTC it was {record.status}{reason}{error}.")
    if record.champion:
        rows = " on rows that are new to both, the same for both" if record.champion_metrics else ""
        yield Paragraph(f"It was compared with {code(record.champion)}{rows}.")
    if record.metrics is not None:
        shown = [("this model", record.metrics)]
        if record.champion_metrics is not None:
            shown.append((code(record.champion), record.champion_metrics))
        yield Table(
            ["model", "rows", "label 1", "log-loss", "AUC", "Brier", "best F1"],
            [[name, *_cells(metrics)] for name, metrics in shown],
        )
    if len(card.decisions) > 1:
        yield Paragraph("All decisions on it:")
        yield Table(
            ["time", "decision", "reason"],
            [
                [format_time(d.time), d.status, title_words(d) if d.status in TITLES else d.reason]
                for d in card.decisions
            ],
        )


def _cells(of: Scorecard) -> list[str]:
    return [
        f"{of.rows:,}", f"{of.positives:,}", figure(of.log_loss, 4), figure(of.auc, 4),
        figure(of.brier, 4), figure(of.f1, 4),
    ]  # fmt: skip


def _limits(card: ModelCard, stream: Stream) -> Iterator[str]:
    window, metrics, use = card.record.window, card.record.metrics, card.use
    if window is not None and window.end - window.start < _YEAR_US:
        yield (
            f"It has seen {length(window.end - window.start)} only, up to "
            f"{format_time(window.end)} UTC: no season outside of them."
        )
    if metrics is not None:
        few = min(metrics.positives, metrics.rows - metrics.positives)
        if few < _FEW_POSITIVES:
            yield f"Only {few:,} rows of the rarer label judged it: the gate's figures are coarse."
    if use is not None and use.labelled < _FEW_LABELS:
        yield f"Only {use.labelled:,} of its answers have a label: the figures above are coarse."
    if use is not None:
        for name, count in use.unseen.items():
            part = share(count.hits / count.rows)
            yield (
                f"{count.hits:,} requests ({part}) had a level of {code(name)} that it was not "
                "fitted on; it took that as missing."
            )
    yield _silence(use, stream)
    yield "It learns nothing more after its fit; the online and residual models correct it."
    if use is None:
        yield "There are no live figures for it: those of the gate are all that is known."


def _silence(use: Use | None, stream: Stream) -> str:
    silence = stream.label.silence
    if silence is None:
        return "Requests without a label in time are left out: if these differ, it does not know."
    rule = f"A request without a label by its deadline counts as {int(silence)}"
    if use is None or use.silent.value is None:
        return f"{rule}; the share of these is not known here."
    return f"{rule}: some {share(use.silent.value)} of the labels came that way, by a sample."


def _fit(record: FitRecord) -> Iterator[Block]:
    yield Paragraph(
        f"Algorithm {code(record.algorithm)}. {found_by(record)} The candidates, and their "
        "log-loss on the validation rows:"
    )
    thinned = any(one.thinning > 1 for one in record.tried)
    yield Table(
        ["candidate", "trees", "window", *(["rows"] if thinned else []), "log-loss", "parameters"],
        [
            [
                str(i),
                "-" if one.trees is None else f"{one.trees:,}",
                length(one.window) if one.window else "all",
                *([part_of(one.thinning)] if thinned else []),
                figure(one.log_loss, 4),
                code(_settings(one.parameters)),
            ]
            for i, one in enumerate(record.tried, 1)
        ],
    )
    certificate = record.certificate
    if certificate is not None:
        word = "the same" if certificate.ok else "NOT the same"
        yield Paragraph(
            f"Its probabilities here and in H2O are {word}: on {certificate.rows:,} rows, "
            f"{certificate.altered_rows:,} of them with missing values and unseen levels, the "
            f"largest difference was {certificate.max_difference:.1e}."
        )
    hashes: Sequence[tuple[str, str]] = (
        ("model file", record.sha256),
        ("rows to verify it by", record.rows_sha256),
    )
    shown = [[name, code(digest)] for name, digest in hashes if digest]
    if shown:
        yield Table([f"file of {record.size_bytes:,} bytes", "sha256"], shown)


def _settings(parameters: dict[str, int | float | str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(parameters.items()))
