"""A model card tells what the log holds on a model, and nothing else."""

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import msgspec
import numpy as np
import polars as pl
import pytest

from flows.__main__ import main
from flows.errors.user_errors import CommandError
from flows.home.home import Home, create_topics
from flows.reading import read
from flows.reports.card import find_model
from flows.terminal.time_format import format_time
from models.refit.fit_record import FitRecord, TrainingFile, TrainingWindow, TriedCandidate
from operators.training.model_registry import ModelRegistry
from tests.flows.reports.reported_world import begun, refused
from tests.settled import settle


@pytest.fixture
def world(tmp_path, monkeypatch):
    return begun(tmp_path, monkeypatch)


def card(capsys, *words):
    capsys.readouterr()
    assert main(["card", *words]) == 0
    return capsys.readouterr().out


def rows(text, heading):
    """The cells of the first table after a heading."""
    part = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_its_figures_are_those_of_the_requests_that_the_model_answered(world, capsys):
    text = card(capsys, "gbm-1")
    asked = read("predictions").filter(pl.col("model") == "gbm-1").collect()
    known = read("outcomes").filter(pl.col("model") == "gbm-1").collect()
    assert f"It answered {len(asked):,} requests" in text
    quality = {name: cells for name, *cells in rows(text, "Quality of its answers")}
    p, label = known["offline"].to_numpy(), known["label"].to_numpy()
    loss = -np.log(np.where(label == 1, p, 1 - p)).mean()
    assert quality["log-loss"][0] == f"{loss:.4f}"
    decided = p >= 0.5
    assert quality["right decisions"][0] == f"{(decided == label).mean() * 100:.1f} %"
    assert quality["false positives"][2] == f"{(label == 0).sum():,}"
    sizes = [int(cells[-1].replace(",", "")) for cells in rows(text, "Calibration")]
    assert sum(sizes) == len(known)


def test_it_says_why_it_was_promoted_and_what_came_after(world, capsys):
    first, second = card(capsys, "gbm-1"), card(capsys, "gbm-2")
    assert "Replaced by `gbm-2` at 2024-01-01 03:00 UTC." in first
    assert "In use: the newest offline model" in second
    assert (
        "At 2024-01-01 03:00 UTC it was promoted: log-loss better by .0043 ± .0018 than the "
        "champion's (± is one standard error)."
    ) in second
    assert "It was compared with `gbm-1` on rows that are new to both" in second
    assert "2,000 labelled rows, of which the newest 400 judged" in second
    assert "ab" * 32 in second
    assert f"| `1.parquet` | - | `{'ab' * 32}` |" in second
    assert "It has seen 2 hours only" in second
    assert "Only 90 rows of the rarer label judged it" in second


def test_it_says_how_its_parameters_were_found(world, capsys):
    assert "are those of the last winner, or the defaults if there was none" in card(
        capsys, "gbm-1"
    )
    assert rows(card(capsys, "gbm-1"), "Fit and file")[0] == [
        "1",
        "9",
        "all",
        "0.4100",
        "`ntrees=9`",
    ]


def test_it_says_on_how_many_rows_each_candidate_was_fitted(world, capsys):
    log = world.home.log()
    registry = ModelRegistry(log)
    found = registry.of("gbm-2")
    thin = msgspec.structs.replace(found.tried[0], thinning=16, log_loss=0.5)
    best = TriedCandidate(parameters={"ntrees": 8}, trees=8, log_loss=0.4)
    tried = [*found.tried, thin, best]
    registry.publish(msgspec.structs.replace(found, tried=tried, search="tpe"))
    log.close()
    text = card(capsys, "gbm-2")
    assert (
        "proposed by what earlier fits found: the best of 2 candidates on all rows, after" in text
    )
    assert [cells[3] for cells in rows(text, "Fit and file")[:3]] == ["all", "a sixteenth", "all"]


def test_it_says_which_model_has_the_title_and_how_it_got_it(world, capsys):
    first, second = card(capsys, "gbm-1"), card(capsys, "gbm-2")
    assert "- It is the champion: no other model in use is proven better." in first
    assert "- The champion is `gbm-1`: this one is not proven better, nor worse." in second
    boundary = ModelRegistry(world.log).decided()
    time = boundary + 1_800_000_000
    world.decide_title("proven", boundary, time)
    words = "`gbm-2` took the title of champion from `gbm-1` after 812 labels: better by .0043"
    first, second = card(capsys, "gbm-1"), card(capsys, "gbm-2")
    for text in (first, second):
        assert f"{words} in log-loss (labels up to {format_time(time)} UTC)." in text
        assert f"| {format_time(time)} | proven | {words}" in text
    assert "It is the champion" not in first
    assert "- It is the champion: no other model in use is proven better." in second
    world.decide_title("returned", boundary, time)
    words = "`gbm-1` is champion again after 812 labels: `gbm-2` was worse by .0121 in log-loss"
    for text in (card(capsys, "gbm-1"), card(capsys, "gbm-2")):
        assert f"{words} and answers no more" in text
    assert "In use: " in card(capsys, "gbm-1")
    assert f"- Replaced by `gbm-1` at {format_time(boundary)} UTC." in card(capsys, "gbm-2")


