"""The rows kept with a model: small enough to be read in this process, as another one has seen."""

import hashlib
from pathlib import Path
from tempfile import NamedTemporaryFile

from flows.intake.parquet_rows import parquet_rows
from operators.training.model_loader import Loading

_MOST_BYTES = 32 * 2**20
_MOST_SEEN = 256

_seen: dict[str, None] = {}
"""sha256 of the newest files that were seen to be small."""


class KeptRowsError(ValueError):
    """Rows kept with a model are not small, or cannot be read."""


def check_kept_rows(kept: bytes) -> None:
    """Refuse a Parquet file that may take more memory than a model's rows should.

    A file that was seen to be small in this process is not looked at again: each look starts a
    process.

    Raises:
        KeptRowsError: It does, or it is damaged.
    """
    name = hashlib.sha256(kept).hexdigest()
    if name in _seen:
        return
    with NamedTemporaryFile(suffix=".parquet") as file:
        file.write(kept)
        file.flush()
        try:
            for _ in parquet_rows(Path(file.name), _MOST_BYTES, _MOST_BYTES):
                pass
        except OSError as error:
            msg = f"rows kept with a model must be readable; got '{error}'"
            raise KeptRowsError(msg) from error
    _seen[name] = None
    for oldest in list(_seen)[:-_MOST_SEEN]:
        del _seen[oldest]


def _trust(kept: bytes) -> None:
    del kept


LOADING = Loading(check_kept_rows)
"""For a process that goes on for long."""

REPLAYING = Loading(_trust, kept=32)
"""For a replay: it needs many models one after the other, which a flow has loaded before it."""
