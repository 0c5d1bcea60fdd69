"""Tables inside H2O: import from Parquet, split by time, predict on, and delete."""

import io
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.h2o.errors import H2OFailed, H2OLost
from models.h2o.server import H2OServer
from models.h2o.time_split import TimeRange

LABEL = "label"
TIMES = ("event_time", "label_time")
# Chunks seed the row sampling; with H2O's default their size would depend on the number of cores.
CHUNK_BYTES = 4 << 20


@contextmanager
def tidy(server: H2OServer) -> Iterator[str]:
    """Yield a prefix for names in H2O, and delete all objects with that prefix at the end.

    Other users of the same H2O have other prefixes.
    """
    prefix = f"headwater{server.session}_"
    try:
        yield prefix
    finally:
        try:
            for key in _stored(server, prefix):
                _rapids(server, f'(rm "{key}")')
            for job in _listed(server, "GET /3/Jobs"):
                if job["dest"] is not None and prefix in job["dest"]["name"]:
                    server.request(f"DELETE /3/DKV/{job['key']['name']}")
        except H2OLost:
            pass  # H2O is gone, and its tables with it


def _stored(server: H2OServer, prefix: str) -> list[str]:
    """Names to delete, in a safe order: an ensemble without its models breaks H2O's lists."""
    boards = [board["project_name"] for board in _listed(server, "GET /99/Leaderboards")]
    models = _listed(server, "GET /3/Models")
    models.sort(key=lambda model: model["algo"] != "stackedensemble")
    names = [model["model_id"]["name"] for model in models]
    frames = [frame["frame_id"]["name"] for frame in _listed(server, "GET /3/Frames")]
    return [name for name in (*boards, *names, *frames) if prefix in name]


def _listed(server: H2OServer, endpoint: str) -> list[Any]:
    answer = server.request(endpoint)
    return list(answer[endpoint.rpartition("/")[2].lower()])


def import_files(
    server: H2OServer,
    name: str,
    files: Sequence[Path],
    features: Collection[str],
    categoricals: Collection[str],
) -> None:
    """Import Parquet files in order into one table; H2O opens them by their paths.

    H2O in a child process gets links in a folder with an ASCII name, as H2O corrupts non-ASCII
    paths between requests.

    Args:
        server: H2O that gets the table.
        name: Name for the table in H2O.
        files: Files that have the columns of the first one; columns not named here are skipped.
        features: Columns to read as numbers, or as levels if they are categoricals too.
        categoricals: Columns to read as levels.

    Raises:
        H2OFailed: H2O cannot read a file.
    """
    with files[0].open("rb") as first:  # given a path, polars would expand brackets in it
        columns = list(pl.read_parquet_schema(first))
    with _plainly_named(server, files) as paths, _dropped_on_failure(server, paths):
        found = server.request("POST /3/ImportFilesMulti", paths=_quoted(paths))
        if found["fails"]:
            msg = f"training files must be readable by H2O at {server.url}; got {found['fails']}"
            raise H2OFailed(msg)
        _parse(server, name, found["destination_frames"], columns, features, categoricals)


@contextmanager
def _dropped_on_failure(server: H2OServer, paths: Collection[str]) -> Iterator[None]:
    """Delete the files that H2O has read, as it keeps them if another one is unreadable."""
    try:
        yield
    except H2OFailed:
        ours = {f"nfs:/{path}" for path in paths}
        for frame in _listed(server, "GET /3/Frames"):
            if frame["frame_id"]["name"] in ours:
                _rapids(server, f'(rm "{frame["frame_id"]["name"]}")')
        raise


@contextmanager
def _plainly_named(server: H2OServer, files: Sequence[Path]) -> Iterator[list[str]]:
    if not server.is_child:
        paths = [str(file.resolve()) for file in files]
        if odd := next((path for path in paths if not path.isascii()), None):
            msg = f"training files must have ASCII paths for H2O at {server.url}; got {odd!r}"
            raise H2OFailed(msg)
        yield paths
        return
    with server.temporary_folder() as folder:
        links = [folder / f"{i:06}" / file.name for i, file in enumerate(files)]
        for link, file in zip(links, files, strict=True):
            link.parent.mkdir()
            link.symlink_to(file.resolve())
        yield [str(link.absolute()) for link in links]


