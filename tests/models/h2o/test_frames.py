"""Tables in H2O hold the same rows as the files, and only for as long as they are needed."""

import sys

import numpy as np
import polars as pl
import pytest

from models.h2o.errors import H2OFailed
from models.h2o.fit import Tables, fit
from models.h2o.frames import cut, held, import_files, predict, tidy, upload
from models.h2o.time_split import spans
from models.mojo.model import read_mojo
from models.refit.certificate import certify
from models.scorecard import scorecard

FEATURES = ["carrier", "dest", "x0", "x1", "x2", "x3"]
CATEGORICALS = ["carrier", "dest"]
START_US, DAY_US = 1_357_000_000_000_000, 86_400_000_000


def _column(server, name, column):
    frame = server.request(f"GET /3/Frames/{name}?row_count=100000")["frames"][0]
    return next(found for found in frame["columns"] if found["label"] == column)


def _times(frame):
    return frame["event_time"].dt.timestamp("ms").to_list()


def test_an_import_has_the_rows_of_the_files_in_their_order(h2o_server, outcomes, written):
    with tidy(h2o_server) as prefix:
        import_files(h2o_server, f"{prefix}t", written(outcomes), FEATURES, CATEGORICALS)
        assert _column(h2o_server, f"{prefix}t", "event_time")["data"] == _times(outcomes)
        label = _column(h2o_server, f"{prefix}t", "label")
        assert label["domain"] == ["0", "1"]
        assert label["data"] == outcomes["label"].to_list()
        dest = _column(h2o_server, f"{prefix}t", "dest")
        assert [dest["domain"][int(i)] for i in dest["data"]] == outcomes["dest"].to_list()
        x0 = _column(h2o_server, f"{prefix}t", "x0")
        assert x0["missing_count"] == outcomes["x0"].null_count() > 0


def _in_hex(server, name, column):
    """A number of H2O's own as it holds it: Java writes hexadecimal ones without rounding."""
    answer = server.download(f"GET /3/DownloadDataset?frame_id={name}&hex_string=true").decode()
    header, *rows = [line.split(",") for line in answer.splitlines()]
    at = header.index(f'"{column}"')
    cells = [row[at] for row in rows]
    return [float.fromhex(cell) if "x" in cell else float(cell or "nan") for cell in cells]


def test_what_h2o_holds_comes_back_to_the_last_bit(h2o_server):
    random = np.random.default_rng(1)
    edges = [1014.5, 1015.4, 0.1, 5e-324, 1e-310, sys.float_info.min, sys.float_info.max]
    spread = random.normal(size=600) * 10.0 ** random.integers(-300, 300, 600)
    numbers = np.concatenate([edges, np.negative(edges), spread, 2.0 ** np.arange(60)])
    frame = pl.DataFrame({"x0": numbers, "dest": 'a "b", c'})
    with tidy(h2o_server) as prefix:
        upload(h2o_server, f"{prefix}t", frame, ["x0", "dest"], ["dest"])
        back = held(h2o_server, f"{prefix}t", ["x0", "dest"], ["dest"])
        expected = _in_hex(h2o_server, f"{prefix}t", "x0")
    np.testing.assert_array_equal(back["x0"].to_numpy(), expected)
    assert set(back["dest"]) == {'a "b", c'}


def test_a_value_that_h2o_moved_across_a_split_is_certified_as_h2o_holds_it(h2o_server):
    values = np.tile(np.arange(990.0, 1039.5, 0.5), 20)  # bins of 0.5: one begins at 1014.5
    frame = pl.DataFrame({"x0": values, "label": (values > 1014.5).astype(np.int8)})
    parameters = {"ntrees": 20, "max_depth": 3, "nbins": 98, "nbins_top_level": 98}
    with tidy(h2o_server) as prefix:
        names = Tables(f"{prefix}a", f"{prefix}a")
        upload(h2o_server, names.training, frame, ["x0"], [])
        fit(h2o_server, "gbm", f"{prefix}m", names, parameters, 1)
        guess = predict(h2o_server, f"{prefix}m", names.training)
        mojo = read_mojo(h2o_server.download(f"GET /3/Models/{prefix}m/mojo"))
        rows = held(h2o_server, names.training, ["x0"], [])
    assert 1014.5 in mojo.kernel_args[0]["value"]
    assert not certify(mojo, frame.select("x0"), guess).ok
    assert certify(mojo, rows, guess).ok


