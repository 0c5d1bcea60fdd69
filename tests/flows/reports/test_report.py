"""A report tells what the log holds, in words, figures and pictures."""

import re
import uuid

import msgspec
import numpy as np
import polars as pl
import pytest

from flows.__main__ import main
from flows.home.configuration import find_stream, load_settings
from flows.home.deployment import Deployment
from flows.home.home import Home, create_topics, environment_home
from flows.home.open_log import find_log
from flows.pages.page import page
from flows.reading import read
from flows.reports.answers import FROZEN, answers_of
from flows.reports.offline_model import effects
from flows.reports.report import report_of
from flows.reports.report_pictures import events_picture
from flows.reports.report_text import now, trouble
from flows.runtime.partitions import Partitions
from flows.streams.quotes_market import Market
from models.judging.drift import Finding
from models.mojo.model import read_mojo
from operators.shard.messages import Finish
from operators.training.model_registry import ModelRegistry
from state.outputs.records import Alert
from tests.flows.pages.test_document import Reader
from tests.flows.reports.reported_world import begun, refused
from tests.settled import settle


@pytest.fixture
def world(tmp_path, monkeypatch):
    return begun(tmp_path, monkeypatch)


@pytest.fixture
def opened(world):
    with Deployment.open(load_settings(), environment_home(), checkpoints=False) as deployment:
        yield deployment


def quiet(topic, done, total):
    assert done <= total, topic


def test_the_first_model_would_have_said_what_it_said_while_it_was_alone(opened):
    answers = answers_of(opened, None, None, quiet)
    rows = answers.found.rows
    models = read("predictions").select("partition", "offset", "model").collect()
    rows = rows.join(models, on=["partition", "offset"])
    by_first = rows.filter(pl.col("model") == "gbm-1")
    assert len(by_first) > 5
    assert by_first[FROZEN].to_list() == by_first["offline"].to_list()
    by_second = rows.filter(pl.col("model") == "gbm-2")
    assert len(by_second) > 5
    assert by_second[FROZEN].is_not_nan().all()
    assert (by_second[FROZEN] != by_second["offline"]).any()
    assert rows.filter(pl.col("model").is_null())[FROZEN].is_nan().all()


def test_the_effects_on_one_answer_are_those_of_the_model_that_gave_it(opened):
    row = read("outcomes").filter(pl.col("model") == "gbm-1").head(1).collect()
    found = {one.column: one.change for one in effects(opened, row)}
    mojo = read_mojo(opened.home.artifacts().get(opened.registry.of("gbm-1").sha256))
    assert {*found} == {*mojo.columns}
    without = row.with_columns(zone=pl.lit(None, pl.String))
    p, q = (float(mojo.score_many(mojo.encode(one.to_dict()))[0]) for one in (row, without))
    assert p == row["offline"].item()
    assert found["zone"] == pytest.approx(np.log(p / (1 - p)) - np.log(q / (1 - q)))
    early = read("outcomes").filter(pl.col("model").is_null()).head(1).collect()
    assert effects(opened, early) == []


def test_vectors_of_two_days_are_kept_and_no_older_ones(opened):
    answers = answers_of(opened, None, None, quiet)
    times = answers.recent["event_time"]
    assert (times.max() - times.min()).days <= 2
    assert {"zone", "label"} <= {*answers.recent.columns}


def test_its_figures_are_those_of_the_outcomes(opened):
    report = report_of(opened, None, None, quiet)
    known = read("outcomes").collect()
    assert len(report.labels) + report.answers.found.waiting == len(known)
    rows = report.answers.found.rows
    assert report.share == rows["label"].mean()
    p, y = rows["probability"].to_numpy(), rows["label"].to_numpy()
    loss = -np.where(y == 1, np.log(p), np.log1p(-p)).mean()
    base = report.wins["base"]
    assert base.ours == pytest.approx(loss)
    s = report.share
    assert base.theirs == pytest.approx(-(s * np.log(s) + (1 - s) * np.log(1 - s)))
    assert base.our_cost == ((p >= 0.5) != (y == 1)).sum()
    assert base.their_cost == min(y.sum(), (1 - y).sum())
    assert report.saved["base"][-1] == base.their_cost - base.our_cost
    decided = [one.status for one in report.decisions]
    assert decided.count("promoted") == 2


