"""The profile of a long training window is made of a part of its rows."""

import polars as pl
import pytest

from models.refit.plan import FitTask
from models.refit.profile import BLOCK, profile_of
from tests.operators.shard.columns_world import mojo

ROWS = 5 * BLOCK
HOUR_US = 3_600_000_000
OTHERS = ("zone_ended_1h", "zone_tip_1h", "usual", "fell")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """A fit on twenty thousand rows, a second apart, whose distance changes twice in a block."""
    file = tmp_path_factory.mktemp("files") / "0.parquet"
    seconds = pl.int_range(ROWS, eager=True)
    pl.DataFrame(
        {
            "partition": pl.repeat(0, ROWS, eager=True),
            "offset": seconds,
            "event_time": (seconds * 1000).cast(pl.Datetime("ms")),
            "label": seconds % 2,
            "distance": (seconds // (BLOCK // 2) % 2).cast(pl.Float64),
            "zone": (seconds % 7).cast(pl.String),
            **dict.fromkeys(OTHERS, pl.repeat(1.0, ROWS, eager=True)),
        }
    ).write_parquet(file)
    return FitTask(
        files=[file],
        features=["distance", "zone", *OTHERS],
        categoricals=["zone"],
        boundary=ROWS * 1_000_000,
        window=ROWS * 1_000_000,
        validation=HOUR_US,
        embargo=0,
    )


def test_a_window_with_few_rows_is_profiled_whole(task):
    whole = profile_of(task, mojo(), most_rows=ROWS)
    assert whole.rows == ROWS
    assert [column.longest for column in whole.columns][:2] == [BLOCK // 2, 1]


def test_of_a_longer_one_whole_blocks_count_from_its_start_to_its_end(task):
    part = profile_of(task, mojo(), most_rows=ROWS // 2)
    assert part.rows == 3 * BLOCK  # blocks 0, 2 and 4
    assert (part.start, part.end) == (0, (ROWS - 1) * 1_000_000)
    distance, zone, *_ = part.columns
    assert distance.changes == 5
    assert distance.longest == BLOCK  # it may have gone on through the next block
    assert sum(zone.hours) == part.rows
    assert zone.levels is not None
    assert sorted(zone.levels) == [str(level) for level in range(7)]
