"""Fit one model in H2O, or the best of several candidates."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from models.h2o.automl import automl
from models.h2o.build import STOPPING, build
from models.h2o.errors import H2OFailed
from models.h2o.frames import predict
from models.h2o.search import Parameters
from models.h2o.server import H2OServer
from models.h2o.stack import stack
from models.scorecard import Floats, log_losses


class Candidate(NamedTuple):
    """A fitted candidate.

    Attributes:
        model: Name of the model in H2O.
        table: Name in H2O of the rows that it was fitted on.
        parameters: Parameters of the fit.
        trees: Trees grown until the validation loss stopped falling; None for a model without
            trees.
        probabilities: P(label is 1) for the validation rows, in order.
        log_loss: Mean log-loss over these rows.
        thinning: One of so many rows of the window is in the table.
    """

    model: str
    table: str
    parameters: Parameters
    trees: int | None
    probabilities: Floats
    log_loss: float
    thinning: int = 1


class Tables(NamedTuple):
    """Names in H2O of the table to fit on and the table to validate on."""

    training: str
    validation: str


def fit_each(
    server: H2OServer,
    algorithm: str,
    tables: Tables,
    labels: Floats,
    tries: Iterable[Parameters],
    seed: int,
    first: int = 0,
    thinning: int = 1,
) -> list[Candidate]:
    """Fit every candidate.

    A candidate with a NaN or infinite probability, as extreme numbers can cause, is left out.

    Args:
        server: H2O that has the tables.
        algorithm: H2O's name of the algorithm.
        tables: Names of the training and validation tables.
        labels: Labels of the validation rows.
        tries: Parameters of the candidates.
        seed: Seed of H2O's sampling.
        first: Number of the first one among those of the table.
        thinning: One of so many rows of the window is in the training table.
    """
    fitted = []
    for number, parameters in enumerate(tries, first):
        name = f"{tables.training}.{number}"
        model, trees = fit(server, algorithm, name, tables, parameters, seed)
        guess = predict(server, model, tables.validation)
        if not np.isfinite(guess).all():
            continue
        loss = float(log_losses(labels, guess).mean())
        fitted.append(Candidate(model, tables.training, parameters, trees, guess, loss, thinning))
    return fitted


def best_of(algorithm: str, fitted: list[Candidate]) -> Candidate:
    """The candidate with the lowest log-loss, of equals the first.

    Raises:
        H2OFailed: There is none.
    """
    if not fitted:
        msg = (
            f"{algorithm} must give a finite probability for each row; got NaN or an infinity from "
            "each candidate: are there extreme numbers in the events?"
        )
        raise H2OFailed(msg)
    return min(fitted, key=lambda candidate: candidate.log_loss)


def fit(
    server: H2OServer,
    algorithm: str,
    name: str,
    tables: Tables,
    parameters: Parameters,
    seed: int,
) -> tuple[str, int | None]:
    """Fit one model; if it grows trees, stop early by the validation rows.

    Returns:
        The model's name in H2O, and its number of trees (None for a model without trees).
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
    """Fit the winner's parameters and number of trees on another table.

    Args:
        server: H2O that has the table.
        algorithm: Any algorithm except `automl`, whose winner has no parameters of its own.
        winner: Winner of the search.
        table: Table to fit on.
        seed: Seed of H2O's sampling.

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
