"""A refit: what it sees, what it decides, and that it repeats."""

import hashlib
import os
import signal
import threading
from pathlib import Path

import msgspec
import polars as pl
import pytest

from models.h2o.errors import H2OError, H2OLost
from models.h2o.search import GRIDS
from models.h2o.server import H2OServer
from models.mojo.model import read_mojo
from models.refit.certificate import LIMIT, verify
from models.refit.fit_record import FitRecord
from models.refit.refit import Champion, failed, lacking, train
from models.scorecard import scorecard
from tests.models.refit.tasks import fit_task

START_US, DAY_US = 1_357_000_000_000_000, 86_400_000_000
BOUNDARY = START_US + 9 * DAY_US
VALIDATION = DAY_US * 3 // 2
SMALL = {name: values[0] for name, values in GRIDS["gbm"].items()} | {"ntrees": 8, "max_depth": 4}


@pytest.fixture
def task(outcomes, written):
    return fit_task(
        written(outcomes),
        boundary=BOUNDARY,
        window=8 * DAY_US,
        validation=VALIDATION,
        embargo=2 * DAY_US // 24,
        min_rows=1_000,
        previous=SMALL,
        draws=0,
    )


def _rows(outcomes, start, end, known):
    event, label = (outcomes[name].dt.timestamp("us") for name in ("event_time", "label_time"))
    return outcomes.filter((event >= start) & (event < end) & (label < known))


def test_the_first_model_is_promoted_with_all_that_is_known_of_it(h2o_server, outcomes, task):
    record, artifact, _ = train(h2o_server, task, None)
    mojo = read_mojo(artifact)
    seen = _rows(outcomes, BOUNDARY - 8 * DAY_US, BOUNDARY, BOUNDARY)
    newest = _rows(outcomes, BOUNDARY - VALIDATION, BOUNDARY, BOUNDARY)
    assert (record.status, record.reason) == ("promoted", "there was no champion")
    assert record.model == f"gbm-{mojo.digest[:12]}"
    assert record.sha256 == hashlib.sha256(artifact).hexdigest()
    assert record.certificate.ok
    assert record.certificate.rows > len(newest)
    assert (record.window.rows, record.window.validation_rows) == (len(seen), len(newest))
    assert record.metrics.positives == newest["label"].sum()
    assert record.metrics.auc > 0.7
    assert record.metrics.log_loss == min(one.log_loss for one in record.tried)
    assert [file.sha256 for file in record.window.files] == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in task.files
    ]
    assert msgspec.json.decode(msgspec.json.encode(record), type=type(record)) == record


def test_the_same_files_give_the_same_model_in_another_h2o(h2o_server, task, tmp_path):
    task = msgspec.structs.replace(task, draws=1)
    first, *_ = train(h2o_server, task, None)
    with H2OServer(memory="600m", threads=1, work_dir=tmp_path / "h2o") as other:
        second, *_ = train(other, task, None)
    assert first.model == second.model
    assert first.tried == second.tried


