"""The one compiled call says what the models say one after the other, to the last bit."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.linear.bank import NEWEST as NEWEST_SLOT
from models.linear.bank import OLDER, Bank
from models.linear.ensemble import Ensemble
from models.linear.ensemble_kernels import GONE
from models.linear.mixture import NEWEST, NEWEST_OFFLINE, OLDER_OFFLINE, ONLINE, PARTS
from models.linear.mixture import OLDER as OLDER_PARTS
from models.linear.river_model import RiverModels
from models.logits import logit
from models.mojo.model import read_mojo
from models.scoring.blend import NOTHING, Blend, CompiledModels, Serving, logit_of
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


class Models:
    """A bank, River classifiers and an ensemble that have learned from some hundred rows."""

    def __init__(self, *rivers, offline=None, older=None):
        self.bank, self.rivers = Bank(KINDS, [(0, 2)]), RiverModels(rivers)
        self.ensemble = Ensemble(len(rivers))
        self.ask = self.compiled()
        random, serving = np.random.default_rng(5), Serving(offline, older)
        for _ in range(100 if rivers else 400):
            row = np.array([random.integers(60), random.random() * 9, random.integers(4), 0, 0.0])
            row[3:] = random.normal(), random.random()
            self.teach(row, int(random.random() < 0.3), serving)

    def compiled(self):
        return CompiledModels(self.bank, self.rivers, self.ensemble)

    def teach(self, row, label, serving):
        self.ask.predict(row, serving)
        self.ask.weigh(self.ask.parts.ctypes.data, label)
        logits = [logit_of(offline, row) for offline in serving[:2]]
        self.ask.learn(row, label, *logits)

    def in_parts(self, row, serving):
        """The predictions of the models one after the other."""
        said = [None if one is None else one.predict(row) for one in serving[:2]]
        finite = [p is not None and math.isfinite(p) for p in said]
        logits = [logit(p) if there else None for p, there in zip(said, finite, strict=True)]
        alone, newest, older = self.bank.predict(row, tuple(logits))
        if serving.slot == OLDER:
            shadow = self.bank.predict(row, (None, logits[0]))
            newest = shadow[OLDER]
        parts = np.full(self.ensemble.parts, np.nan)
        parts[ONLINE], parts[NEWEST], parts[OLDER_PARTS] = alone, newest, older
        parts[NEWEST_OFFLINE], parts[OLDER_OFFLINE] = (
            np.nan if one is None else one for one in logits
        )
        parts[PARTS:] = self.rivers.logits(self.bank.design(row))
        p, online, residual = self.ensemble.answer(parts)
        found = Blend(p, online, said[0] if finite[0] else None, residual if finite[0] else None)
        return found, parts


PLAIN, WITH_RIVERS = Models(offline=bound("gbm"), older=bound("drf")), Models(RIVER, RIVER)


numbers = st.floats(allow_infinity=False) | st.floats(-5, 5)
vectors = st.tuples(
    st.integers(0, 99).map(float) | st.just(math.nan),
    numbers,
    st.integers(0, 6).map(float) | st.just(math.nan),
    numbers,
    st.floats(-0.5, 1.5) | st.just(math.nan),
).map(np.array)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(vectors, min_size=1, max_size=8),
    older=st.sampled_from([None, *MOJOS]),
    label=st.integers(0, 1),
    rivers=st.booleans(),
    slot=st.sampled_from([NEWEST_SLOT, OLDER]),
)
@pytest.mark.parametrize("name", [*MOJOS, None])
def test_one_call_says_what_all_parts_say(name, rows, older, label, rivers, slot):
    models = WITH_RIVERS if rivers else PLAIN
    newest, older = (None if one is None else bound(one) for one in (name, older))
    serving = Serving(newest, older if slot == NEWEST_SLOT else None, slot)
    ask = models.compiled()
    for row in rows:
        blend, parts = models.in_parts(row, serving)
        assert ask.predict(row, serving) == blend
        np.testing.assert_array_equal(ask.parts, parts)
        models.ensemble.learn(parts, label)
    many = ask.predict_many(np.array(rows), serving)
    assert many == [ask.predict(row, serving) for row in rows]


@pytest.mark.parametrize("moved", [(NEWEST_SLOT, OLDER), (OLDER, GONE), (GONE, NEWEST_SLOT)])
def test_it_teaches_what_all_parts_would_be_taught(moved):
    ours, theirs = (Models(offline=bound("gbm"), older=bound("glm")) for _ in range(2))
    row, serving = np.array([3.0, 2.0, 1.0, 0.5, 0.2]), Serving(bound("gbm"), bound("glm"))
    ours.ask.predict(row, serving)
    ours.ask.weigh(ours.ask.parts.ctypes.data, 1, *moved)
    ours.ask.learn(row, 1, 0.3, math.nan)
    _, parts = theirs.in_parts(row, serving)
    theirs.ensemble.learn(parts, 1, *moved)
    theirs.bank.learn(row, 1, (0.3, None))
    assert ours.ensemble.snapshot() == theirs.ensemble.snapshot()
    assert ours.bank.snapshot() == theirs.bank.snapshot()


def test_what_was_learned_or_restored_since_is_in_the_answer():
    offline = bound("gbm")
    models, serving = Models(offline=offline), Serving(offline)
    row, other = np.array([3.0, 2.0, 1.0, 0.5, 0.2]), np.array([9.0, 8.0, 2.0, 0.1, 0.9])
    state = models.bank.snapshot(), models.ensemble.snapshot()
    ask = models.compiled()
    before = ask.predict(row, serving)
    models.teach(other, 1, serving)
    after = ask.predict(row, serving)
    assert after == models.in_parts(row, serving)[0] != before
    models.bank.restore(state[0])
    models.ensemble.restore(state[1])
    assert ask.predict(row, serving) == before


def test_a_river_classifier_joins_the_others():
    models = Models({"class": "tree.HoeffdingTreeClassifier", "grace_period": 5})
    row = np.array([3.0, 2.0, 1.0, 0.5, 0.2])
    before = models.compiled().predict(row, NOTHING)
    for _ in range(50):
        models.teach(row, 1, NOTHING)
    after = models.compiled()
    assert after.predict(row, NOTHING).online > before.online
    assert after.parts[PARTS] == pytest.approx(models.rivers.logits(models.bank.design(row))[0])


def test_a_level_that_the_stream_met_since_is_known_and_one_that_it_has_not_met_is_missing():
    ask = PLAIN.compiled()
    row = np.array([3.0, 1.0, 0.0, 0.5, 0.5])
    for other in (None, bound("gbm"), bound("given")):
        levels = names(3)
        offline = bound("glm", levels)
        serving = Serving(offline) if other is None else Serving(other, offline)
        unmet = ask.predict(row, serving)
        lacks = bound("glm", names(4) | {0: [""] * 4})
        same = serving._replace(**{"older" if serving.older else "newest": lacks})
        assert unmet == PLAIN.in_parts(row, same)[0]
        levels[0].append("many7")
        met = ask.predict(row, serving)
        assert met == PLAIN.in_parts(row, serving)[0]
        assert met.probability != unmet.probability


def test_threads_that_ask_at_once_get_their_own_answers():
    random = np.random.default_rng(8)
    rows = [np.array([random.integers(60), 1.0, 1.0, *random.random(2)]) for _ in range(300)]
    serving = Serving(bound("gbm"))
    want = [PLAIN.compiled().predict(row, serving) for row in rows]

    def ask():
        own = PLAIN.compiled()
        return [own.predict(row, serving) for row in rows]

    with ThreadPoolExecutor(4) as pool:
        turns = [pool.submit(ask) for _ in range(8)]
        assert all(turn.result() == want for turn in turns)
