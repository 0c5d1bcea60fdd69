"""The offline model in a shard: a MOJO bound to the columns of a stream's vector."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.judging.column_reference import Reference
from models.mojo.model import Mojo
from models.pointer_tables import GIVEN, GLM, NO_MODEL, OFFLINE, TREES, PointerTable

NO_TABLE = PointerTable(OFFLINE, {"kind": NO_MODEL}, ())
"""The table that stands for no offline model in compiled code."""

_KINDS = {"gbm": TREES, "drf": TREES, "glm": GLM}


class Offline:
    """Scores a stream's vectors with a MOJO.

    Predicting changes nothing that other threads could see.

    Args:
        model: Id of the model.
        mojo: The model's reader.
        columns: Names of the vector's columns.
        levels: Level names of each categorical column, by number; the lists may grow.
        reference: The columns in its training window; None: it has no profile.

    Attributes:
        model: Id of the model.
        reference: The columns in its training window; None: it has no profile.
        is_compiled: Whether compiled code can score it; otherwise its probability must be passed
            in.
        table: Table for compiled code, with the levels known at the last `learn_levels`.

    Raises:
        ValueError: The MOJO needs a column that the stream lacks, or has as another type.
    """

    def __init__(
        self,
        model: str,
        mojo: Mojo,
        columns: Sequence[str],
        levels: Mapping[int, Sequence[str]],
        reference: Reference | None = None,
    ) -> None:
        self.model = model
        self.reference = reference
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
        self._by_place = {int(self._places[level.place]): level for level in self._levels}
        self.is_compiled = bool(mojo.kernel_args)
        self.table = self._table()

    def predict(self, row: NDArray[np.float64]) -> float:
        """P(label is 1) for one vector; an unseen level counts as missing."""
        own = row.take(self._places)
        for level in self._levels:
            own[level.place] = level.number(own[level.place])
        return self._mojo.score(own)

    def predict_many(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """`predict` for many vectors, float64[n, width]."""
        own = np.take(rows, self._places, axis=1)
        for level in self._levels:
            own[:, level.place] = level.numbers(own[:, level.place])
        return self._mojo.score_many(own)

    def knows(self, place: int, level: str) -> bool:
        """Whether the model was fitted on a level of this column."""
        return place in self._by_place and self._by_place[place].knows(level)

    def bound_to(self, columns: Sequence[str], levels: Mapping[int, Sequence[str]]) -> "Offline":
        """Bind the same model to other levels; for the arguments, see the class."""
        return Offline(self.model, self._mojo, columns, levels)

    def learn_levels(self) -> None:
        """Make a new `table` if the stream has levels that this one lacks."""
        known = sum(len(level.names) for level in self._levels)
        if self.is_compiled and known != self.table.row["n_codes"][0]:
            self.table = self._table()

    def _table(self) -> PointerTable:
        if not self.is_compiled:  # its levels are found by name
            return PointerTable(OFFLINE, {"kind": GIVEN}, ())
        ranges = np.full((len(self._places), 2), -1, np.int64)
        codes: list[float] = []
        for level in self._levels:
            begin = len(codes)
            codes += level.codes()
            ranges[level.place] = begin, len(codes)
        arrays = [self._places, ranges, np.array(codes, np.float64), *self._mojo.kernel_args[:3]]
        places, levels, code, a, b, c = arrays
        fields: dict[str, Any] = {
            "kind": _KINDS[self._mojo.algorithm],
            "width": len(self._places),
            "places": places.ctypes.data,
            "levels": levels.ctypes.data,
            "codes": code.ctypes.data,
            "n_codes": len(codes),
        }
        for name, array in (("a", a), ("b", b), ("c", c)):
            fields |= {name: array.ctypes.data, f"n_{name}": len(array)}
        names = (
            ("skipped", "link")
            if fields["kind"] == GLM
            else ("init", "divisor", "link", "weight_0", "weight_1")
        )
        fields |= zip(names, self._mojo.kernel_args[3:], strict=True)
        return PointerTable(OFFLINE, fields, arrays)


class _LevelMap:
    """Maps the stream's level numbers to the MOJO's."""

    __slots__ = ("_domain", "names", "place")

    def __init__(self, place: int, names: Sequence[str], domain: Sequence[str]) -> None:
        self.place = place
        self.names = names
        self._domain = {name: float(i) for i, name in enumerate(domain)}

    def knows(self, name: str) -> bool:
        """Whether the MOJO has a level of that name."""
        return name in self._domain

    def number(self, level: float) -> float:
        """The MOJO's number of a level; NaN for NaN and for an unknown or unnamed level."""
        if not level < len(self.names):
            return np.nan
        return self._domain.get(self.names[int(level)], np.nan)

    def numbers(self, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        """`number` for each level."""
        codes = np.array([*self.codes(), np.nan])
        nameless = float(len(codes) - 1)
        return codes[np.where(levels < nameless, levels, nameless).astype(np.int64)]

    def codes(self) -> list[float]:
        """The MOJO's numbers of all current levels."""
        return [self._domain.get(name, np.nan) for name in self.names]
