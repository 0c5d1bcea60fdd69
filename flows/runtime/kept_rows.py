"""Check in another process that a model's kept rows are small enough to read in this one."""

import hashlib
from pathlib import Path
from tempfile import NamedTemporaryFile

from flows.intake.parquet_rows import parquet_rows
from operators.training.model_loader import Loading

_MOST_BYTES = 32 * 2**20
_MOST_SEEN = 256

_seen: dict[str, None] = {}
"""sha256 of the newest files that were checked."""


class KeptRowsError(ValueError):
    """Rows kept with a model are too large or unreadable."""


def check_kept_rows(kept: bytes) -> None:
    """Refuse a Parquet file that may take more memory than a model's rows should.

    A file that this process has checked already is not checked again, as each check starts a
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
"""Loading in a long-running process."""

REPLAYING = Loading(_trust, kept=32)
"""Loading in a replay: many models in sequence, whose rows the flow has checked."""
