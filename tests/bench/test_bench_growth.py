"""The benchmark of growth feeds a shard as it says."""

import msgspec

from bench.bench_growth import BATCH, Run, records, rows, stream_of


def test_every_label_but_the_first_ones_meets_its_request():
    run = Run(keys=10, windows=1)
    run.go_on(4 * BATCH)
    counters = run._shard.counters
    asked = 4 * BATCH // 5
    assert counters["predictions"] == asked
    assert asked - 21 <= counters["outcomes"] <= asked
    assert counters["dead_letters"] == 0


def test_the_records_are_valid_and_follow_one_another():
    decode = stream_of(2).decoder().decode
    stream = records(keys=5)
    taken = [next(stream) for _ in range(250)]
    assert [one.offset for one in taken] == [*range(250)]
    assert {type(decode(one.value)).__name__ for one in taken} == {"Seen", "Asked", "Told"}
    assert {msgspec.json.decode(one.value).get("key") for one in taken} == {*range(5), None}


def test_each_kind_of_row_is_compared_with_its_first():
    table = list(rows(4 * BATCH, rounds=1))
    assert [(row.what, row.value) for row in table][:4] == [
        ("events before", 4_000),
        ("events before", 16_000),
        ("events before", 64_000),
        ("keys", 1_000),
    ]
    for what in ("events before", "keys", "windows"):
        assert next(row.ratio for row in table if row.what == what) == 1.0
    assert all(row.us > 0 and row.state_mb > 0 for row in table)
