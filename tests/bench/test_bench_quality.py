"""The report of the command line against sums and pairs counted here."""

import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

PROGRAM = Path(__file__).parents[2] / "bench" / "bench_quality.py"
COLUMNS = {
    "online": "online",
    "offline": "offline",
    "residual": "residual",
    "ensemble": "probability",
}


def report(*arguments: str | Path) -> dict:
    done = subprocess.run(
        [sys.executable, PROGRAM, *arguments, "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode in {0, 1}, done.stderr
    found = json.loads(done.stdout)
    assert done.returncode == (not all(check["passed"] for check in found["checks"]))
    return found


@pytest.fixture(scope="module")
def outcomes() -> pl.DataFrame:
    """Two hundred days, a noisier probability for each model but the ensemble; one without any."""
    random = np.random.default_rng(3)
    n = 4_000
    true = random.normal(-1, 1.2, n)
    noise = {"online": 0.9, "offline": 0.8, "residual": 0.6, "probability": 0.2}
    columns = {
        name: 1 / (1 + np.exp(-true - random.normal(0, by, n))) for name, by in noise.items()
    }
    columns["online"] = columns["online"].round(1).clip(0.05, 0.95)  # ties
    start = datetime(2013, 1, 31, 12)  # noqa: DTZ001 - Parquet holds UTC without its name
    times = [start + timedelta(hours=1.2 * i) for i in range(n)]
    return pl.DataFrame(
        {
            "id": [f"r{i}" for i in range(n)],
            "event_time": pl.Series(times, dtype=pl.Datetime("ms")),
            "label": (random.random(n) < 1 / (1 + np.exp(-true))).astype(int),
            "model": [f"gbm-{i // 1_000}" for i in range(n)],
            **columns,
        }
    ).with_columns(
        pl.when(pl.col("id") == "r2000").then(None).otherwise(pl.col(name)).alias(name)
        for name in ("offline", "residual")
    )


@pytest.fixture(scope="module")
def file(outcomes, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("outcomes") / "outcomes.parquet"
    outcomes.write_parquet(path)
    return path


@pytest.fixture(scope="module")
def judged(outcomes) -> pl.DataFrame:
    return outcomes.filter(pl.col("event_time") >= datetime(2013, 2, 1)).drop_nulls()  # noqa: DTZ001


@pytest.fixture(scope="module")
def found(file) -> dict:
    return report(file)


def log_loss(rows: pl.DataFrame, column: str) -> float:
    return float(
        np.mean(
            [
                -np.log(p if label else 1 - p)
                for label, p in zip(rows["label"], rows[column], strict=True)
            ]
        )
    )


def test_rows_outside_the_days_or_without_an_offline_model_are_left_out(found, judged):
    assert found["requests"] == judged.height == 4_000 - 10 - 1
    assert found["without_offline"] == 1


@pytest.mark.parametrize(("model", "column"), COLUMNS.items())
def test_figures_are_those_counted_by_hand(found, judged, model, column):
    labels, said = judged["label"].to_numpy(), judged[column].to_numpy()
    up, down = said[labels == 1][:, None], said[labels == 0][None, :]
    figures = {name: each["value"] for name, each in found["models"][model].items()}
    assert figures["auc"] == pytest.approx(((up > down) + (up == down) / 2).mean(), abs=1e-12)
    assert figures["log_loss"] == pytest.approx(log_loss(judged, column), abs=1e-12)
    assert figures["brier"] == pytest.approx(np.square(said - labels).mean(), abs=1e-12)
    precision = labels[said >= 0.5].mean()
    recall = (said[labels == 1] >= 0.5).mean()
    harmonic = 2 * precision * recall / (precision + recall)
    assert figures["f1"] == pytest.approx(harmonic, abs=1e-12)


@pytest.mark.parametrize("metric", ["auc", "log_loss", "brier", "f1"])
def test_intervals_lie_round_the_figures(found, metric):
    for each in found["models"].values():
        low, value, high = (each[metric][name] for name in ("low", "value", "high"))
        assert low < value < high
        assert (low + high) / 2 == pytest.approx(value, abs=0.1 * (high - low))


def test_intervals_of_a_mean_are_those_of_the_normal_law(found, judged):
    # Requests do not depend on each other here, so days drawn anew give the usual standard error.
    labels, said = judged["label"].to_numpy(), judged["probability"].to_numpy()
    losses = -np.log(np.where(labels == 1, said, 1 - said))
    half = 1.96 * losses.std() / np.sqrt(len(losses))
    interval = found["models"]["ensemble"]["log_loss"]
    assert (interval["high"] - interval["low"]) / 2 == pytest.approx(half, rel=0.15)


def test_gains_are_paired(found):
    for parent, gains in found["gains"].items():
        alone, best = found["models"][parent]["log_loss"], found["models"]["ensemble"]["log_loss"]
        gain = gains["log_loss"]
        assert gain["value"] == pytest.approx(alone["value"] - best["value"])
        assert gain["high"] - gain["low"] < best["high"] - best["low"]
        assert gains["auc"]["value"] > 0


def test_blocks_are_two_calendar_months(found, judged):
    assert [block["name"] for block in found["blocks"]] == [
        "2013-02",
        "2013-04",
        "2013-06",
        "2013-08",
    ]
    months = judged.filter(pl.col("event_time").dt.month().is_in([4, 5]))
    second = found["blocks"][1]
    assert second["requests"] == months.height
    assert second["log_loss"]["offline"] == pytest.approx(log_loss(months, "offline"))


def test_age_counts_from_the_first_request_of_a_model(file, outcomes):
    # Requests are 1.2 h apart: 500 of each of four models within 600 h, 500 after; one is lost.
    # The second model came before the days asked for and is not made younger by them.
    days = ("--from", "2013-03-30", "--to", "2013-12-31")
    found = report(file, "--stream", "quotes", "--by-age", "600,1200", *days)
    rows = outcomes.with_columns(young=pl.int_range(pl.len()).over("model") < 500).filter(
        pl.col("event_time") >= datetime(2013, 3, 30)  # noqa: DTZ001
    )
    assert rows["id"][0] == "r1150"
    young = rows.drop_nulls().filter("young")
    assert [(age["name"], age["requests"]) for age in found["ages"]] == [
        ("0-600 h", 350 + 499 + 500),
        ("600-1200 h", 500 + 500 + 500),
    ]
    assert found["ages"][0]["log_loss"]["offline"] == pytest.approx(log_loss(young, "offline"))


def test_quotes_pass_when_the_gain_is_large_and_the_offline_model_decays(file, outcomes, tmp_path):
    checks = report(file, "--stream", "quotes", "--by-age", "600,1200")["checks"]
    gain = min(log_loss(outcomes.drop_nulls(), name) for name in ("online", "offline")) - log_loss(
        outcomes.drop_nulls(), "probability"
    )
    assert checks[0]["passed"] == (gain >= 0.03)
    aged = pl.int_range(pl.len()).over("model") / 1_000
    decayed = outcomes.drop_nulls().with_columns(
        offline=0.5 * aged + pl.col("offline") * (1 - aged)
    )
    path = tmp_path / "decayed.parquet"
    decayed.write_parquet(path)
    assert report(path, "--stream", "quotes", "--by-age", "600,1200")["checks"][1]["passed"]


def failed(outcomes: pl.DataFrame, folder: Path) -> set[str]:
    """First words of the checks that fail."""
    path = folder / "outcomes.parquet"
    outcomes.write_parquet(path)
    checks = report(path)["checks"]
    return {" ".join(check["what"].split()[:2]) for check in checks if not check["passed"]}


def test_a_future_that_got_in_raises_the_alarm(outcomes, tmp_path):
    known = outcomes.with_columns(probability=0.2 + 0.6 * pl.col("label"))
    assert failed(known, tmp_path) == {"no leak:"}


def test_the_order_alone_raises_the_alarm_too(outcomes, tmp_path):
    # Log-loss ln(1 / 0.6) = .511 and Brier .16 alarm nobody; an AUC of 1 does.
    ordered = outcomes.with_columns(probability=0.4 + 0.2 * pl.col("label"))
    assert failed(ordered, tmp_path) >= {"no leak:", "ensemble log-loss", "ensemble Brier"}


def test_an_ensemble_no_better_than_a_parent_fails(outcomes, tmp_path):
    same = outcomes.with_columns(probability=pl.col("online"))
    assert "gain over" in failed(same, tmp_path)


def test_two_runs_print_the_same(file, found):
    assert report(file) == found


def test_help_shows_an_example():
    done = subprocess.run([sys.executable, PROGRAM, "--help"], capture_output=True, check=True)
    assert b"python bench/bench_quality.py outcomes.parquet" in done.stdout


def test_days_without_outcomes_are_named(file):
    done = subprocess.run(
        [sys.executable, PROGRAM, file, "--from", "2015-01-01", "--to", "2015-12-31"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert b"no outcome with an offline model from 2015-01-01 to 2015-12-31" in done.stderr
