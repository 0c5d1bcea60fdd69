"""The offline model in a shard: a MOJO bound to the places of a stream's vector."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.mojo import Mojo


class Offline:
    """Scores a stream's vectors with a MOJO.

    Args:
        model: The model's id.
        mojo: What computes.
        columns: Names of the vector's places.
        levels: Names of the levels of each categorical place, by number; the lists may grow.

    Raises:
        ValueError: The MOJO wants a column that the stream lacks, or of another kind.
    """

    def __init__(
        self,
        model: str,
        mojo: Mojo,
        columns: Sequence[str],
        levels: Mapping[int, Sequence[str]],
    ) -> None:
        self.model = model
        self._mojo = mojo
        places = {name: i for i, name in enumerate(columns)}
        missing = [name for name in mojo.columns if name not in places]
        if missing:
            msg = f"model {model} wants column {missing[0]!r} that the stream lacks; refit it"
            raise ValueError(msg)
        self._places = np.array([places[name] for name in mojo.columns], np.int64)
        self._levels: list[_LevelMap] = []
        for j, (name, domain) in enumerate(zip(mojo.columns, mojo.domains, strict=True)):
            names = levels.get(places[name])
            if (domain is None) != (names is None):
                kind = "numeric" if domain is None else "categorical"
                msg = (
                    f"model {model} takes column {name!r} as {kind}, the stream does not; refit it"
                )
                raise ValueError(msg)
            if domain is not None and names is not None:
                self._levels.append(_LevelMap(j, names, domain))
        self._row = np.zeros(len(mojo.columns))

    def predict(self, row: NDArray[np.float64]) -> float:
        """P(label is 1) for one vector; a level that the model never saw counts as missing."""
        own = row.take(self._places, out=self._row)
        for level in self._levels:
            own[level.place] = level.number(own[level.place])
        return self._mojo.score(own)


class _LevelMap:
    """From the stream's level numbers to the MOJO's."""

    __slots__ = ("_domain", "_known", "_names", "place")

    def __init__(self, place: int, names: Sequence[str], domain: Sequence[str]) -> None:
        self.place = place
        self._names = names
        self._domain = {name: float(i) for i, name in enumerate(domain)}
        self._known: list[float] = []

    def number(self, level: float) -> float:
        if level != level:  # noqa: PLR0124 - NaN, without the cost of a call
            return level
        known = self._known
        while len(known) <= level:
            known.append(self._domain.get(self._names[len(known)], np.nan))
        return known[int(level)]
