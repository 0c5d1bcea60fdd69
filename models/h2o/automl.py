"""H2O's AutoML, bounded by the number of models instead of time, so that runs are repeatable."""

from models.h2o.frames import LABEL, TIMES
from models.h2o.server import H2OServer

FOLDS = 3


def automl(
    server: H2OServer, name: str, training: str, validation: str, most: int, seed: int
) -> str:
    """Fit many models of several algorithms, and ensembles of them.

    Deep Learning is left out, as AutoML does not offer its reproducible mode.

    Args:
        server: H2O that has the tables.
        name: Part of each model's name.
        training: Table to fit on.
        validation: Table on which the models are ranked by log-loss.
        most: Number of models to fit, without the ensembles.
        seed: Seed of all random choices.

    Returns:
        Name of the best model in H2O.
    """
    project = name.replace(".", "_")
    body = {
        "build_control": {
            "project_name": project,
            "nfolds": FOLDS,
            "keep_cross_validation_predictions": True,
            "stopping_criteria": {
                "max_models": most,
                "seed": seed,
                "max_runtime_secs": 0,
                "max_runtime_secs_per_model": 0,
            },
        },
        "build_models": {"exclude_algos": ["DeepLearning"]},
        "input_spec": {
            "training_frame": training,
            "leaderboard_frame": validation,
            "response_column": LABEL,
            "ignored_columns": list(TIMES),
            "sort_metric": "logloss",
        },
    }
    job = server.submit("POST /99/AutoMLBuilder", body)["job"]
    server.wait(job["key"]["name"])
    ranked = server.request(f"GET /99/AutoML/{project}")["leaderboard"]["models"]
    return str(ranked[0]["name"])
