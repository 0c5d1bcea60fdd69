"""A model in a shard finds its columns and levels by name, whatever their places and numbers."""

import math
from pathlib import Path

import h2o
import numpy as np
import pytest
from h2o.estimators import H2OGradientBoostingEstimator

from models.mojo.model import read_mojo
from models.scoring.bound_model import Offline

KNOWN = ["ber", "ham", "muc"]


@pytest.fixture(scope="module")
def mojo(h2o_server, tmp_path_factory):
    """Fitted on two columns of which one is a level; H2O sorts the levels."""
    random = np.random.default_rng(1)
    city, x = random.integers(0, 3, 2_000), random.normal(size=2_000)
    y = random.random(2_000) < 1 / (1 + np.exp(-x - city))
    path = tmp_path_factory.mktemp("offline") / "rows.csv"
    lines = (f"{KNOWN[c]},{v:.17g},{int(label)}" for c, v, label in zip(city, x, y, strict=True))
    path.write_text("city,x,label\n" + "\n".join(lines))
    kinds = {"city": "enum", "x": "numeric", "label": "enum"}
    frame = h2o.import_file(str(path), col_types=kinds)
    model = H2OGradientBoostingEstimator(ntrees=5, seed=1)
    model.train(["city", "x"], "label", frame)
    model_path = model.download_mojo(str(path.parent))
    h2o.remove_all()
    return read_mojo(Path(model_path).read_bytes())


def test_columns_and_levels_are_matched_by_name(mojo):
    levels = ["muc", "ber", "ham"]
    model = Offline("m", mojo, ["other", "x", "city"], {2: levels})
    for x in (-1.0, 0.3, math.nan):
        for number, name in enumerate(levels):
            want = mojo.score_many(mojo.encode({"city": [name], "x": [x]}))[0]
            assert model.predict(np.array([9.0, x, number])) == want


def test_a_level_that_it_never_saw_and_a_missing_one_are_the_same(mojo):
    levels = ["muc", "oslo"]
    model = Offline("m", mojo, ["city", "x"], {0: levels})
    missing = mojo.score_many(mojo.encode({"city": [None], "x": [0.5]}))[0]
    assert model.predict(np.array([1.0, 0.5])) == missing
    assert model.predict(np.array([math.nan, 0.5])) == missing
    levels += ["rome", "ber"]  # first seen after the model was bound
    assert model.predict(np.array([2.0, 0.5])) == missing
    berlin = mojo.score_many(mojo.encode({"city": ["ber"], "x": [0.5]}))[0]
    assert model.predict(np.array([3.0, 0.5])) == berlin != missing


def test_predicting_leaves_the_vector_as_it_is(mojo):
    model = Offline("m", mojo, ["city", "x"], {0: KNOWN[::-1]})
    row = np.array([0.0, 0.5])
    assert model.predict(row) == model.predict(row)
    assert row.tolist() == [0.0, 0.5]


@pytest.mark.parametrize(
    ("columns", "levels", "message"),
    [
        (["city"], {0: KNOWN}, "model m wants column 'x' that the stream lacks; refit it"),
        (["city", "x"], {}, "model m takes column 'city' as categorical, the stream does not"),
        (["city", "x"], {0: KNOWN, 1: []}, "model m takes column 'x' as numeric, the stream does"),
    ],
)
def test_a_model_that_does_not_fit_the_stream_is_refused(mojo, columns, levels, message):
    with pytest.raises(ValueError, match=message):
        Offline("m", mojo, columns, levels)
