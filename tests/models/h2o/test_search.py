"""The parameters that a search tries."""

import pytest

from models.h2o.search import GRIDS, candidates


@pytest.mark.parametrize("algorithm", GRIDS)
def test_the_defaults_come_first_and_no_candidate_twice(algorithm):
    tried = candidates(algorithm, None, 10**6, [1])
    assert tried[0] == {name: values[0] for name, values in GRIDS[algorithm].items()}
    assert len({str(one) for one in tried}) == len(tried)
    sizes = [len(values) for values in GRIDS[algorithm].values()]
    product = 1
    for size in sizes:
        product *= size
    assert len(tried) == product


def test_the_last_winner_comes_first_even_from_off_the_grid():
    winner = candidates("gbm", None, 0, [1])[0] | {"max_depth": 9}
    first, *others = candidates("gbm", winner, 3, [1])
    assert first == winner
    assert len(others) == 3


def test_a_winner_of_another_algorithm_is_forgotten():
    glm = candidates("glm", None, 0, [1])[0]
    assert candidates("gbm", glm, 0, [1]) == candidates("gbm", None, 0, [1])


def test_draws_repeat_with_the_seed_and_differ_without():
    assert candidates("gbm", None, 5, [1, 7]) == candidates("gbm", None, 5, [1, 7])
    assert candidates("gbm", None, 5, [1, 7]) != candidates("gbm", None, 5, [1, 8])


def test_automl_searches_itself_bounded_by_the_number_of_models():
    assert candidates("automl", {"max_models": 3}, 7, [1]) == [{"max_models": 7}]


@pytest.mark.parametrize("algorithm", ["kmeans", "isolationforest", "GBM", ""])
def test_what_gives_no_probability_or_is_unknown_is_refused_by_name(algorithm):
    with pytest.raises(ValueError, match=f"automl; got '{algorithm}' in training.algorithm"):
        candidates(algorithm, None, 1, [1])
