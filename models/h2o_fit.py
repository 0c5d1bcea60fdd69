"""Fits in H2O: one model, and the best of several candidates."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from models.h2o_frames import TIMES, predict
from models.h2o_server import H2OServer
from models.scorecard import Floats, log_losses
from models.search import Parameters

STOPPING = {
    "score_tree_interval": 10,
    "stopping_rounds": 2,
    "stopping_metric": "logloss",
    "stopping_tolerance": 1e-3,
}


class Candidate(NamedTuple):
    """One fitted candidate.

    Attributes:
        model: Its name in H2O.
        parameters: What was tried.
        trees: How many were grown before the validation loss stopped falling; None without trees.
        probabilities: For the validation rows, in their order.
        log_loss: The mean over them.
    """

    model: str
    parameters: Parameters
    trees: int | None
    probabilities: Floats
    log_loss: float


class Tables(NamedTuple):
    """Names in H2O: the rows to fit on and the rows to judge by."""

    training: str
    validation: str


def best_of(
    server: H2OServer,
    algorithm: str,
    tables: Tables,
    labels: Floats,
    tries: Iterable[Parameters],
    seed: int,
) -> tuple[Candidate, list[Candidate]]:
    """Fit every candidate; the winner has the lowest log-loss, of equals the first.

    Args:
        server: Where the tables are.
        algorithm: H2O's name of it.
        tables: Training and validation.
        labels: Of the validation rows.
        tries: The parameters to try.
        seed: Of H2O's sampling.

    Returns:
        The winner, and all.
    """
    fitted = []
    for number, parameters in enumerate(tries):
        name = f"{tables.training}.{number}"
        trees = fit(server, algorithm, name, tables, parameters, seed)
        guess = predict(server, name, tables.validation)
        loss = float(log_losses(labels, guess).mean())
        fitted.append(Candidate(name, parameters, trees, guess, loss))
    return min(fitted, key=lambda candidate: candidate.log_loss), fitted


def fit(
    server: H2OServer,
    algorithm: str,
    name: str,
    tables: Tables,
    parameters: Parameters,
    seed: int,
) -> int | None:
    """Fit one model, with early stopping on the validation rows if it grows trees.

    Returns:
        The number of its trees; None without trees.
    """
    return _build(
        server,
        algorithm,
        name,
        training_frame=tables.training,
        validation_frame=tables.validation,
        seed=seed,
        **parameters,
        **(STOPPING if "ntrees" in parameters else {}),
    )


def refit(server: H2OServer, algorithm: str, winner: Candidate, table: str, seed: int) -> str:
    """Fit the winner's parameters, with its number of trees, on another table.

    Returns:
        The model's name in H2O.
    """
    name = f"{table}.refit"
    trees = {} if winner.trees is None else {"ntrees": winner.trees}
    _build(server, algorithm, name, training_frame=table, seed=seed, **winner.parameters | trees)
    return name


def _build(server: H2OServer, algorithm: str, name: str, **fields: Any) -> int | None:
    job = server.request(
        f"POST /3/ModelBuilders/{algorithm}",
        model_id=name,
        response_column="label",
        ignored_columns=[f'"{column}"' for column in TIMES],
        **fields,
    )["job"]
    server.wait(job["key"]["name"])
    summary = server.request(f"GET /3/Models/{name}")["models"][0]["output"]["model_summary"]
    if "number_of_trees" not in summary.col_header:
        return None
    return int(summary["number_of_trees"][0])
