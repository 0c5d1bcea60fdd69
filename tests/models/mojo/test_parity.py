import warnings
from pathlib import Path

import h2o
import numpy as np
import polars as pl
import pytest
from h2o.estimators import (
    H2ODeepLearningEstimator,
    H2OGeneralizedLinearEstimator,
    H2OGradientBoostingEstimator,
    H2OIsolationForestEstimator,
    H2ORandomForestEstimator,
    H2OXGBoostEstimator,
)

from models.mojo.model import MojoError, read_mojo
from models.refit.certificate import altered, certify

FEATURES = ["x", "y", "count", "few", "pair", "middling", "many", "once"]
CATEGORICALS = ["few", "pair", "middling", "many"]
BINOMIAL = {
    "gbm": H2OGradientBoostingEstimator(ntrees=41, max_depth=6, seed=1),
    "gbm balanced": H2OGradientBoostingEstimator(ntrees=9, balance_classes=True, seed=1),
    "gbm coarse": H2OGradientBoostingEstimator(ntrees=10, nbins_cats=16, max_depth=8, seed=1),
    "drf": H2ORandomForestEstimator(ntrees=18, max_depth=14, seed=1),
    "glm": H2OGeneralizedLinearEstimator(family="binomial", lambda_=1e-4, seed=1),
    "glm plain": H2OGeneralizedLinearEstimator(family="binomial", lambda_=0, seed=1),
}
REGRESSION = {
    "gbm": H2OGradientBoostingEstimator(ntrees=21, max_depth=5, seed=1),
    "gbm log link": H2OGradientBoostingEstimator(ntrees=21, distribution="poisson", seed=1),
    "drf": H2ORandomForestEstimator(ntrees=11, max_depth=20, seed=1),
    "glm": H2OGeneralizedLinearEstimator(family="gaussian", lambda_=1e-4, seed=1),
    "glm log link": H2OGeneralizedLinearEstimator(family="poisson", lambda_=1e-4, seed=1),
}


def generated(rows, seed):
    random = np.random.default_rng(seed)
    few = np.array(["a", "b", 'quo"te, comma', "back\\slash \\n", "é\u2028ü"])
    codes = {
        "few": random.integers(0, 5, rows),
        "pair": random.integers(0, 2, rows),
        "middling": random.integers(0, 45, rows),
        "many": (300 * random.random(rows) ** 2).astype(int),
    }
    x, y, count = random.normal(size=rows), random.exponential(100, rows), random.poisson(20, rows)
    effect = 0.7 * x + (count % 7) / 10 + (y > 80) * (codes["few"] == 0) - 1.5
    for name, size in (("few", 5), ("middling", 45), ("many", 300)):
        effect += np.sin(np.arange(size) * 37.0)[codes[name]]
    frame = pl.DataFrame(
        {
            "x": x,
            "y": y,
            "count": count,
            "few": few[codes["few"]],
            "pair": np.array(["yes", "no"])[codes["pair"]],
            "middling": [f"m{code:02d}" for code in codes["middling"]],
            "many": [f"t{code:03d}" for code in codes["many"]],
            "once": pl.Series([None] * (rows - 1) + [1.0], dtype=pl.Float64),
        }
    )
    missing = [
        pl.when(pl.Series(random.random(rows) < 0.07)).then(None).otherwise(name).alias(name)
        for name in ("x", "y", "few", "middling", "many")
    ]
    return frame.with_columns(
        *missing,
        pl.Series("label", random.random(rows) < 1 / (1 + np.exp(-effect))),
        pl.Series("value", random.poisson(np.exp(effect / 3))).cast(pl.Float64),
    )


def imported(frame, folder):
    path = folder / f"{len(list(folder.iterdir()))}.parquet"
    frame.write_parquet(path, compression="zstd")
    return h2o.import_file(str(path), col_types=dict.fromkeys(CATEGORICALS, "enum"))