def test_nothing_from_the_boundary_on_is_seen(h2o_server, outcomes, task):
    first, *_ = train(h2o_server, task, None)
    future = pl.col("label_time").dt.timestamp("us") >= BOUNDARY
    changed = outcomes.with_columns(
        pl.when(future).then(1 - pl.col("label")).otherwise("label").cast(pl.Int8).alias("label"),
        pl.when(future).then(9.0).otherwise("x0").alias("x0"),
        pl.when(future).then(pl.lit("C0")).otherwise("carrier").alias("carrier"),
    )
    for path, part in zip(task.files, changed.iter_slices(-(-len(changed) // 3)), strict=True):
        part.write_parquet(path, compression="zstd")
    assert train(h2o_server, task, None)[0].model == first.model


def test_judged_candidates_do_not_see_the_embargo_but_the_published_model_does(
    h2o_server, outcomes, task
):
    first, *_ = train(h2o_server, task, None)
    split = BOUNDARY - VALIDATION
    event = pl.col("event_time").dt.timestamp("us")
    within = (event >= split - task.embargo) & (event < split)
    changed = outcomes.with_columns(
        pl.when(within).then(1 - pl.col("label")).otherwise("label").cast(pl.Int8).alias("label")
    )
    for path, part in zip(task.files, changed.iter_slices(-(-len(changed) // 3)), strict=True):
        part.write_parquet(path, compression="zstd")
    second, *_ = train(h2o_server, task, None)
    assert second.tried == first.tried
    assert second.model != first.model


def test_a_champion_keeps_its_place_against_a_margin_and_loses_it_without(
    h2o_server, outcomes, task
):
    early = msgspec.structs.replace(
        task, boundary=BOUNDARY - 4 * DAY_US, window=2 * DAY_US, validation=DAY_US, min_rows=100
    )
    old, artifact, _ = train(h2o_server, early, None)
    champion = Champion(old.model, read_mojo(artifact), early.boundary)
    lost, *_ = train(h2o_server, task, champion)
    kept, *_ = train(h2o_server, msgspec.structs.replace(task, margin=5.0), champion)
    newest = _rows(outcomes, BOUNDARY - VALIDATION, BOUNDARY, BOUNDARY)
    columns = newest.select(task.features).to_dict(as_series=False)
    theirs = champion.mojo.score_many(champion.mojo.encode(columns))
    labels = newest["label"].cast(pl.Float64).to_numpy()
    assert lost.champion_metrics == scorecard(labels, theirs)
    assert (lost.status, kept.status) == ("promoted", "rejected")
    assert "margin 5" in kept.reason
    assert lost.champion == old.model


def test_a_champion_is_not_judged_on_rows_that_it_was_fitted_on(h2o_server, outcomes, task):
    _, artifact, _ = train(h2o_server, task, None)
    mojo = read_mojo(artifact)
    end = BOUNDARY - DAY_US
    judged, *_ = train(h2o_server, task, Champion("old", mojo, end))
    assert judged.metrics.rows == len(_rows(outcomes, end, BOUNDARY, BOUNDARY))
    none, *_ = train(h2o_server, task, Champion("old", mojo, BOUNDARY))
    assert (none.status, none.reason) == ("rejected", "no row is new to the champion")


def test_the_last_winner_is_tried_first(h2o_server, task):
    record, *_ = train(h2o_server, msgspec.structs.replace(task, draws=2), None)
    assert record.tried[0].parameters == SMALL
    assert len({one.parameters["ntrees"] for one in record.tried}) == 2
    assert len(record.tried) == 3
    best = min(record.tried, key=lambda one: one.log_loss)
    assert record.parameters == best.parameters != SMALL


@pytest.mark.parametrize("algorithm", ["drf", "glm"])
def test_forests_and_linear_models_are_certified_too(h2o_server, task, algorithm):
    record, artifact, _ = train(
        h2o_server, msgspec.structs.replace(task, algorithm=algorithm), None
    )
    assert record.tried[0].parameters.keys() == GRIDS[algorithm].keys()
    assert record.status == "promoted"
    assert record.model.startswith(f"{algorithm}-")
    assert read_mojo(artifact).algorithm == algorithm


@pytest.mark.parametrize("algorithm", ["xgboost", "deeplearning", "stackedensemble", "automl"])
def test_what_h2o_s_own_scorer_serves_is_certified_too_and_repeats(
    h2o_server, task, algorithm, monkeypatch
):
    small = {"xgboost": {"ntrees": 5}, "deeplearning": {"hidden": "[4,3]", "epochs": 1}}
    grids = {name: values for name, values in GRIDS.items() if name in {"gbm", "drf", algorithm}}
    for name, grid in grids.items():
        few = {"ntrees": [5]} if "ntrees" in grid else {}
        monkeypatch.setitem(GRIDS, name, grid | few)
    first = {name: values[0] for name, values in grids.get(algorithm, {}).items()}
    previous = first | small.get(algorithm, {})
    draws = int(algorithm == "automl")
    task = msgspec.structs.replace(task, algorithm=algorithm, previous=previous, draws=draws)
    record, artifact, rows = train(h2o_server, task, None)
    again, *_ = train(h2o_server, task, None)
    assert record.status == "promoted", record.reason
    assert record.model.startswith(f"{algorithm}-")
    assert verify(read_mojo(artifact), rows) <= LIMIT
    assert record.files == [hashlib.sha256(part).hexdigest() for part in (artifact, rows)]
    assert again.model == record.model
    assert again.rows_sha256 == record.rows_sha256
    assert not _left(h2o_server)


def test_without_a_refit_the_judged_model_itself_is_published(h2o_server, outcomes, task):
    record, artifact, _ = train(h2o_server, msgspec.structs.replace(task, refit=False), None)
    mojo = read_mojo(artifact)
    newest = _rows(outcomes, BOUNDARY - VALIDATION, BOUNDARY, BOUNDARY)
    guess = mojo.score_many(mojo.encode(newest.select(task.features).to_dict(as_series=False)))
    labels = newest["label"].cast(pl.Float64).to_numpy()
    assert scorecard(labels, guess).log_loss == pytest.approx(record.metrics.log_loss, abs=1e-9)


def test_a_task_with_enough_rows_of_both_labels_lacks_nothing(task):
    assert not lacking(task)


def test_too_few_rows_are_told(outcomes, task):
    rows = len(_rows(outcomes, BOUNDARY - 8 * DAY_US, BOUNDARY, BOUNDARY))
    assert not lacking(msgspec.structs.replace(task, min_rows=rows))
    assert lacking(msgspec.structs.replace(task, min_rows=rows + 1)) == (
        f"rows must be at least {rows + 1}; got {rows} in the window"
    )


def test_no_files_are_told(task):
    assert lacking(msgspec.structs.replace(task, files=[])) == (
        "rows must be at least 1000; got 0 in the window"
    )


@pytest.mark.parametrize("part", ["training", "validation"])
def test_one_class_is_told_for_each_slice(outcomes, task, written, part):
    newest = pl.col("event_time").dt.timestamp("us") >= BOUNDARY - VALIDATION
    within = newest if part == "validation" else ~newest
    label = pl.when(within).then(0).otherwise("label").cast(pl.Int8).alias("label")
    files = written(outcomes.with_columns(label))
    assert lacking(msgspec.structs.replace(task, files=files)) == (
        f"{part} rows must have both labels; got 1"
    )


def test_another_algorithm_is_refused_before_any_work(h2o_server, task):
    with pytest.raises(ValueError, match="or automl; got 'kmeans'"):
        train(h2o_server, msgspec.structs.replace(task, algorithm="kmeans"), None)


def test_a_java_that_dies_in_the_middle_of_a_fit_is_an_error_to_catch(task, tmp_path):
    with H2OServer(memory="600m", threads=1, work_dir=tmp_path / "h2o") as server:
        java = int(Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()[0])
        killer = threading.Thread(target=_kill_in_build, args=(server.url, java))
        killer.start()
        with pytest.raises(H2OLost) as caught:
            train(server, msgspec.structs.replace(task, draws=20), None)
        killer.join()
    assert not list((tmp_path / "h2o").iterdir())
    record = failed(task, caught.value)
    assert record.status == "failed"
    assert record.reason.startswith("H2OLost: H2O must answer")
    assert isinstance(caught.value, H2OError)


def _kill_in_build(url: str, java: int) -> None:
    with H2OServer(url=url) as watcher:
        while not any(
            job["status"] == "RUNNING" and job["dest"]["type"] == "Key<Model>"
            for job in watcher.request("GET /3/Jobs")["jobs"]
        ):
            pass
        os.kill(java, signal.SIGKILL)


def test_a_fit_leaves_no_table_and_no_model(h2o_server, task):
    train(h2o_server, task, None)
    assert not _left(h2o_server)


def _left(server: H2OServer) -> list[str]:
    return [
        *(frame["frame_id"]["name"] for frame in server.request("GET /3/Frames")["frames"]),
        *(model["model_id"]["name"] for model in server.request("GET /3/Models")["models"]),
    ]


@pytest.mark.parametrize("algorithm", ["gbm", "glm"])
def test_extreme_numbers_make_no_record_that_cannot_be_read_back(
    h2o_server, outcomes, task, written, algorithm
):
    wild = pl.when(pl.int_range(pl.len()) % 7 == 0).then(1.7e308)
    wild = wild.when(pl.int_range(pl.len()) % 7 == 1).then(-1.7e308)
    files = written(
        outcomes.with_columns(wild.otherwise(name).alias(name) for name in ("x0", "x1"))
    )
    previous = SMALL if algorithm == "gbm" else None
    one = msgspec.structs.replace(task, files=files, algorithm=algorithm, previous=previous)
    try:
        record, artifact, _ = train(h2o_server, one, None)
    except H2OError as error:
        record = failed(one, error)
    else:
        again, *_ = train(h2o_server, one, Champion("before", read_mojo(artifact), START_US))
        assert msgspec.json.decode(msgspec.json.encode(again), type=FitRecord) == again
    assert msgspec.json.decode(msgspec.json.encode(record), type=FitRecord) == record
