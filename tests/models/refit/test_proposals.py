"""Proposals rest on what earlier fits found, and are the same in every process."""

import json
import os
import subprocess
import sys

import msgspec
import numpy as np
import pytest

from models.h2o.search import GRIDS, candidates
from models.h2o.space import Range, is_within, size_of, space_of
from models.refit.fit_record import FitRecord, TriedCandidate
from models.refit.proposals import proposed, remembered
from tests.models.refit.tasks import fit_task

GBM = space_of("gbm")
DEFAULTS = candidates("gbm", None, 0, [1])[0]


def task(**given):
    return fit_task([], boundary=7_000_000, window=1, validation=1, embargo=0, draws=6, **given)


def tried(loss, thinning=1, window=0, **parameters):
    return TriedCandidate(
        parameters=DEFAULTS | parameters, trees=9, log_loss=loss, thinning=thinning, window=window
    )


def record(boundary, *candidates, **given):
    return FitRecord(
        boundary=boundary, status="promoted", reason="", algorithm="gbm", tried=list(candidates),
        parameters=candidates[0].parameters if candidates else {}, **given,
    )  # fmt: skip


def history(count, best=0.2):
    """Fits in which learn_rate decides alone, with the defaults first."""
    random = np.random.default_rng(3)
    found = []
    for boundary in range(count):
        rates = np.exp(random.uniform(np.log(0.02), np.log(0.2), 8))
        losses = [float(np.log(rate / best) ** 2) for rate in (0.07, *rates)]
        level = float(random.uniform(0.2, 0.9))
        found.append(
            record(
                boundary,
                tried(level + losses[0]),
                *(
                    tried(level + loss, learn_rate=float(rate))
                    for rate, loss in zip(rates, losses[1:], strict=True)
                ),
            )
        )
    return found


@pytest.mark.parametrize("algorithm", GRIDS)
def test_proposals_are_new_distinct_and_within_the_space(algorithm):
    space = space_of(algorithm)
    first, *_ = candidates(algorithm, None, 0, [1])
    found = proposed(task(algorithm=algorithm), []).candidates
    assert all(is_within(space, one) for one in found)
    assert first not in found
    texts = {json.dumps(one) for one in found}
    assert len(texts) == len(found) == min(16, size_of(space) - 1)
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found


def test_proposals_come_close_to_what_was_best_before():
    random = proposed(task(), []).candidates
    learned = proposed(task(), history(8, best=0.15)).candidates

    def away(found):
        return np.median([abs(np.log(one["learn_rate"] / 0.15)) for one in found])

    assert away(learned) < away(random) / 2
    other = proposed(task(), history(8, best=0.03)).candidates
    assert np.median([one["learn_rate"] for one in other]) < 0.06


def test_the_defaults_are_among_the_proposals_unless_they_won_last():
    winner = DEFAULTS | {"max_depth": 8}
    assert DEFAULTS in proposed(task(previous=winner), history(3)).candidates[:2]
    assert winner not in proposed(task(previous=winner), history(3)).candidates
    assert DEFAULTS not in proposed(task(), history(3)).candidates


def test_while_little_is_known_the_grid_s_draws_are_among_the_proposals():
    drawn = candidates("gbm", None, 8, [1, 7])[1:]
    assert all(one in proposed(task(), []).candidates for one in drawn)
    later = proposed(task(), history(3)).candidates
    assert not any(one in later for one in drawn)


def test_a_third_of_the_proposals_is_drawn_from_the_whole_space():
    found = proposed(task(), history(9, best=0.15)).candidates
    rates = sorted(one["learn_rate"] for one in found)
    assert rates[0] < 0.06
    assert sum(rate > 0.1 for rate in rates) >= len(rates) * 2 // 3 - 1


def test_a_single_proposal_is_no_default():
    winner = DEFAULTS | {"max_depth": 8}
    single = msgspec.structs.replace(task(previous=winner), draws=1)
    (one,) = proposed(single, history(3)).candidates
    assert one not in (DEFAULTS, winner)


def test_another_boundary_or_seed_gives_other_proposals():
    earlier = history(3)
    first = proposed(task(), earlier).candidates
    assert first == proposed(task(), earlier).candidates
    later = msgspec.structs.replace(task(), boundary=8_000_000)
    assert proposed(later, earlier).candidates != first
    assert proposed(task(seed=2), earlier).candidates != first


