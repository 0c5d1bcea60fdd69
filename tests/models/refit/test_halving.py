"""Many candidates are fitted on few rows, the best of them on more, the last on all."""

import itertools

import msgspec
import polars as pl
import pytest

from models.h2o.frames import LABEL, is_varied, thin, tidy, upload
from models.h2o.server import H2OServer
from models.refit.halving import rungs
from models.refit.proposals import proposed
from models.refit.refit import train
from tests.models.refit.tasks import fit_task

START_US, DAY_US = 1_357_000_000_000_000, 86_400_000_000
FEATURES, LEVELS = ["carrier", "dest", "x0", "x1", "x2", "x3"], ["carrier", "dest"]


@pytest.fixture
def few(monkeypatch):
    """Rows suffice for a rung though there are few."""
    monkeypatch.setattr("models.refit.halving._FEWEST_ROWS", 150)


@pytest.fixture
def task(outcomes, written):
    one = fit_task(
        written(outcomes), boundary=START_US + 10 * DAY_US, window=90 * DAY_US, validation=DAY_US,
        embargo=DAY_US // 24, min_rows=150, draws=3, refit=False,
    )  # fmt: skip
    wide = proposed(msgspec.structs.replace(one, draws=9), []).candidates
    return msgspec.structs.replace(one, proposals=[of for of in wide if of["min_rows"] <= 60])


def test_the_best_of_each_rung_go_on_to_the_next(h2o_server, task, few):
    record, *_ = train(h2o_server, task, None)
    first, *others = record.tried
    by_rung = {key: list(of) for key, of in itertools.groupby(others, lambda one: one.thinning)}
    assert (first.thinning, list(by_rung)) == (1, [16, 4, 1])
    assert [len(of) for of in by_rung.values()] == [9, 5, 1]
    sixteenth, quarter, whole = by_rung.values()
    assert sixteenth[0].parameters == quarter[0].parameters == first.parameters
    assert [one.parameters for one in sixteenth[1:]] == task.proposals[:8]

    def best(of, count):
        return [one.parameters for one in sorted(of[1:], key=lambda one: one.log_loss)[:count]]

    assert [one.parameters for one in quarter[1:]] == best(sixteenth, 4)
    assert [one.parameters for one in whole] == best(quarter, 1)
    assert record.search == "tpe"
    assert record.winner.thinning == 1
    assert record.parameters == record.winner.parameters
    assert record.metrics.log_loss == record.winner.log_loss
    assert record.winner.log_loss == min(first.log_loss, whole[0].log_loss)
    assert msgspec.json.decode(msgspec.json.encode(record), type=type(record)) == record


def test_the_same_proposals_give_the_same_search_in_another_h2o(h2o_server, task, few, tmp_path):
    one, *_ = train(h2o_server, task, None)
    with H2OServer(memory="600m", threads=1, work_dir=tmp_path / "h2o") as other:
        two, *_ = train(other, task, None)
    assert (one.model, one.tried) == (two.model, two.tried)


def test_few_rows_are_not_thinned(h2o_server, task):
    record, *_ = train(h2o_server, task, None)
    assert [one.thinning for one in record.tried] == [1] * 4
    assert [one.parameters for one in record.tried[1:]] == task.proposals[:3]


def test_windows_come_first_and_proposals_get_the_best_of_them(h2o_server, task, few):
    windows = msgspec.structs.replace(task, windows=2, draws=2, validation=90 * DAY_US)
    record, *_ = train(h2o_server, windows, None)
    whole, quarter, proposal = record.tried
    assert whole.parameters == quarter.parameters != proposal.parameters
    assert quarter.window > 0
    assert proposal.window == min(whole, quarter, key=lambda one: one.log_loss).window


def test_a_part_on_which_nothing_varies_is_passed_over(h2o_server, outcomes, written, task, few):
    """Only a few of the rows vary at all: none of these may be in a thin table."""
    row = pl.int_range(pl.len())
    odd = outcomes.with_columns(
        *(pl.lit("C0").alias(name) for name in LEVELS),
        *(pl.lit(1.0).alias(name) for name in FEATURES[3:]),
        pl.when(row == 1).then(2.0).otherwise(1.0).alias("x0"),
    )
    written(odd)
    record, *_ = train(h2o_server, task, None)
    assert {one.thinning for one in record.tried[1:]} <= {1, 4}
    assert record.winner is not None


def test_rows_are_drawn_whatever_the_pattern_of_the_labels(h2o_server, outcomes):
    by_turns = outcomes.with_columns((pl.int_range(pl.len()) % 16 == 0).cast(pl.Int8).alias(LABEL))
    with tidy(h2o_server) as prefix:
        upload(h2o_server, f"{prefix}all", by_turns, FEATURES, LEVELS)
        rows = {}
        for thinning in (16, 4):
            name = f"{prefix}thin{thinning}"
            thin(h2o_server, f"{prefix}all", name, thinning, 7)
            assert is_varied(h2o_server, name, FEATURES)
            (frame,) = h2o_server.request(f"GET /3/Frames/{name}/summary")["frames"]
            rows[thinning] = frame["rows"]
            assert frame["rows"] == pytest.approx(len(outcomes) / thinning, rel=0.2)
        upload(h2o_server, f"{prefix}no", by_turns.filter(pl.col(LABEL) == 0), FEATURES, LEVELS)
        assert not is_varied(h2o_server, f"{prefix}no", FEATURES)
        assert not is_varied(h2o_server, f"{prefix}all", ["gone"])


@pytest.mark.parametrize("fits", range(1, 40))
@pytest.mark.parametrize(("rows", "rarer"), [(10, 5), (8_000, 4_000), (10**6, 10**5), (10**6, 99)])
def test_a_search_takes_no_more_rows_than_its_price(fits, rows, rarer):
    found = rungs(fits, rows, rarer)
    assert sum(one.candidates / one.thinning for one in found) <= fits
    assert found[-1].thinning == 1
    assert found[-1].candidates >= 1
    assert all(a.candidates >= b.candidates for a, b in itertools.pairwise(found))
    assert all(rarer // one.thinning >= 50 for one in found[:-1])


def test_a_search_of_many_fits_has_a_proposal_for_each(task):
    for draws in (1, 2, 3, 6, 40):
        wanted = msgspec.structs.replace(task, draws=draws)
        most = max(rungs(draws, rows, rows)[0].candidates for rows in (10, 8_000, 10**6))
        assert len(proposed(wanted, []).candidates) >= most


def test_candidates_that_need_more_rows_than_a_part_has_are_not_fitted_on_it(h2o_server, task, few):
    needy = [one | {"min_rows": 400} for one in task.proposals[:6]]
    mixed = msgspec.structs.replace(task, proposals=[*needy, *task.proposals])
    record, *_ = train(h2o_server, mixed, None)
    thinned = [one for one in record.tried if one.thinning == 16]
    assert [one.parameters for one in thinned[1:]] == task.proposals[:8]
