"""Any River classifier, named in the settings, over the linear models' design."""

import importlib
import inspect
import pickle
from collections.abc import Mapping
from typing import Any

from river.base import Classifier


class RiverModel:
    """A River classifier made from its description.

    Args:
        description: `class` is a path under `river`, the rest its arguments; an argument that is a
            table with a `class` is made the same way. What draws at random and is given no `seed`
            gets one: the same labels must make the same model.

    Raises:
        ValueError: There is no such classifier, or it does not take these arguments.

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
        self._model = _made(description)
        if not isinstance(self._model, Classifier):
            msg = f"online.river must name a classifier; got {description['class']!r}"
            raise ValueError(msg)  # noqa: TRY004 - a wrong setting, not a wrong call

    def predict(self, design: dict[int, float]) -> float:
        """Probability of label 1; an even chance as long as the model knows nothing."""
        shares = self._model.predict_proba_one(design)
        return float(shares.get(1, shares.get(True, 0.5 if not shares else 0.0)))

    def learn(self, design: dict[int, float], label: int) -> None:
        """Take in one labelled design."""
        self._model.learn_one(design, label)

    def snapshot(self) -> bytes:
        """River's own persistence: a pickle. Read back only what this home's flow wrote."""
        return pickle.dumps(self._model)

    def restore(self, state: bytes) -> None:
        """Take the model from `snapshot`."""
        self._model = pickle.loads(state)  # noqa: S301 - from our own checkpoint, see snapshot


def _made(description: Any) -> Any:
    if not isinstance(description, Mapping):
        return description
    arguments = dict(description)
    path = str(arguments.pop("class", ""))
    module, _, name = path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(f"river.{module}"), name)
        if "seed" in inspect.signature(kind).parameters:
            arguments.setdefault("seed", 1)
        return kind(**{key: _made(value) for key, value in arguments.items()})
    except (ImportError, AttributeError, TypeError) as error:
        msg = f"online.river must describe something that River has; got {path!r}: {error}"
        raise ValueError(msg) from error