def test_the_events_of_a_noisy_log_fit_into_a_page(opened):
    report = report_of(opened, None, None, quiet)
    begin, step = report.periods.starts[0], 1_000_000
    noise = [Alert("clock_skew", begin + i * step, "ä" * 5_000, "") for i in range(2_000)]
    picture = events_picture(report._replace(alerts=noise))
    size = len(page("x", [picture]).encode())
    assert size < 250_000
    assert f"newest 300 of {2_000 + _others(report):,}" in picture.caption
    assert len(picture.table.rows) == 300
    assert "clock skew: 2,000" in picture.svg


def _others(report):
    return len(report.decisions) + len(report.rollbacks) + len(report.scorecard.drift)


def test_it_tells_who_has_the_title_and_marks_when_it_went(world, capsys, tmp_path):
    def told():
        written(capsys)
        return Reader((tmp_path / "report.html").read_text().removeprefix("<!doctype html>")).text

    assert "The champion is gbm-1, as the newest one is not proven better yet." in told()
    log = world.home.log()
    boundary, time = ModelRegistry(log).decided(), ModelRegistry(log).of("gbm-2").boundary
    log.close()
    world.decide_title("proven", boundary, time)
    text = told()
    words = "gbm-2 took the title of champion from gbm-1 after 812 labels: better by .0043"
    assert ", 1 proven better." in text
    assert f"UTC: {words} in log-loss." in text
    assert "The champion is gbm-2, the newest model too." in text
    assert "a model took the title" in text
    world.decide_title("returned", boundary, time + 1)
    text = told()
    assert "1 proven better, 1 title given back." in text
    assert "The champion is gbm-1, the newest model too." in text
    assert "the title went back" in text


def test_the_latest_log_loss_is_called_worse_only_beyond_its_interval(opened):
    report = report_of(opened, None, None, quiet)
    rows, newest = report.answers.found.rows, report.scorecard.quality[-1]
    n = 20
    p, y = rows["probability"].to_numpy()[-n:], rows["label"].to_numpy()[-n:]
    losses = -np.where(y == 1, np.log(p), np.log1p(-p))
    error = 1.96 * losses.std(ddof=1) / np.sqrt(n)
    of_late = msgspec.structs.replace(newest, window="1h", requests=n)

    def said(before):
        whole = msgspec.structs.replace(newest, log_loss=before)
        card = msgspec.structs.replace(report.scorecard, quality=[of_late, whole])
        return next(now(report._replace(scorecard=card), least=n))

    mean = losses.mean()
    interval = f"(95 % interval {mean - error:.4f} to {mean + error:.4f})"
    assert f"{interval}, by its interval not different from that over" in said(mean + error / 2)
    assert f"{interval}, worse than over the whole time" in said(mean - 2 * error)
    assert f"{interval}, better than over the whole time" in said(mean + 2 * error)


def test_marks_of_drift_are_explained(opened):
    report = report_of(opened, None, None, quiet)
    found = [Finding(kind, 0, 9, 0.1) for kind in ("too sure", "too sure", "more positives")]
    card = msgspec.structs.replace(report.scorecard, drift=found)
    (text, *_) = trouble(report._replace(scorecard=card), load_settings())
    assert (
        "answers surer than they should be: 2, label 1 more often than said: 1. If nothing were "
        "wrong, one mark would come in 365 days at most"
    ) in text.text


def written(capsys, *words):
    capsys.readouterr()
    assert main(["report", *words]) == 0
    return capsys.readouterr().out


