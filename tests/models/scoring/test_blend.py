"""The one compiled call says what the models say one after the other, to the last bit."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.ensemble import BLENDED, Ensemble
from models.linear.online import OnlineModels
from models.mojo.model import read_mojo
from models.scoring.blend import CompiledBlend
from models.scoring.bound_model import Offline
from tests.models.mojo.test_model import BINOMIAL, GLM, NA_LEFT, NA_RIGHT, archive, node

COLUMNS = ["many", "z", "few", "x", "p"]
KINDS = ["level", "log1p", "level", "identity", "logit"]
RESPONSE = ["no", "yes"]
RIVER = {"class": "naive_bayes.BernoulliNB"}


def grown(seed):
    """Trees of numbers, sets and NAs; leaves as far apart as log odds are."""
    random = np.random.default_rng(seed)
    trees = []
    for _ in range(7):
        a, b, c, d = random.normal(0, 0.4, 4)
        inner = node(2, NA_RIGHT, a, b, bits=random.integers(0, 2, 100).tolist())
        inner = node(1, NA_LEFT, inner, c, set32=random.integers(0, 5, 2).tolist())
        trees.append(node(0, NA_LEFT, inner, d, number=float(random.normal())))
    return trees


def voting(seed):
    random = np.random.default_rng(seed)
    return [node(0, NA_RIGHT, *random.random(2), number=0.3) for _ in range(6)]


BALANCED = {
    "balance_classes": "true",
    "prior_class_distrib": "[0.8, 0.2]",
    "model_class_distrib": "[0.5, 0.5]",
}
BETA = str(np.random.default_rng(4).normal(0, 0.5, 105).tolist())
LOGISTIC = GLM | {"category": "Binomial", "family": "binomial", "link": "logit", "beta": BETA}
MOJOS = {
    name: read_mojo(source)
    for name, source in {
        "gbm": archive(*grown(1), response=RESPONSE, **BINOMIAL),
        "balanced": archive(*grown(2), response=RESPONSE, **(BINOMIAL | BALANCED)),
        "drf": archive(*voting(3), response=RESPONSE, algo="drf", **BINOMIAL),
        "glm": archive(columns=("few", "many", "x", "y"), response=RESPONSE, **LOGISTIC),
    }.items()
}
# As a model looks that Java scores: it takes a row, and nothing for compiled code.
MOJOS["given"] = replace(
    MOJOS["gbm"],
    kernel=MOJOS["gbm"].score,
    kernel_args=(),
    _kernel_many=MOJOS["gbm"].score_many,
)


def names(n_many):
    return {0: [f"many{i}" for i in range(n_many)], 2: ["few3", "other", "few0", "few4"]}


def bound(name, levels=None):
    return Offline(name, MOJOS[name], COLUMNS, names(60) if levels is None else levels)


def taught(river=None):
    """Models that have learned from a few hundred rows."""
    models = OnlineModels(KINDS, [(0, 2)], river=river)
    random = np.random.default_rng(5)
    for _ in range(100 if river else 400):
        row = np.array([random.integers(70), random.random() * 9, random.integers(4), 0, 0.0])
        row[3:] = random.normal(), random.random()
        models.learn(row, int(random.random() < 0.3), random.random())
    return models


ONLINE, WITH_RIVER = taught(), taught(RIVER)


def in_parts(models, ensemble, row, offline):
    """What the models say one after the other."""
    tree = None if offline is None else offline.predict(row)
    online, residual = models.predict(row, tree)
    return ensemble.blend(online, tree, residual), online, tree, residual


numbers = st.floats(allow_infinity=False) | st.floats(-5, 5)
vectors = st.tuples(
    st.integers(0, 99).map(float) | st.just(math.nan),
    numbers,
    st.integers(0, 6).map(float) | st.just(math.nan),
    numbers,
    st.floats(-0.5, 1.5) | st.just(math.nan),
).map(np.array)
blends = st.sets(st.sampled_from(BLENDED), min_size=1)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(vectors, min_size=1, max_size=8),
    blended=blends,
    label=st.integers(0, 1),
    river=st.booleans(),
)
@pytest.mark.parametrize("name", [*MOJOS, None])
def test_one_call_says_what_all_parts_say(name, rows, blended, label, river):
    models = WITH_RIVER if river else ONLINE
    offline = None if name is None else bound(name)
    ensemble = Ensemble(0.3, sorted(blended))
    ask = CompiledBlend(models, ensemble)
    for row in rows:
        want = in_parts(models, ensemble, row, offline)
        assert ask.predict(row, offline) == want
        ensemble.learn(*want[1:], label)
    assert ask.predict_many(np.array(rows), offline) == [ask.predict(row, offline) for row in rows]


def test_what_was_learned_or_restored_since_is_in_the_answer():
    models, ensemble, offline = taught(), Ensemble(0.3), bound("gbm")
    ask = CompiledBlend(models, ensemble)
    row, other = np.array([3.0, 2.0, 1.0, 0.5, 0.2]), np.array([9.0, 8.0, 2.0, 0.1, 0.9])
    state = models.snapshot(), ensemble.snapshot()
    before = ask.predict(row, offline)
    models.learn(other, 1, 0.3)
    ensemble.learn(0.4, 0.3, 0.2, 1)
    after = ask.predict(row, offline)
    assert after == in_parts(models, ensemble, row, offline) != before
    models.restore(state[0])
    ensemble.restore(state[1])
    assert ask.predict(row, offline) == before


def test_a_level_that_the_stream_met_since_is_known_and_one_that_it_has_not_met_is_missing():
    levels = names(3)
    ensemble, offline = Ensemble(), bound("glm", levels)
    ask = CompiledBlend(ONLINE, ensemble)
    row = np.array([3.0, 1.0, 0.0, 0.5, 0.5])
    unmet = ask.predict(row, offline)
    assert unmet == in_parts(ONLINE, ensemble, row, bound("glm", names(4) | {0: [""] * 4}))
    levels[0].append("many7")
    met = ask.predict(row, offline)
    assert met == in_parts(ONLINE, ensemble, row, offline)
    assert met.offline != unmet.offline


def test_threads_that_ask_at_once_get_their_own_answers():
    random = np.random.default_rng(8)
    rows = [np.array([random.integers(60), 1.0, 1.0, *random.random(2)]) for _ in range(300)]
    ensemble, offline = Ensemble(), bound("gbm")
    ask = CompiledBlend(ONLINE, ensemble)
    want = [ask.predict(row, offline) for row in rows]
    with ThreadPoolExecutor(4) as pool:
        turns = [pool.submit(lambda: [ask.predict(row, offline) for row in rows]) for _ in range(8)]
        assert all(turn.result() == want for turn in turns)
