"""The summary at the end fits the screen, and loses nothing on a narrow one."""

import io
import json
import re

import pytest
from rich.console import Console

from flows.home.home import Home, create_topics
from flows.runtime.summary import print_fits, print_summary
from models.refit.fit_record import FitRecord, TrainingWindow
from models.scorecard import Scorecard
from state.log import Entry

BOUNDARY_US = 1_358_208_000_000_000  # 2013-01-15 00:00 UTC
WEEK_US = 7 * 86_400_000_000
LONG = "H2OLost: H2O must answer; got none at http://127.0.0.1:54321 for GET /3/Jobs/" + "x" * 90
MODELS = ["gbm-8ca46f0dd1e2", "gbm-272c42db0007"]


def decision(number, status, reason="it was better", model="", log_loss=0.4171):
    card = Scorecard(
        rows=9, positives=1, log_loss=log_loss, auc=0.8, brier=0.1, f1=0.5, threshold=0.5
    )
    fitted = bool(model)
    return FitRecord(
        boundary=BOUNDARY_US + number * WEEK_US,
        status=status,
        reason=reason,
        algorithm="gbm",
        window=TrainingWindow(start=0, end=1, rows=1_234_567, validation_rows=9, files=[])
        if fitted
        else None,
        model=model,
        metrics=card if fitted else None,
        champion_metrics=card if fitted and number else None,
    )


FITS = [
    decision(0, "promoted", model=MODELS[0]),
    decision(1, "rejected", model=MODELS[1], log_loss=0.5013),
    decision(2, "failed", f"{LONG}\nand pages more"),
    decision(3, "skipped", "rows must be at least 2000; got 7 in the window"),
]


def printed(width, show, *given):
    file = io.StringIO()
    show(Console(file=file, width=width), *given)
    return file.getvalue().splitlines()


def test_the_fits_line_up_whole_in_80_columns():
    lines = printed(80, print_fits, FITS)
    assert lines[0] == "Boundaries: 4, models promoted: 1"
    table = [re.split(r"\s{2,}", line.strip()) for line in lines[1:6]]
    assert table == [
        ["boundary", "decision", "model", "rows", "log-loss", "champion's"],
        ["2013-01-15 00:00", "promoted", MODELS[0], "1,234,567", "0.4171", "-"],
        ["2013-01-22 00:00", "rejected", MODELS[1], "1,234,567", "0.5013", "0.5013"],
        ["2013-01-29 00:00", "failed", "-", "-", "-", "-"],
        ["2013-02-05 00:00", "skipped", "-", "-", "-", "-"],
    ]
    assert len({len(line) for line in lines[1:6]}) == 1
    assert max(map(len, lines)) <= 80


def test_a_reason_is_whole_and_widens_no_column():
    lines = printed(80, print_fits, FITS)
    short = printed(80, print_fits, [*FITS[:2], decision(2, "failed", "x"), FITS[3]])
    assert lines[:6] == short[:6]
    told = "".join(line[19:] for line in lines[7:]).replace(" ", "")
    assert told.startswith(LONG.replace(" ", ""))
    assert "pages" not in told
    assert lines[-1].strip() == "2013-02-05 00:00  rows must be at least 2000; got 7 in the window"


def test_of_boundaries_skipped_in_a_row_the_last_one_stands_for_all():
    few = [
        decision(n, "skipped", f"rows must be at least 2000; got {n} in the window")
        for n in (0, 1, 2)
    ]
    lines = printed(80, print_fits, [*few, decision(3, "promoted", model=MODELS[0]), few[0]])
    assert lines[0] == "Boundaries: 5, models promoted: 1"
    table = [re.split(r"\s{2,}", line.strip())[:3] for line in lines[2:5]]
    assert table == [
        ["2013-01-29 00:00", "skipped", "and 2 before"],
        ["2013-02-05 00:00", "promoted", MODELS[0]],
        ["2013-01-15 00:00", "skipped", "-"],
    ]
    assert [line.strip()[-31:] for line in lines[6:]] == [
        "least 2000; got 2 in the window",
        "least 2000; got 0 in the window",
    ]


