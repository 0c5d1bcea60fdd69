"""A scorecard counts what it should, and its command says it."""

import json
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from flows.__main__ import main
from flows.home.configuration import find_stream, load_settings
from flows.home.home import environment_home
from flows.home.open_log import open_log
from flows.reports.scorecard import judged, scorecard_of
from flows.runtime.partitions import Partitions
from flows.streams.quotes_market import Market
from models.scorecard import scorecard
from operators.shard.messages import Finish
from state.settings import settings_from

START = datetime(2024, 1, 1)  # noqa: DTZ001 - frames have UTC without saying so
ROWS = 6_000


def world(seed=1, flipped_from=ROWS, rows=ROWS):
    """Outcomes of one partition, one a minute, whose world turns around at some row."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=rows) * 1.5 - 1
    said = 1 / (1 + np.exp(-logits))
    logits[flipped_from:] *= -1
    labels = random.random(rows) < 1 / (1 + np.exp(-logits))
    return pl.DataFrame(
        {
            "partition": np.zeros(rows, np.int64),
            "offset": np.arange(rows),
            "event_time": [START + timedelta(minutes=i) for i in range(rows)],
            "probability": said,
            "label": labels.astype(np.int64),
        }
    ).with_columns(pl.col("event_time").cast(pl.Datetime("ms")))


def found(outcomes, predictions=None, *, by_silence=True):
    predictions = outcomes if predictions is None else predictions
    return judged(outcomes.lazy(), predictions.lazy().drop("label"), by_silence=by_silence)


def test_requests_count_up_to_the_oldest_that_waits_whatever_came_before():
    whole = world(rows=100)
    early = whole.filter((pl.col("label") == 1) | (pl.col("offset") < 40))  # of 0 by silence later
    oldest = whole.filter((pl.col("label") == 0) & (pl.col("offset") >= 40))["offset"][0]
    got = found(early, whole)
    assert got.rows["offset"].to_list() == list(range(oldest))
    assert got.waiting == len(early) - oldest
    assert len(got.unlabelled) == 100 - len(early)


def test_each_partition_waits_for_its_own_requests_only():
    one, other = world(rows=50), world(2, rows=50).with_columns(partition=pl.lit(1, pl.Int64))
    both = pl.concat([one, other])
    got = found(both.filter((pl.col("partition") == 0) | (pl.col("offset") != 10)), both)
    counts = dict(got.rows.group_by("partition").len().iter_rows())
    assert counts == {0: 50, 1: 10}


def test_where_silence_is_no_label_all_outcomes_count():
    whole = world(rows=100)
    labelled = whole.filter(pl.col("offset") % 2 == 1)
    got = found(labelled, whole, by_silence=False)
    assert len(got.rows) == 50
    assert got.waiting == 0


def test_outcomes_that_were_trimmed_hold_up_nothing():
    whole = world(rows=100)
    assert len(found(whole.filter(pl.col("offset") >= 30), whole).rows) == 70


def test_quality_is_that_of_the_rows_of_each_window():
    rows = world()
    settings = settings_from({"metrics": {"windows": ["2d", "1h"]}, "decision": {"threshold": 0.4}})
    report = scorecard_of(found(rows), "ensemble", settings)
    assert [(one.window, one.requests) for one in report.quality] == [
        ("1h", 60), ("2d", 2_880), ("", ROWS),
    ]  # fmt: skip
    labels, said = rows["label"].to_numpy().astype(float), rows["probability"].to_numpy()
    for one in report.quality:
        plain = scorecard(labels[-one.requests :], said[-one.requests :])
        assert one.log_loss == pytest.approx(plain.log_loss)
        assert one.auc.value == pytest.approx(plain.auc, abs=0.01)
        assert one.auc.low < plain.auc < one.auc.high
    calls = said >= 0.4
    assert report.quality[-1].accuracy == pytest.approx((calls == labels).mean())
    assert report.quality[-1].recall == pytest.approx(calls[labels == 1].mean())


def test_the_cheapest_threshold_follows_from_the_costs():
    rows = found(world(rows=50_000, flipped_from=50_000))
    for price, optimum in ((1.0, 0.5), (4.0, 0.2), (0.25, 0.8)):
        settings = settings_from({"decision": {"false_negative": price}})
        report = scorecard_of(rows, "ensemble", settings)
        assert report.cheapest == pytest.approx(optimum, abs=0.06)


def test_a_world_that_turns_around_is_told_with_its_time_and_estimates_are_not_relied_on():
    rows = world(flipped_from=4_000)
    waiting = world(3, rows=50).with_columns(pl.col("offset") + ROWS)
    got = found(rows, pl.concat([rows, waiting]))
    report = scorecard_of(got, "ensemble", settings_from({}))
    assert report.drift[0].kind == "too sure"
    began = datetime.fromtimestamp(report.drift[0].since / 1e6).astimezone()
    assert abs(report.drift[0].since / 6e7 - START.timestamp() / 60 - 4_000) < 300, began
    assert len(report.drift) > 1
    assert not report.ahead.trusted or report.drift[-1].labels < 100
    steady = scorecard_of(found(world()), "ensemble", settings_from({}))
    assert steady.drift == []
    assert steady.ahead is None


def test_requests_without_a_label_are_estimated():
    rows = world(rows=4_000)
    report = scorecard_of(found(rows.head(3_000), rows), "ensemble", settings_from({}))
    truth = rows.tail(1_000)
    assert report.ahead.requests == 1_000
    assert report.ahead.trusted
    assert report.ahead.positives == pytest.approx(truth["label"].sum(), rel=0.1)
    plain = scorecard(truth["label"].to_numpy().astype(float), truth["probability"].to_numpy())
    assert report.ahead.log_loss == pytest.approx(plain.log_loss, abs=0.03)
    assert report.ahead.auc.value == pytest.approx(plain.auc, abs=0.03)


@pytest.fixture
def quotes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    (tmp_path / "headwater.toml").write_text(
        'stream = "quotes"\npartitions = 2\n[training]\ntrainer = "external"\nwait = false\n'
    )
    events = Market(seed=2, rate_per_s=0.8).events(1.0)
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(events))
    assert main(["ingest", "events.jsonl"]) == 0


def test_the_command_before_a_run_and_after_it(quotes, capsys):
    capsys.readouterr()
    assert main(["scorecard"]) == 0
    assert capsys.readouterr().out == "No request has got its label yet.\n"
    settings, stream = load_settings(), find_stream("quotes")
    log = open_log(settings, stream, environment_home())
    partitions = Partitions(settings, stream, log, environment_home())
    for live in [partitions.open(p) for p in range(2)]:
        while (message := live.poll()) is not None:
            live.commit(live.process(message))
        live.commit(live.process(Finish()))
    log.close()
    assert main(["scorecard"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Answers of the ensemble, up to 2024-")
    for part in ("Decisions from 0.5 on", "  act     ", "  let go  ", "Calibration", "Drift"):
        assert part in shown
    tables = [line for line in shown.splitlines() if line.startswith(" ") and "label" not in line]
    assert max(map(len, tables)) <= 80
    assert main(["scorecard", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["requests"] + report["waiting"] > 100
    assert report["quality"][-1]["requests"] == report["requests"]
    assert main(["scorecard", "--answers", "offline"]) == 0
    assert capsys.readouterr().out == "No request has got its label yet.\n"
