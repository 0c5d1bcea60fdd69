"""Writes small models of the algorithms that H2O's own scorer serves, with H2O's predictions.

`python -m tests.golden_mojos` makes them anew with the H2O that is installed.
"""

import io
import tempfile
import zipfile
from pathlib import Path

import polars as pl

from models.h2o.build import build
from models.h2o.fit import Tables, fit
from models.h2o.frames import held, import_files, predict, tidy, upload
from models.h2o.search import GRIDS
from models.h2o.server import H2OServer
from models.refit.certificate import altered, kept_rows
from tests.conftest import _outcomes

FOLDER = Path(__file__).parent / "models" / "mojos"
FEATURES = ["carrier", "dest", "x0", "x1", "x2", "x3"]
CATEGORICALS = ["carrier", "dest"]
PARAMETERS = {
    "xgboost": {"ntrees": 5, "max_depth": 3},
    "deeplearning": {"hidden": "[4,3]", "epochs": 2},
    "stackedensemble": {"metalearner_transform": "Logit"},
}


def plain(archive: bytes) -> bytes:
    """A MOJO without what it is not scored with, which is most of its bytes."""
    slim = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(slim, "w") as target:
        for name in source.namelist():
            if "experimental/" not in name:
                target.writestr(name, source.read(name), zipfile.ZIP_DEFLATED)
    return slim.getvalue()


def main() -> None:
    """Fit, export and predict."""
    for base in ("gbm", "drf"):  # enough for what is tested
        GRIDS[base] |= {"ntrees": [3], "max_depth": [3]}
    rows = _outcomes(5, 400, 2)
    new = _outcomes(1, 150, 3).select(FEATURES)
    check = pl.concat([new, altered(new, CATEGORICALS, 1)])
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        H2OServer(memory="600m", threads=1) as server,
        tidy(server) as prefix,
    ):
        path = Path(folder) / "rows.parquet"
        rows.write_parquet(path)
        tables = Tables(f"{prefix}t", f"{prefix}t")
        import_files(server, tables.training, [path], FEATURES, CATEGORICALS)
        upload(server, f"{prefix}c", check, FEATURES, CATEGORICALS)
        exact = held(server, f"{prefix}c", FEATURES, CATEGORICALS)
        models = {
            algorithm: fit(server, algorithm, f"{prefix}{algorithm}", tables, parameters, 1)[0]
            for algorithm, parameters in PARAMETERS.items()
        }
        for algorithm, model in models.items():
            archive = server.download(f"GET /3/Models/{model}/mojo")
            (FOLDER / f"{algorithm}.zip").write_bytes(plain(archive))
            kept = kept_rows(exact, predict(server, model, f"{prefix}c"))
            (FOLDER / f"{algorithm}.parquet").write_bytes(kept)
        build(
            server,
            "isolationforest",
            f"{prefix}forest",
            training_frame=tables.training,
            ntrees=2,
            seed=1,
        )
        archive = server.download(f"GET /3/Models/{prefix}forest/mojo")
        (FOLDER / "isolationforest.zip").write_bytes(plain(archive))


if __name__ == "__main__":
    main()
