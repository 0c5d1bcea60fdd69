"""The replay bench measures what it says."""

import json

import pytest

from bench import bench_replay


def test_the_table_has_a_line_for_everything(capsys):
    small = ["--events", "1000", "--history", "1000", "--days", "15", "--rounds", "1", "--json"]
    assert bench_replay.main(small) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["what"] for row in rows] == [
        "a day: first records",
        "a day: whole command",
        "live",
        "audit, of live",
        "audit, 2 workers, of 1",
        "what-if, of live",
        "what-if, 2 workers, of 1",
    ]
    live, audit = rows[2], rows[3]
    assert live["events"] == audit["events"] == 1000
    assert audit["ratio"] == pytest.approx(live["seconds"] / audit["seconds"])


def test_too_few_events_are_refused(capsys):
    with pytest.raises(SystemExit):
        bench_replay.main(["--events", "10"])
    assert "--events must be at least 1000" in capsys.readouterr().err