def upload(
    server: H2OServer,
    name: str,
    frame: pl.DataFrame,
    features: Collection[str],
    categoricals: Collection[str],
) -> None:
    """Send a small table to H2O in row order; arguments as for `import_files`."""
    with server.temporary_folder() as folder:
        path = folder / "rows.parquet"
        frame.write_parquet(path, compression="zstd", row_group_size=100_000)
        sent = server.upload(f"POST /3/PostFile?destination_frame={name}.parquet", path)
    source = sent["destination_frame"]
    _parse(server, name, [source], frame.columns, features, categoricals)


def cut(server: H2OServer, source: str, name: str, span: TimeRange) -> None:
    """Copy the rows of a time range into a table of their own."""
    _rapids(server, f"(assign {name} (rows {source} {span.in_rapids(source)}))")


def thin(server: H2OServer, source: str, name: str, thinning: int, seed: int) -> None:
    """Copy one of so many rows, drawn by the seed, into a table of their own.

    Equal seeds draw the rows of a higher thinning among those of a lower one.
    """
    drawn = f"(h2o.runif {source} {seed})"
    _rapids(server, f"(assign {name} (rows {source} (< {drawn} {1 / thinning!r})))")


def is_varied(server: H2OServer, name: str, features: Collection[str]) -> bool:
    """Whether a table in H2O has both labels, and a feature that varies."""
    (frame,) = server.request(f"GET /3/Frames/{name}/summary")["frames"]
    varying = {one["label"] for one in frame["columns"] if one["mins"][:1] != one["maxs"][:1]}
    return LABEL in varying and not varying.isdisjoint(features)


def predict(server: H2OServer, model: str, name: str) -> NDArray[np.float64]:
    """P(label is 1) by a model in H2O, for each row of a table in H2O."""
    out = f"{name}.{model}"
    job = server.request(f"POST /4/Predictions/models/{model}/frames/{name}", predictions_frame=out)
    server.wait(job["key"]["name"])
    answer = server.download(f"GET /3/DownloadDataset?frame_id={out}&hex_string=false")
    return pl.read_csv(io.BytesIO(answer), columns=["p1"])["p1"].cast(pl.Float64).to_numpy()


def held(
    server: H2OServer, name: str, features: Collection[str], categoricals: Collection[str]
) -> pl.DataFrame:
    """Download the features of a table as H2O holds them, exact to the last bit.

    H2O parses floating-point numbers through decimals, in Parquet too, and is off by a few units in
    the last place: 1014.5 becomes 1014.4999999999998.
    """
    answer = server.download(f"GET /3/DownloadDataset?frame_id={name}&hex_string=false")
    types = {c: pl.String if c in categoricals else pl.Float64 for c in features}
    return pl.read_csv(io.BytesIO(answer), schema_overrides=types, columns=list(features))


def _parse(
    server: H2OServer,
    name: str,
    sources: Sequence[str],
    columns: Sequence[str],
    features: Collection[str],
    categoricals: Collection[str],
) -> None:
    types = dict.fromkeys(features, "numeric") | dict.fromkeys(categoricals, "enum")
    types |= dict.fromkeys(TIMES, "time") | {LABEL: "numeric"}
    taken = [column for column in columns if column in types]
    job = server.request(
        "POST /3/Parse",
        destination_frame=name,
        source_frames=_quoted(sources),
        parse_type="PARQUET",
        number_columns=len(columns),
        column_names=_quoted(columns),
        column_types=_quoted([types.get(column, "string") for column in columns]),
        skipped_columns=[i for i, column in enumerate(columns) if column not in types],
        chunk_size=CHUNK_BYTES,
        delete_on_done=True,
        blocking=False,
    )["job"]
    server.wait(job["key"]["name"])
    if LABEL in taken:  # H2O reads integers as numbers, whatever column type it is given
        levels = f"(as.factor (cols_py {name} '{LABEL}'))"
        _rapids(server, f"(assign {name} (:= {name} {levels} {taken.index(LABEL)} []))")


def _rapids(server: H2OServer, expression: str) -> None:
    server.request("POST /99/Rapids", ast=expression, session_id=server.session)


def _quoted(names: Sequence[str]) -> list[str]:
    return [f'"{name}"' for name in names]
