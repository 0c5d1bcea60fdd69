"""Raw sums become predictions as in H2O's own Java, where the exponential is large too."""

import pytest

from models.mojo.java_scorer import start_java
from models.mojo.link import IDENTITY, LOG, LOGIT, inverse, inverse_of_trees

SUMS = [0.0, 1.0, -1.0, 43.0, -43.0, 44.0, -44.0, 50.0, -50.0, 800.0, -800.0]


@pytest.fixture(scope="module")
def java():
    start_java()
    import jpype  # noqa: PLC0415 - it takes Java

    return jpype.JClass


@pytest.mark.parametrize(
    ("link", "name"),
    [(IDENTITY, "IdentityFunction"), (LOGIT, "LogitFunction"), (LOG, "LogFunction")],
)
def test_trees_predict_what_the_link_function_of_h2o_gives(java, link, name):
    wanted = java(f"hex.{name}")()
    for raw in SUMS:
        assert inverse_of_trees(link, raw) == pytest.approx(wanted.linkInv(raw), rel=1e-14)


@pytest.mark.parametrize(("link", "name"), [(LOGIT, "GLM_logitInv"), (LOG, "GLM_logInv")])
def test_linear_models_predict_what_h2o_s_generated_models_do(java, link, name):
    wanted = getattr(java("hex.genmodel.GenModel"), name)
    for raw in SUMS:
        assert inverse(link, raw) == pytest.approx(wanted(raw), rel=1e-14)
