"""The spaces of a search have only points that H2O can fit."""

import polars as pl
import pytest

from models.h2o.fit import Tables, fit
from models.h2o.frames import tidy, upload
from models.h2o.search import GRIDS, candidates
from models.h2o.space import Range, is_within, rounded, space_of

FEATURES, LEVELS = ["carrier", "dest", "x0", "x1", "x2", "x3"], ["carrier", "dest"]


@pytest.mark.parametrize("algorithm", GRIDS)
def test_a_space_has_the_grid_s_parameters_and_values(algorithm):
    space = space_of(algorithm)
    assert list(space) == list(GRIDS[algorithm])
    for one in candidates(algorithm, None, 10**6, [1]):
        assert is_within(space, one)


def test_other_names_kinds_and_values_are_not_within():
    defaults = candidates("gbm", None, 0, [1])[0]
    for wrong in ({"more": 1}, {"max_depth": 5.5}, {"max_depth": "5"}, {"learn_rate": 0.3}):
        assert not is_within(space_of("gbm"), defaults | wrong)
    assert not is_within(space_of("gbm"), {})


@pytest.mark.parametrize("algorithm", ["gbm", "drf", "glm", "xgboost", "deeplearning"])
@pytest.mark.parametrize("end", ["low", "high"])
def test_h2o_fits_the_corners(h2o_server, outcomes, algorithm, end):
    corner = {
        name: getattr(of, end) if isinstance(of, Range) else of[0 if end == "low" else -1]
        for name, of in space_of(algorithm).items()
    }
    assert rounded(corner) == corner
    fast = {"ntrees": 3, "epochs": 3, "hidden": "[2]"}
    corner |= {name: fast[name] for name in fast if name in corner}
    with tidy(h2o_server) as prefix:
        names = Tables(f"{prefix}training", f"{prefix}validation")
        for name, rows in zip(names, (outcomes[:1_000], outcomes[1_000:1_200]), strict=True):
            upload(h2o_server, name, rows.with_columns(pl.col("label")), FEATURES, LEVELS)
        model, _ = fit(h2o_server, algorithm, f"{prefix}model", names, corner, 1)
        assert model
