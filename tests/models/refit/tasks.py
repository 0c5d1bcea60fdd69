"""Tasks of fits on the outcomes of `tests/conftest.py`."""

from models.refit.plan import FitTask


def fit_task(files, **given):
    """A task on files with all features of these outcomes."""
    return FitTask(
        files=files,
        features=["carrier", "dest", "x0", "x1", "x2", "x3"],
        categoricals=["carrier", "dest"],
        **given,
    )
