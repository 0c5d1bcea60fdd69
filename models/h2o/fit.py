"""Fits in H2O: one model, and the best of several candidates."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from models.h2o.automl import automl
from models.h2o.build import STOPPING, build
from models.h2o.frames import predict
from models.h2o.search import Parameters
from models.h2o.server import H2OFailed, H2OServer
from models.h2o.stack import stack
from models.scorecard import Floats, log_losses


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

    A candidate without a finite probability for each row, as of extreme numbers, is left out.

    Args:
        server: Where the tables are.
        algorithm: H2O's name of it.
        tables: Training and validation.
        labels: Of the validation rows.
        tries: The parameters to try.
        seed: Of H2O's sampling.

    Returns:
        The winner, and all.

    Raises:
        H2OFailed: No candidate is left.
    """
    fitted = []
    for number, parameters in enumerate(tries):
        name = f"{tables.training}.{number}"
        model, trees = fit(server, algorithm, name, tables, parameters, seed)
        guess = predict(server, model, tables.validation)
        if not np.isfinite(guess).all():
            continue
        loss = float(log_losses(labels, guess).mean())
        fitted.append(Candidate(model, parameters, trees, guess, loss))
    if not fitted:
        msg = (
            f"{algorithm} must give a finite probability for each row; got NaN or an infinity from "
            "each candidate: are there extreme numbers in the events?"
        )
        raise H2OFailed(msg)
    return min(fitted, key=lambda candidate: candidate.log_loss), fitted


def fit(
    server: H2OServer,
    algorithm: str,
    name: str,
    tables: Tables,
    parameters: Parameters,
    seed: int,
) -> tuple[str, int | None]:
    """Fit one model, with early stopping on the validation rows if it grows trees.

    Returns:
        The model's name in H2O; the number of its trees, None without trees.
    """
    if algorithm == "automl":
        most = int(parameters["max_models"])
        return automl(server, name, tables.training, tables.validation, most, seed), None
    if algorithm == "stackedensemble":
        stack(server, name, tables.training, parameters, seed)
        return name, None
    trees = build(
        server,
        algorithm,
        name,
        training_frame=tables.training,
        validation_frame=tables.validation,
        seed=seed,
        **parameters,
        **(STOPPING if "ntrees" in parameters else {}),
    )
    return name, trees


def refit(server: H2OServer, algorithm: str, winner: Candidate, table: str, seed: int) -> str:
    """Fit the winner's parameters, with its number of trees, on another table.

    Args:
        server: Where the table is.
        algorithm: Any but `automl`, whose winner has no parameters of its own.
        winner: Of the search.
        table: To fit on.
        seed: Of H2O's sampling.

    Returns:
        The model's name in H2O.
    """
    name = f"{table}.refit"
    if algorithm == "stackedensemble":
        stack(server, name, table, winner.parameters, seed)
        return name
    trees = {} if winner.trees is None else {"ntrees": winner.trees}
    build(server, algorithm, name, training_frame=table, seed=seed, **winner.parameters | trees)
    return name
