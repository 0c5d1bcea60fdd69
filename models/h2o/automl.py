"""H2O's AutoML, bounded by the number of models and never by time, so that it repeats."""

from models.h2o.frames import LABEL, TIMES
from models.h2o.server import H2OServer

FOLDS = 3


def automl(
    server: H2OServer, name: str, training: str, validation: str, most: int, seed: int
) -> str:
    """Fit many models of many algorithms, and ensembles of them.

    Deep Learning is left out: AutoML does not offer its repeatable kind.

    Args:
        server: Where the tables are.
        name: Part of the name of each model.
        training: The table to fit on.
        validation: The table that the models are ranked by, by log-loss.
        most: How many models, ensembles not counted.
        seed: Of everything random.

    Returns:
        The best model's name in H2O.
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
