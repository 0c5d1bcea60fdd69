"""Build one model in H2O."""

from typing import Any

from models.h2o.frames import TIMES
from models.h2o.server import H2OServer

STOPPING = {
    "score_tree_interval": 10,
    "stopping_rounds": 2,
    "stopping_metric": "logloss",
    "stopping_tolerance": 1e-3,
}
# Parameters that make a fit repeatable, besides its seed.
REPEATABLE: dict[str, dict[str, Any]] = {
    # By default Deep Learning uses racing threads, and scores and stops by the clock.
    "deeplearning": {
        "reproducible": True,
        "train_samples_per_iteration": 0,
        "stopping_rounds": 0,
        "classification_stop": -1,
        "overwrite_with_best_model": False,
    },
    "xgboost": {"backend": "cpu"},
}


def build(server: H2OServer, algorithm: str, name: str, **fields: Any) -> int | None:
    """Fit a model that predicts `label` from all columns except the times.

    Args:
        server: H2O that has the tables.
        algorithm: H2O's name of the algorithm.
        name: Name for the model in H2O.
        fields: Parameters of the algorithm.

    Returns:
        Number of trees; None for a model without trees.
    """
    return submitted(
        server,
        f"POST /3/ModelBuilders/{algorithm}",
        name,
        ignored_columns=[f'"{column}"' for column in TIMES],
        **REPEATABLE.get(algorithm, {}),
        **fields,
    )


def submitted(server: H2OServer, endpoint: str, name: str, **fields: Any) -> int | None:
    """Request a model, wait until it is built, and return its number of trees."""
    job = server.request(endpoint, model_id=name, response_column="label", **fields)["job"]
    server.wait(job["key"]["name"])
    summary = server.request(f"GET /3/Models/{name}")["models"][0]["output"]["model_summary"]
    if summary is None or "number_of_trees" not in summary.col_header:
        return None
    return int(summary["number_of_trees"][0])
