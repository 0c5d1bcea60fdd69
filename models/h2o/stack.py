"""A stacked ensemble in H2O: base models, and a metalearner that weighs them."""

from models.h2o.build import STOPPING, build, submitted
from models.h2o.search import GRIDS, Parameters
from models.h2o.server import H2OServer

BASES = ("gbm", "drf", "glm")  # algorithms that H2O fits on every machine
FOLDS = 3


def stack(server: H2OServer, name: str, table: str, parameters: Parameters, seed: int) -> None:
    """Fit an ensemble of the default GBM, DRF and GLM.

    The metalearner learns from each base model's cross-validated predictions. The base models of a
    table are fitted once, for all ensembles on that table.

    Args:
        server: H2O that has the table.
        name: Name for the ensemble in H2O.
        table: Table to fit on.
        parameters: Parameters of the ensemble.
        seed: Seed of H2O's sampling.
    """
    bases = [f"{table}.{algorithm}" for algorithm in BASES]
    there = {model["model_id"]["name"] for model in server.request("GET /3/Models")["models"]}
    for algorithm, base in zip(BASES, bases, strict=True):
        if base not in there:
            _base(server, algorithm, base, table, seed)
    submitted(
        server,
        "POST /99/ModelBuilders/stackedensemble",
        name,
        training_frame=table,
        base_models=[f'"{base}"' for base in bases],
        seed=seed,
        **parameters,
    )


def _base(server: H2OServer, algorithm: str, name: str, table: str, seed: int) -> None:
    defaults = {parameter: values[0] for parameter, values in GRIDS[algorithm].items()}
    build(
        server,
        algorithm,
        name,
        training_frame=table,
        seed=seed,
        nfolds=FOLDS,
        fold_assignment="Modulo",
        keep_cross_validation_predictions=True,
        keep_cross_validation_models=False,
        **defaults,
        **(STOPPING if "ntrees" in defaults else {}),
    )