def test_columns_that_are_no_features_stay_out(h2o_server, outcomes, written):
    with tidy(h2o_server) as prefix:
        import_files(h2o_server, f"{prefix}t", written(outcomes), FEATURES, CATEGORICALS)
        frame = h2o_server.request(f"GET /3/Frames/{prefix}t")["frames"][0]
        names = {column["label"] for column in frame["columns"]}
    assert names == {*FEATURES, "label", "event_time", "label_time"}


def test_a_cut_takes_the_rows_that_polars_takes(h2o_server, outcomes, written):
    start, split, end = ((START_US + days * DAY_US) // 1000 for days in (2, 7, 9))
    cuts = spans(start, end, split=split, end=end, embargo=DAY_US // 24_000)
    with tidy(h2o_server) as prefix:
        import_files(h2o_server, f"{prefix}t", written(outcomes), FEATURES, CATEGORICALS)
        for i, span in enumerate(cuts):
            cut(h2o_server, f"{prefix}t", f"{prefix}{i}", span)
            expected = _times(outcomes.filter(span.in_polars()))
            assert _column(h2o_server, f"{prefix}{i}", "event_time")["data"] == expected
            assert 0 < len(expected) < len(outcomes)


def test_predictions_keep_the_order_of_the_rows_sent(h2o_server, outcomes):
    with tidy(h2o_server) as prefix:
        names = Tables(f"{prefix}a", f"{prefix}b")
        upload(h2o_server, names.training, outcomes, FEATURES, CATEGORICALS)
        upload(h2o_server, names.validation, outcomes.reverse(), FEATURES, CATEGORICALS)
        assert fit(h2o_server, "gbm", f"{prefix}m", names, {"ntrees": 20}, 1) == (f"{prefix}m", 20)
        forward = predict(h2o_server, f"{prefix}m", names.training)
        backward = predict(h2o_server, f"{prefix}m", names.validation)
    assert len(set(forward)) > 100
    assert (forward == backward[::-1]).all()


def test_the_scorecard_agrees_with_h2o(h2o_server, outcomes):
    with tidy(h2o_server) as prefix:
        names = Tables(f"{prefix}a", f"{prefix}a")
        upload(h2o_server, names.training, outcomes, FEATURES, CATEGORICALS)
        fit(h2o_server, "gbm", f"{prefix}m", names, {"ntrees": 5, "max_depth": 3}, 1)
        guess = predict(h2o_server, f"{prefix}m", names.training)
        output = h2o_server.request(f"GET /3/Models/{prefix}m")["models"][0]["output"]
    theirs = output["validation_metrics"]
    ours = scorecard(outcomes["label"].cast(pl.Float64).to_numpy(), guess)
    assert ours.log_loss == pytest.approx(theirs["logloss"], abs=1e-12)
    assert ours.brier == pytest.approx(theirs["MSE"], abs=1e-12)
    # H2O joins probabilities in 400 bins: five trees of depth 3 have fewer.
    assert ours.auc == pytest.approx(theirs["AUC"], abs=1e-4)
    best = max(
        theirs["max_criteria_and_metric_scores"].cell_values, key=lambda row: row[0] == "max f1"
    )
    assert ours.f1 == pytest.approx(best[2], abs=1e-4)


def test_nothing_stays_in_h2o_but_what_others_made(h2o_server, outcomes):
    upload(h2o_server, "theirs", outcomes, FEATURES, CATEGORICALS)
    with tidy(h2o_server) as prefix:
        names = Tables(f"{prefix}a", f"{prefix}a")
        upload(h2o_server, names.training, outcomes, FEATURES, CATEGORICALS)
        fit(h2o_server, "gbm", f"{prefix}m", names, {"ntrees": 2}, 1)
        predict(h2o_server, f"{prefix}m", names.training)
    frames = [frame["frame_id"]["name"] for frame in h2o_server.request("GET /3/Frames")["frames"]]
    models = [model["model_id"]["name"] for model in h2o_server.request("GET /3/Models")["models"]]
    jobs = [job["dest"]["name"] for job in h2o_server.request("GET /3/Jobs")["jobs"]]
    h2o_server.request("DELETE /3/Frames/theirs")
    assert "theirs" in frames
    assert "theirs" in jobs
    assert not [name for name in frames + models + jobs if name.startswith(prefix)]


def test_a_file_that_h2o_cannot_read_is_named_and_no_other_stays(h2o_server, outcomes, written):
    files = written(outcomes)
    files[1].unlink()
    with tidy(h2o_server) as prefix, pytest.raises(H2OFailed, match=r"part-1\.parquet"):
        import_files(h2o_server, f"{prefix}t", files, FEATURES, CATEGORICALS)
    assert h2o_server.request("GET /3/Frames")["frames"] == []