def test_what_is_wrong_with_it_stands_at_the_top(world, capsys):
    top = card(capsys, "gbm-1").split("## Purpose")[0]
    assert re.search(r"- Calibration: in \d+ of \d+ groups the probability is off", top)
    assert "- Drift: none was found while it answered." in top


def test_its_purpose_is_in_the_words_of_the_stream(world, capsys):
    text = card(capsys, "gbm-1")
    assert "Each event `asked` of the stream `trips`" in text


def test_without_a_name_it_is_the_newest_in_use_and_a_beginning_is_enough(world, capsys):
    assert card(capsys).startswith("# Model card: gbm-2\n")
    assert card(capsys, "gbm-2") == card(capsys)


def test_the_same_log_gives_the_same_bytes_also_as_a_page(world, capsys, tmp_path):
    pages = []
    for name in ("one.html", "other.html"):
        assert card(capsys, "gbm-1", "--html", name) == f"{name}: the card of gbm-1\n"
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]
    assert b"<svg" in pages[0]
    figures = re.findall(r"\d+\.\d{4}", card(capsys, "gbm-1"))
    assert figures
    assert all(one.encode() in pages[0] for one in figures)


def test_a_model_whose_file_was_lost_has_a_card_without_importance(world, capsys):
    path = world.home.root / "artifacts" / world.files["gbm-2"]
    path.unlink()
    text = card(capsys, "gbm-2")
    assert "## Importance of the columns\n\nNot known: model gbm-2 must have its file" in text
    assert rows(text, "Quality of its answers")


def test_a_model_that_answered_nothing_says_so_and_its_rows_are_found(world, capsys):
    (cut,) = read("snapshots").filter(pl.col("rows") > 20).head(1).collect().iter_rows(named=True)
    boundary = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) * 10**6
    log = world.home.log()
    ModelRegistry(log).publish(
        FitRecord(
            boundary=boundary, status="rejected", reason="worse", algorithm="gbm", model="gbm-3",
            champion="gbm-2", sha256=world.files["gbm-2"],
            window=TrainingWindow(
                start=boundary - 1, end=boundary, rows=9, validation_rows=2,
                files=[TrainingFile(name="x", sha256=cut["sha256"])],
            ),
        )
    )  # fmt: skip
    log.close()
    text = card(capsys, "gbm-3")
    assert f"| `{cut['path']}` | {cut['rows']:,} | `{cut['sha256']}` |" in text
    assert "- Never used: it was rejected.\n- It has answered no request.\n" in text
    assert "## Why it was not used" in text
    assert "Quality of its answers" not in text
    assert card(capsys).startswith("# Model card: gbm-2\n")


def test_an_unknown_model_is_refused_with_those_near_it(world, capsys):
    assert refused(capsys, "card", "gmb-1") == (
        "headwater: MODEL must be the id of one model; got 'gmb-1', near it are gbm-1, gbm-2"
    )
    assert "the newest are gbm-2, gbm-1" in refused(capsys, "card", "zz")
    assert "it begins gbm-1, gbm-2" in refused(capsys, "card", "gbm")


@pytest.mark.parametrize("verb", ["card", "report"])
def test_the_home_of_another_stream_is_refused_in_one_line(verb, world, tmp_path, capsys):
    (tmp_path / "headwater.toml").write_text('stream = "quotes"\n')
    assert re.fullmatch(
        r"headwater: record must be one of this topic; got 'Object contains unknown field "
        r"`\w+`' in outcomes/\d at offset \d+: another stream\?",
        refused(capsys, verb),
    )
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"\xff{", "outcomes/0 at offset"),
        (b"[" * 5_000, "outcomes/0 at offset"),
        (b"{}", "event time must be in each record of outcomes"),
    ],
)
def test_a_log_that_was_altered_is_refused_in_one_line(value, said, world, capsys):
    with closing(sqlite3.connect(world.home.root / "log/outcomes/0.db")) as database, database:
        change = "UPDATE records SET value = ? WHERE offset = (SELECT max(offset) FROM records)"
        database.execute(change, (value,))
    for verb in ("card", "report", *(["scorecard"] if value != b"{}" else [])):
        assert said in refused(capsys, verb)


def test_a_home_without_a_model_and_one_without_a_log_are_refused(tmp_path, monkeypatch, capsys):
    settle(tmp_path, monkeypatch, 'stream = "quotes"\n')
    assert refused(capsys, "card").startswith("headwater: home must hold a log")
    log = Home(tmp_path / "home").log()
    create_topics(log, 2)
    log.close()
    assert refused(capsys, "card").startswith("headwater: home must have a model; got none")


def test_of_decisions_without_a_promotion_the_newest_fit_is_shown():
    fits = [
        FitRecord(boundary=i, status="rejected", reason="", algorithm="gbm", model=f"gbm-{i}",
                  sha256="0" * 64)
        for i in range(3)
    ]  # fmt: skip
    assert find_model(fits, None).model == "gbm-2"
    with pytest.raises(CommandError, match="must have a model"):
        find_model([], None)
