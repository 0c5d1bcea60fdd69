"""Any River classifier, named in the settings, over the linear models' design."""

import importlib
import inspect
import math
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pickle import PicklingError
from typing import Any

import msgspec
from river.base import Classifier

from models.logits import logit


class RiverError(ValueError):
    """`online.river` does not describe a River classifier, or the classifier fails."""


_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    PicklingError,
    RecursionError,
    TypeError,
    ValueError,
)
"""Errors that River's classes raise for invalid arguments."""


class RiverModel:
    """A River classifier made from its description.

    Args:
        description: `class` is a path under `river`, the rest are its arguments; an argument that
            is a table with a `class` is built the same way. A random class without a `seed` gets
            one, so that the same labels give the same model.

    Raises:
        RiverError: There is no such classifier, or it refuses these arguments.

    Example:
        >>> model = RiverModel({"class": "linear_model.LogisticRegression",
        ...                     "optimizer": {"class": "optim.SGD", "lr": 0.5}})
        >>> model.predict({0: 1.0})
        0.5
        >>> model.learn({0: 1.0}, 1)
        >>> model.predict({0: 1.0}) > 0.5
        True
    """

    def __init__(self, description: Mapping[str, Any]) -> None:
        self._model, self._path = _made(description), description.get("class")
        with self._named():  # an empty pipeline fails even here
            is_classifier = isinstance(self._model, Classifier)
        if not is_classifier:
            msg = f"online.river must name a classifier; got {self._path!r}"
            raise RiverError(msg)

    def predict(self, design: dict[int, float]) -> float:
        """Probability of label 1; 0.5 while the model knows nothing.

        A model that gives no number counts as one that knows nothing.

        Raises:
            RiverError: The model fails.
        """
        with self._named():
            shares = self._model.predict_proba_one(design)
            p = float(shares.get(1, shares.get(True, 0.5 if not shares else 0.0)))
        return 0.5 if math.isnan(p) else min(max(p, 0.0), 1.0)

    def learn(self, design: dict[int, float], label: int) -> None:
        """Learn from one labelled design.

        Raises:
            RiverError: The model fails.
        """
        with self._named():
            self._model.learn_one(design, label)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except _FAILURES as error:
            got = f"{_in_one_line(error)} from {self._path!r}"
            msg = f"online.river must accept every event; got {got}"
            raise RiverError(msg) from error

    def snapshot(self) -> bytes:
        """Encode the model by River's own persistence, a pickle; load only this home's own."""
        return pickle.dumps(self._model)

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot`.

        Raises:
            ValueError: The bytes are not such a model.
        """
        try:
            model = pickle.loads(state)  # noqa: S301 - from our own checkpoint, see snapshot
        except Exception as error:  # a damaged pickle may raise any error
            msg = f"the River classifier must be readable; got {error!r}"
            raise ValueError(msg) from error
        if type(model) is not type(self._model):
            wanted, got = type(self._model).__name__, type(model).__name__
            msg = f"the River classifier must be a {wanted}; got a {got}"
            raise ValueError(msg)
        self._model = model


class RiverModels:
    """River classifiers that learn beside the bank, over its design.

    Args:
        descriptions: One for each classifier, see `RiverModel`.
    """

    def __init__(self, descriptions: Sequence[Mapping[str, Any]]) -> None:
        self._models = [RiverModel(one) for one in descriptions]

    def __len__(self) -> int:
        return len(self._models)

    def logits(self, design: dict[int, float]) -> list[float]:
        """Log odds of each classifier.

        Raises:
            RiverError: A model fails.
        """
        return [logit(model.predict(design)) for model in self._models]

    def learn(self, design: dict[int, float], label: int) -> None:
        """Let each classifier learn from one labelled design.

        Raises:
            RiverError: A model fails.
        """
        for model in self._models:
            model.learn(design, label)

    def snapshot(self) -> bytes:
        """Encode the models; see `RiverModel.snapshot`."""
        return msgspec.msgpack.encode([model.snapshot() for model in self._models])

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot`.

        Raises:
            ValueError: The number of models differs, or one is invalid.
            msgspec.DecodeError: The bytes have another form.
        """
        states = msgspec.msgpack.decode(state, type=list[bytes])
        if len(states) != len(self._models):
            msg = f"River classifiers must be {len(self._models)}; got {len(states)}"
            raise ValueError(msg)
        for model, one in zip(self._models, states, strict=True):
            model.restore(one)


def check_river(description: Mapping[str, Any]) -> None:
    """Refuse a description that gives no classifier, or one that fails at once.

    Raises:
        RiverError: The message is one line with the reason.

    Example:
        >>> check_river({"class": "utils.math.softmax"})
        Traceback (most recent call last):
        models.linear.river_model.RiverError: online.river must name a class of River; got \
'utils.math.softmax'
    """
    model = RiverModel(description)
    for label in (0, 1, 1):
        model.predict({0: float(label), 1: 1.0})
        model.learn({0: float(label), 1: 1.0}, label)
    with model._named():  # noqa: SLF001 - this module's
        model.snapshot()


def _made(description: Any) -> Any:
    """Build the object that a table with a `class` describes; return other values unchanged."""
    if isinstance(description, list):
        return [_made(one) for one in description]
    if not isinstance(description, Mapping):
        return description
    arguments = dict(description)
    kind = _class_of(arguments.pop("class", ""))
    try:
        if "seed" in inspect.signature(kind).parameters:
            arguments.setdefault("seed", 1)
        return kind(**{key: _made(value) for key, value in arguments.items()})
    except _FAILURES as error:
        if isinstance(error, RiverError):
            raise
        msg = f"online.river must fit {kind.__name__}; got {_in_one_line(error)}"
        raise RiverError(msg) from error


def _class_of(path: Any) -> type[Any]:
    """Find a class of River; names that its modules import from elsewhere are refused."""
    module, _, name = str(path).rpartition(".")
    why = ""
    try:
        kind = getattr(importlib.import_module(f"river.{module}"), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        kind, why = None, f": {error}"
    if isinstance(kind, type):
        package = kind.__module__.split(".")
        if package[0] == "river" and "datasets" not in package:
            return kind
    msg = f"online.river must name a class of River; got {path!r}{why}"
    raise RiverError(msg)


def _in_one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