@pytest.mark.parametrize("width", [40, 60, 79])
def test_a_narrow_terminal_folds_cells_and_loses_nothing(width):
    lines = printed(width, print_fits, FITS)
    assert max(map(len, lines)) <= width
    wide = printed(300, print_fits, FITS)
    assert sorted("".join(lines).replace(" ", "")) == sorted("".join(wide).replace(" ", ""))


def outcome(label, probability, online, offline=None):
    fields = {"probability": probability, "online": online, "offline": offline}
    return Entry(1, b"", json.dumps({**fields, "residual": offline, "label": label}).encode())


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture
def log(home):
    log = home.log()
    create_topics(log, 2)
    yield log
    log.close()


def quality(log, home):
    lines = printed(80, print_summary, log, [], home)
    return lines[0], {words[0]: words[1:] for line in lines[1:] if (words := line.split())}


def test_the_models_are_compared_on_what_all_of_them_scored(log, home):
    log.append("outcomes", 0, [outcome(1, 0.5, 0.5), outcome(0, 0.1, 0.9, 0.1)])
    log.append(
        "outcomes",
        1,
        [outcome(0, 0.4, 0.1, 0.5), outcome(1, 0.35, 0.2, 0.5), outcome(1, 0.8, 0.3, 0.5)],
    )
    title, rows = quality(log, home)
    assert title == "4 labelled requests that all models scored, of 5"
    # A published example: labels 0 0 1 1, guesses .1 .4 .35 .8: AUC 3/4, Brier .1581, F1 4/5.
    assert rows["ensemble"] == ["0.7500", "0.4723", "0.1581", "0.8000"]
    # Of four pairs two are right (.1 below .2 and .3) and two wrong (.9 above both).
    assert rows["online"][0] == "0.5000"
    # Two ties among four pairs, the others right: (2 + 2 / 2) / 4.
    assert rows["offline"][0] == rows["residual"][0] == "0.7500"


def test_before_the_first_offline_model_the_online_one_is_shown_alone(log, home):
    log.append("outcomes", 0, [outcome(0, 0.25, 0.25), outcome(1, 0.5, 0.5)])
    title, rows = quality(log, home)
    assert title == "2 labelled requests"
    assert rows["online"] == ["1.0000", "0.4904", "0.1562", "1.0000"]
    assert "offline" not in rows
    assert "ensemble" not in rows


def test_a_model_is_beside_one_that_always_answers_the_share_of_label_1(log, home):
    log.append("outcomes", 0, [outcome(0, 0.25, 0.25)] * 3 + [outcome(1, 0.5, 0.5)])
    # The entropy of a quarter, by hand: -(ln(1/4) + 3 ln(3/4)) / 4.
    said = "Label 1: 25.00%; to answer always that has log-loss 0.5623"
    assert said in printed(80, print_summary, log, [], home)


def test_without_labels_it_says_so(log, home):
    assert quality(log, home)[0] == "No request has got its label yet."


def test_only_the_newest_are_read_and_it_says_so(log, home):
    log.append("outcomes", 0, [outcome(1, 0.9, 0.9)] * 3 + [outcome(0, 0.25, 0.25)])
    log.append("outcomes", 1, [outcome(1, 0.5, 0.5)])
    letters = [Entry(1, b"", json.dumps({"reason": why}).encode()) for why in ("late", "late", "x")]
    log.append("dead_letters", 0, letters)
    lines = printed(80, print_summary, log, [], home, 3)
    assert lines[0] == "the newest 2 labelled requests"
    assert lines[2].split() == ["online", "1.0000", "0.4904", "0.1562", "1.0000"]
    assert "Dead letters: 3, of the newest 1: 1 x" in lines
    assert printed(80, print_summary, log, [], home)[0] == "5 labelled requests"
