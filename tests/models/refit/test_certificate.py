import zipfile

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from models.mojo.model import read_mojo
from models.refit.certificate import UNSEEN, altered, certify, kept_rows, verify

INI = """[info]
algo = glm
mojo_version = 1.00
category = Regression
endianness = LITTLE_ENDIAN
escape_domain_values = true
supervised = true
n_columns = 3
use_all_factor_levels = true
cats = 1
cat_offsets = [0, 2]
nums = 1
mean_imputation = true
num_means = [0.5]
cat_modes = [0]
beta = [0.25, 0.5, 1.0, 0.0]
family = gaussian
link = identity
[columns]
level
number
y
[domains]
0: 2 d.txt
"""


@pytest.fixture
def mojo(tmp_path):
    with zipfile.ZipFile(tmp_path / "glm.zip", "w") as file:
        file.writestr("model.ini", INI)
        file.writestr("domains/d.txt", "a\nb\n")
    return read_mojo(tmp_path / "glm.zip")


@pytest.fixture
def frame():
    return pl.DataFrame(
        {"level": ["a", "b"] * 50, "number": np.arange(100.0), "whole": range(100)},
        schema_overrides={"whole": pl.Int32},
    )


def test_altered_rows_keep_columns_and_types(frame):
    assert altered(frame, ["level"], seed=1).schema == frame.schema


def test_every_column_is_na_alone_and_every_categorical_unseen_alone(frame):
    rows = altered(frame, ["level"], seed=1)
    for name in frame.columns:
        others = [other for other in frame.columns if other != name]
        alone = rows.filter(pl.col(name).is_null(), *(pl.col(o).is_not_null() for o in others))
        assert len(alone) >= 20
    assert rows.filter(pl.all_horizontal(pl.all().is_null())).height > 0
    assert rows.filter(pl.col("level") == UNSEEN, pl.col("number").is_null()).height > 0
    assert rows.filter(pl.col("level") == UNSEEN, pl.col("number").is_not_null()).height >= 20


def test_a_seed_alters_the_same_rows_again(frame):
    assert_frame_equal(altered(frame, ["level"], seed=1), altered(frame, ["level"], seed=1))
    assert not altered(frame, ["level"], seed=1).equals(altered(frame, ["level"], seed=2))


def test_alterations_need_rows_and_levels_that_are_strings(frame):
    with pytest.raises(ValueError, match="frame must hold at least one row; got none"):
        altered(frame.clear(), ["level"], seed=1)
    with pytest.raises(ValueError, match="categoricals must be strings; got Int32 in 'whole'"):
        altered(frame, ["whole"], seed=1)


def certified(mojo, theirs, altered_rows=0):
    # 0.25 for a or a level that is NA or unseen, 0.5 for b; the number, or 0.5
    rows = pl.DataFrame({"level": ["a", "b", None, UNSEEN], "number": [0.0, 3.0, None, 1000.0]})
    return certify(mojo, rows, np.array(theirs), altered_rows)


def test_equal_predictions_are_certified(mojo):
    certificate = certified(mojo, [0.25, 3.5, 0.75, 1000.25], altered_rows=2)
    assert certificate.rows == 4
    assert certificate.altered_rows == 2
    assert certificate.max_difference == 0.0
    assert certificate.ok


@pytest.mark.parametrize(
    ("theirs", "difference", "ok"),
    [
        ([0.25 + 0.9e-9, 3.5, 0.75, 1000.25], 0.9e-9, True),
        ([0.25 + 1.1e-9, 3.5, 0.75, 1000.25], 1.1e-9, False),
        ([0.25, 3.5, 0.75, 1000.25 + 2e-7], 2e-10, True),
        ([0.25, 3.5, 0.75, 1000.25 - 2e-6], 2e-9, False),
        ([0.25, 3.5, 0.75, np.nan], np.finfo(float).max, False),
        ([0.25, 3.5, 0.75, np.inf], np.finfo(float).max, False),
    ],
)
def test_a_certificate_is_ok_within_a_billionth(mojo, theirs, difference, ok):
    certificate = certified(mojo, theirs)
    assert certificate.max_difference == pytest.approx(difference, rel=1e-3)
    assert certificate.ok is ok


def test_predictions_must_be_as_many_as_the_rows(mojo):
    with pytest.raises(ValueError, match=r"must be one per row, at least one; got \(3,\) for 4"):
        certified(mojo, [0.25, 3.5, 0.75])


def test_a_loaded_model_is_verified_by_the_rows_that_were_kept(mojo, tmp_path):
    rows = pl.DataFrame({"level": ["a", "b", None, UNSEEN], "number": [0.0, 3.0, None, 1000.0]})
    kept = kept_rows(rows, np.array([0.25, 3.5, 0.75, 1000.25]))
    assert verify(mojo, kept) == 0.0
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("model.ini", INI.replace("beta = [0.25, 0.5", "beta = [0.25, 1.5"))
        file.writestr("domains/d.txt", "a\nb\n")
    # 4.5 for b and 3.0, against 3.5
    assert verify(read_mojo(tmp_path / "other.zip"), kept) == pytest.approx(1 / 3.5)


def test_kept_rows_are_bounded_spread_over_all_and_the_same_again(frame):
    rows = pl.concat([frame.select("level", "number")] * 20)
    predictions = np.arange(2_000.0)
    kept = kept_rows(rows, predictions)
    found = pl.read_parquet(kept)["prediction by H2O"]
    assert len(found) == 500
    assert (found[0], found[-1]) == (0.0, 1999.0)
    assert found.diff().drop_nulls().is_between(3, 5).all()
    assert kept_rows(rows, predictions) == kept