def predicted(model, frame, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # H2O names each unseen level
        table = model.predict(imported(frame, folder))
    path = folder / f"{len(list(folder.iterdir()))}.csv"
    h2o.export_file(table, str(path), force=True)
    return pl.read_csv(path).to_series(-1).cast(pl.Float64).to_numpy()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("parity")


@pytest.fixture(scope="module")
def training(h2o_server, folder):
    return imported(generated(8_000, 1), folder)


@pytest.fixture(scope="module")
def fresh_rows():
    fresh = generated(3_000, 2).select(FEATURES)
    edges = fresh.head(3).with_columns(
        x=pl.Series([30.0, -30.0, 0.0]), y=pl.Series([0.0, -0.0, 1e-320]), count=-1
    )
    return pl.concat([fresh, edges.cast(dict(fresh.schema))])


def trained(estimator, target, training, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a GLM drops the constant column
        estimator.train(x=FEATURES, y=target, training_frame=training)
    path = Path(estimator.download_mojo(str(folder)))
    mojo = read_mojo(path)
    path.unlink()
    return mojo


@pytest.mark.parametrize(
    ("estimator", "target"),
    [
        *((model, "label") for model in BINOMIAL.values()),
        *((model, "value") for model in REGRESSION.values()),
    ],
    ids=[f"binomial {name}" for name in BINOMIAL] + [f"regression {name}" for name in REGRESSION],
)
def test_predictions_are_those_of_h2o(estimator, target, training, fresh_rows, folder):
    mojo = trained(estimator, target, training, folder)
    hard_rows = altered(fresh_rows, CATEGORICALS, seed=3)
    rows = pl.concat([fresh_rows, hard_rows])
    theirs = predicted(estimator, rows, folder)
    assert theirs.std() > 0.01
    certificate = certify(mojo, rows, theirs, len(hard_rows))
    assert certificate.max_difference <= 1e-9
    assert certificate.ok
    assert certificate.altered_rows > 500
    encoded = mojo.encode(rows.to_dict())
    one_by_one = [mojo.score(row) for row in encoded[::10]]
    np.testing.assert_array_equal(one_by_one, mojo.score_many(encoded)[::10])


def test_a_column_whole_of_na_or_unseen_levels_scores_as_in_h2o(training, fresh_rows, folder):
    estimator = H2OGradientBoostingEstimator(ntrees=10, seed=2)
    mojo = trained(estimator, "label", training, folder)
    rows = fresh_rows.with_columns(
        x=pl.lit(None, dtype=pl.Float64), few=pl.lit(None, dtype=pl.String), many=pl.lit("unseen")
    )
    assert certify(mojo, rows, predicted(estimator, rows, folder)).ok


@pytest.mark.parametrize(
    "estimator",
    [
        lambda seed: H2OGradientBoostingEstimator(ntrees=5, sample_rate=0.7, seed=seed),
        lambda seed: H2ORandomForestEstimator(ntrees=5, seed=seed),
    ],
    ids=["gbm", "drf"],
)
def test_the_digest_tells_what_is_computed_and_not_when(estimator, training, folder):
    first = trained(estimator(1), "label", training, folder)
    again = trained(estimator(1), "label", training, folder)
    other = trained(estimator(2), "label", training, folder)
    assert first.digest == again.digest
    assert first.digest != other.digest


def test_a_glm_fitted_twice_has_one_digest(training, folder):
    def fitted():
        glm = H2OGeneralizedLinearEstimator(family="binomial", lambda_=1e-4, seed=1)
        return trained(glm, "label", training, folder).digest

    assert fitted() == fitted()


@pytest.mark.parametrize(
    "estimator",
    [
        H2OXGBoostEstimator(ntrees=9, max_depth=5, seed=1),
        H2OXGBoostEstimator(ntrees=5, booster="dart", seed=1),
        H2ODeepLearningEstimator(hidden=[6, 4], epochs=1, reproducible=True, seed=1),
    ],
    ids=["xgboost", "xgboost dart", "deeplearning"],
)
def test_predictions_by_h2o_s_own_scorer_are_those_of_h2o(estimator, training, fresh_rows, folder):
    mojo = trained(estimator, "label", training, folder)
    rows = pl.concat([fresh_rows, altered(fresh_rows, CATEGORICALS, seed=3)])
    certificate = certify(mojo, rows, predicted(estimator, rows, folder))
    assert certificate.max_difference <= 1e-9


@pytest.mark.parametrize(
    ("estimator", "target", "category"),
    [
        (H2OIsolationForestEstimator(ntrees=2, seed=1), None, "AnomalyDetection"),
        (H2OGradientBoostingEstimator(ntrees=2, seed=1), "few", "Multinomial"),
        (H2ODeepLearningEstimator(hidden=[2], epochs=0.1, seed=1), "few", "Multinomial"),
    ],
)
def test_what_is_no_probability_of_a_label_is_refused_by_name(
    estimator, target, category, training, folder
):
    with pytest.raises(MojoError, match=f"category must be Binomial or Regr.*; got '{category}'"):
        trained(estimator, target, training, folder)
