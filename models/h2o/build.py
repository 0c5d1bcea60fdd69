"""One model built by H2O."""

from typing import Any

from models.h2o.frames import TIMES
from models.h2o.server import H2OServer

STOPPING = {
    "score_tree_interval": 10,
    "stopping_rounds": 2,
    "stopping_metric": "logloss",
    "stopping_tolerance": 1e-3,
}
# What makes a fit repeat, beside its seed.
REPEATABLE: dict[str, dict[str, Any]] = {
    # By default Deep Learning scores, keeps the best and stops by the clock, in racing threads.
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
    """Fit one model on all columns but the times; `label` is what it foretells.

    Args:
        server: Where the tables are.
        algorithm: H2O's name of it.
        name: The model's name in H2O.
        fields: H2O's parameters of the algorithm.

    Returns:
        The number of its trees; None without trees.
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
    """Ask for a model with just these fields, wait for it, and return its number of trees."""
    job = server.request(endpoint, model_id=name, response_column="label", **fields)["job"]
    server.wait(job["key"]["name"])
    summary = server.request(f"GET /3/Models/{name}")["models"][0]["output"]["model_summary"]
    if summary is None or "number_of_trees" not in summary.col_header:
        return None
    return int(summary["number_of_trees"][0])