_IN_A_PROCESS = """
import sys, msgspec
from models.refit.fit_record import FitRecord
from models.refit.plan import FitTask
from models.refit.proposals import proposed
task = msgspec.json.decode(sys.argv[1], type=FitTask)
found = proposed(task, msgspec.json.decode(sys.argv[2], type=list[FitRecord]))
assert "sqlalchemy" not in sys.modules
print(msgspec.json.encode(found).decode())
"""


@pytest.mark.parametrize("algorithm", ["gbm", "deeplearning"])
def test_processes_with_other_hash_seeds_propose_the_same(algorithm):
    one = task(algorithm=algorithm)
    arguments = [msgspec.json.encode(of).decode() for of in (one, history(6))]
    said = {
        subprocess.run(
            [sys.executable, "-c", _IN_A_PROCESS, *arguments],
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True, capture_output=True, text=True,
        ).stdout.strip()
        for seed in ("0", "1", "4294967295")
    }  # fmt: skip
    assert said == {msgspec.json.encode(proposed(one, history(6))).decode()}


def excesses(earlier):
    """By depth, how much worse than depth 6."""
    found = {one.parameters["max_depth"]: one.excess for one in remembered(earlier, GBM)}
    return {depth: round(excess - found[6], 6) for depth, excess in found.items()}


def test_losses_at_two_boundaries_are_tied_together_by_all_that_was_tried_at_both():
    earlier = [
        record(1, tried(0.50), tried(0.40, max_depth=8), tried(0.55, max_depth=3)),
        record(2, tried(0.90, max_depth=8), tried(0.93), tried(0.80, max_depth=5)),
    ]
    # Depth 8 was better than 6 by .10, then by .03. The means of both, .45 and .915, are a level.
    assert excesses(earlier) == {6: 0.0, 8: -0.065, 3: 0.0675, 5: -0.1475}


def test_parts_of_the_rows_and_windows_have_levels_of_their_own():
    earlier = record(
        1,
        tried(0.50),
        tried(0.70, 4),
        tried(0.65, 4, max_depth=8),
        tried(0.90, 4, max_depth=3),
        tried(0.45, max_depth=8),
        tried(0.80, window=9),
        tried(0.60, window=9, max_depth=7),
    )
    assert excesses([earlier]) == {6: 0.0, 8: -0.05, 3: 0.2, 7: -0.2}


def test_a_lucky_winner_is_corrected_when_it_is_tried_again():
    lucky = [record(1, tried(0.5), tried(0.4, max_depth=8))]
    again = [*lucky, *(record(n, tried(0.1 * n, max_depth=8), tried(0.1 * n)) for n in (2, 3, 4))]
    assert excesses(lucky)[8] == -0.1
    assert excesses(again)[8] == -0.025


def test_trials_of_other_spaces_are_left_out_and_a_rollback_repeats_none():
    once = record(1, tried(0.5), tried(0.4, max_depth=8), tried(0.1, max_depth=99))
    glm = FitRecord(
        boundary=0, status="promoted", reason="", algorithm="glm",
        tried=[TriedCandidate(parameters={"family": "binomial"}, trees=None, log_loss=0.1)],
    )  # fmt: skip
    other = record(2, tried(0.9, max_depth=8), tried(0.9))
    again = msgspec.structs.replace(once, reason="rolled back to", boundary=3)
    assert excesses([glm, once, other, again]) == excesses([once, other]) == {6: 0.0, 8: -0.05}
    assert remembered([glm], GBM) == []


def test_memory_is_bounded_and_keeps_the_newest():
    many = [
        record(fit, tried(0.5), *(tried(0.5 + n / 999, min_rows=n) for n in range(fit, fit + 100)))
        for fit in range(5, 300, 30)
    ]
    found = remembered(many, GBM)
    assert found == remembered(many[-3:], GBM)
    assert len(found) <= 256
    assert max(one.parameters["min_rows"] for one in found) == 374


def test_choices_are_no_range():
    assert not any(isinstance(of, Range) for of in space_of("stackedensemble").values())