def test_the_page_is_the_same_bytes_for_the_same_log_and_stands_alone(world, capsys, tmp_path):
    said = [written(capsys, "--out", name) for name in ("one.html", "deep/other.html")]
    assert re.fullmatch(r"one\.html: \d+ kB, \d+ requests\n", said[0])
    one, other = (tmp_path / name for name in ("one.html", "deep/other.html"))
    assert one.read_bytes() == other.read_bytes()
    assert one.stat().st_size < 500_000
    text = one.read_text("utf-8")
    found = Reader(text.removeprefix("<!doctype html>"))
    assert "script" not in found.tags
    assert not re.search(r"url\(|@import|https?:|src=|href=", text)
    assert found.tags.count("svg") == found.tags.count("details") >= 6
    assert not re.search(r'="[^"]*\b(nan|inf)\b', text)
    assert "In short" in found.text
    assert "Decisions on models: " in found.text
    assert "2 promoted" in found.text


def test_a_first_model_whose_file_was_lost_is_named_and_all_else_is_there(world, capsys, tmp_path):
    (world.home.root / "artifacts" / world.files["gbm-1"]).unlink()
    written(capsys)
    text = Reader((tmp_path / "report.html").read_text().removeprefix("<!doctype html>")).text
    assert "No comparison with the first model gbm-1: model gbm-1 must have its file" in text
    assert "Are the answers getting better?" in text


def test_a_time_without_labels_is_refused_in_one_line_and_leaves_no_file(world, capsys, tmp_path):
    assert refused(capsys, "report", "--from", "2030-01-01") == (
        "headwater: log must hold a labelled request of the time asked for; got none from "
        "2030-01-01 00:00 to now"
    )
    assert "to 1999-01-01 00:00" in refused(capsys, "report", "--to", "1999-01-01")
    assert not (tmp_path / "report.html").exists()


QUOTES = """
stream = "quotes"
partitions = 2
[training]
trainer = "external"
wait = false
[decision]
false_negative = 3.0
"""


@pytest.fixture
def quotes(tmp_path, monkeypatch):
    """Quotes of an hour in a home without any model."""
    settle(tmp_path, monkeypatch, QUOTES)
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(Market(seed=2, rate_per_s=0.8).events(1.0)))
    return tmp_path


def processed():
    """The flow reads all events of the log that the settings name."""
    settings, stream = load_settings(), find_stream("quotes")
    log = find_log(settings, environment_home())
    flow = Partitions(settings, stream, log, environment_home())
    for partition in range(2):
        live = flow.open(partition)
        while not isinstance(message := live.poll(), Finish | None):
            live.commit(live.process(message))
    log.close()


def test_a_log_in_kafka_gives_the_page_of_the_embedded_one(quotes, broker, monkeypatch, capsys):
    assert main(["ingest", "events.jsonl"]) == 0
    processed()
    written(capsys, "--out", "embedded.html")
    monkeypatch.setenv("HEADWATER_HOME", str(quotes / "other"))
    kafka = f'[kafka]\nbootstrap = "{broker.bootstrap}"\nprefix = "{uuid.uuid4().hex[:8]}."\n'
    (quotes / "headwater.toml").write_text(f'log = "kafka"\n{QUOTES}{kafka}')
    assert main(["topics", "--apply"]) == 0
    assert main(["ingest", "events.jsonl"]) == 0
    processed()
    written(capsys, "--out", "kafka.html")
    assert (quotes / "kafka.html").read_bytes() == (quotes / "embedded.html").read_bytes()


def test_a_home_without_log_labels_or_model_is_told_as_it_is(quotes, capsys):
    assert refused(capsys, "report").startswith("headwater: home must hold a log")
    log = Home(quotes / "home").log()
    create_topics(log, 2)
    log.close()
    assert refused(capsys, "report") == (
        "headwater: log must hold a labelled request; got none yet: "
        "`headwater status` shows how far the flow is"
    )
    assert main(["ingest", "events.jsonl"]) == 0
    processed()
    written(capsys)
    text = Reader((quotes / "report.html").read_text().removeprefix("<!doctype html>")).text
    assert "No refit was due." in text
    assert "Cost from a probability of 0.5 on: " in text
    assert "the online learners alone" in text
    assert "the first model" not in text
    assert "Not known: no model was ever in use" in text
