"""Rows kept with a model are looked at in another process, once."""

import polars as pl
import pytest

from flows.runtime import kept_rows
from flows.runtime.kept_rows import KeptRowsError, check_kept_rows
from models.refit.certificate import kept_rows as made


def rows(value):
    frame = pl.DataFrame({"x": [value, 1.5]})
    return made(frame, frame["x"].to_numpy())


@pytest.fixture
def looked(monkeypatch):
    """Number of processes started."""
    count, look = [], kept_rows.parquet_rows

    def counted(*given):
        count.append(1)
        return look(*given)

    monkeypatch.setattr(kept_rows, "parquet_rows", counted)
    monkeypatch.setattr(kept_rows, "_seen", {})
    return count


def test_small_rows_are_looked_at_once_in_a_process(looked):
    for value in (0.25, 0.25, 0.75, 0.25):
        check_kept_rows(rows(value))
    assert len(looked) == 2


def test_what_is_no_parquet_is_refused_each_time(looked):
    for _ in range(2):
        with pytest.raises(KeptRowsError, match="rows kept with a model must be readable; got"):
            check_kept_rows(b"no Parquet")
    assert len(looked) == 2


def test_only_the_newest_few_are_remembered(looked, monkeypatch):
    monkeypatch.setattr(kept_rows, "_MOST_SEEN", 2)
    for value in (0.1, 0.2, 0.3, 0.1):
        check_kept_rows(rows(value))
    assert len(looked) == 4
    assert len(kept_rows._seen) == 2
