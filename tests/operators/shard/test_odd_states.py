"""A state that compiled code could not follow is refused, and the checkpoint before it is taken."""

import logging

import msgspec
import numpy as np
import pytest

from models.linear.contest import STAKED
from operators.partition.journal import Activated, JournalWriter
from operators.partition.recovery import checkpoint_of, recover
from operators.partition.retention import first_kept
from operators.shard.shard import TOPICS, DamagedStateError
from state.checkpoints.store import CheckpointStore
from state.log import Entry
from state.log.sqlite import SqliteLog
from tests.operators.shard_runs import Run, feed, rides_shard
from tests.rides import records

RECORDS = records(200)
OLDER, NEWER = 100, len(RECORDS)
LABEL = next(
    record.value
    for record in RECORDS
    if b'"late":-' not in record.value and b'"ended"' in record.value
)
NAN, INFINITE = float("nan"), float("inf")


@pytest.fixture(scope="module")
def run():
    return feed(Run(rides_shard()), RECORDS)


@pytest.fixture(scope="module")
def state(run):
    return run.shard.snapshot()


def unloaded(_):
    """No offline model, whichever it is."""


def unpacked(content):
    return msgspec.msgpack.decode(content)


class State:
    """A shard's state, taken apart; `packed` puts it together again."""

    PARTS = (
        "features", "pending", "seen", "guard", "learners", "rivers", "ensemble", "order",
        "contest", "drift", "trust", "estimates", "recent", "labels",
    )  # fmt: skip

    def __init__(self, content):
        self.version, self.position, self.counts, self.in_use, self.sums, parts = unpacked(content)
        for name, part in zip(self.PARTS, parts, strict=True):
            setattr(self, name, unpacked(part))
        arena, self.levels, self.hooks = self.features
        pool, self.tables = unpacked(arena)
        self.pool = np.frombuffer(pool).copy()
        self.rows = np.frombuffer(self.pending[1]).reshape(len(self.pending[0]), -1).copy()

    def packed(self):
        pack = msgspec.msgpack.encode
        self.features = [pack([self.pool.tobytes(), self.tables]), self.levels, self.hooks]
        if isinstance(self.rows, np.ndarray):
            self.pending[1] = self.rows.tobytes()
        parts = [pack(getattr(self, name)) for name in self.PARTS]
        head = [self.version, self.position, self.counts, self.in_use]
        return pack([*head, self.sums, parts])

    @property
    def blocks(self):
        """Of the largest table: keys and addresses."""
        return max(self.tables, key=lambda table: len(table[0]))[0]


PLACES = 2


def array(holder, which, kind, at, value):
    numbers = np.frombuffer(holder[which], kind).copy()
    numbers[at] = np.frombuffer(value, kind)[0] if isinstance(value, bytes) else value
    holder[which] = numbers.tobytes()


def waits(labels):
    """The last request without a label."""
    return len(labels) - 1 - labels[::-1].index(-1)


def put(holder, key, value):
    holder[key] = value


def early(state, labels):
    state.labels[0] = msgspec.msgpack.encode(labels)


def columns(kind):
    """Places of the vector that hold levels, or the others."""
    levels = rides_shard().levels
    return [
        i for i in range(len(rides_shard().stream.columns)) if (i in levels) == (kind == "level")
    ]


NUMBER = 3 * columns("number")[0]


def staked(state, at, value):
    """Change a number of a contest."""
    numbers = np.frombuffer(state.contest).copy()
    numbers[at] = value
    state.contest = numbers.tobytes()


ODD = {
    "an address beyond the pool": ("features", lambda s: put(s.blocks[0], 1, 2**40)),
    "an address at the pool's end": ("features", lambda s: put(s.blocks[0], 1, len(s.pool) - 1)),
    "a negative address": ("features", lambda s: put(s.blocks[0], 1, -8)),
    "an address off by one": ("features", lambda s: put(s.blocks[0], 1, s.blocks[0][1] + 1)),
    "two keys with one block": ("features", lambda s: put(s.blocks[0], 1, s.blocks[1][1])),
    "two blocks of one key": ("features", lambda s: put(s.blocks[0], 0, s.blocks[1][0])),
    "a block of another table": (
        "features",
        lambda s: put(s.blocks[0], 1, next(t for t in s.tables if t[0] is not s.blocks)[0][0][1]),
    ),
    "a key forgotten": ("features", lambda s: s.blocks.pop()),
    "a block in use and free": (
        "features",
        lambda s: s.tables[0][1][0].append(s.tables[0][0][0][1]),
    ),
    "a free block of a size too few": ("features", lambda s: s.tables[0][1].pop()),
    "a free block nowhere": ("features", lambda s: s.tables[0][1][0].append(10**9)),
    "a table too few": ("features", lambda s: s.tables.pop()),
    "tables in another order": ("features", lambda s: s.tables.reverse()),
    "a pool too short": ("features", lambda s: put(s.__dict__, "pool", s.pool[:-1])),
    "a pool too long": ("features", lambda s: put(s.__dict__, "pool", np.append(s.pool, 0.0))),
    "no pool": ("features", lambda s: put(s.__dict__, "pool", s.pool[:0])),
    "half a number": ("features", lambda s: put(s.__dict__, "pool", s.pool.view("u1")[:-1])),
    "a touch that is no time": ("features", lambda s: put(s.pool, s.blocks[0][1], NAN)),
    "a touch before 1970": ("features", lambda s: put(s.pool, s.blocks[0][1], -5.0)),
    "a touch beyond all time": ("features", lambda s: put(s.pool, s.blocks[0][1], INFINITE)),
    "a key of another type": ("features", lambda s: put(s.blocks[0], 0, {"x": 1})),
    "a level twice": ("features", lambda s: put(s.levels, 0, ["ber", "ber"])),
    "more levels than a column takes": (
        "features",
        lambda s: put(s.levels, 0, [str(i) for i in range(4097)]),
    ),
    "levels of a column too few": ("features", lambda s: s.levels.pop()),
    "a hook too many": ("features", lambda s: s.hooks.append(b"")),
    "a hook's bytes that it does not take": ("features", lambda s: put(s.hooks, 0, b"\xc1")),
    "a row of two requests": ("pending", lambda s: put(s.pending[0][0], 1, s.pending[0][1][1])),
    "a row beyond all": ("pending", lambda s: put(s.pending[0][0], 1, 2**33)),
    "a negative row": ("pending", lambda s: put(s.pending[0][0], 1, -1)),
    "more rows than there are": ("pending", lambda s: put(s.pending, 2, 2**50)),
    "no rows": ("pending", lambda s: put(s.pending, 2, 0)),
    "negative rows": ("pending", lambda s: put(s.pending, 2, -64)),
    "a free row in use": ("pending", lambda s: s.pending[3].append(s.pending[0][0][1])),
    "a free row lost": ("pending", lambda s: s.pending[3].pop()),
    "a vector too few": ("pending", lambda s: put(s.__dict__, "rows", s.rows[:-1])),
    "vectors too narrow": ("pending", lambda s: put(s.__dict__, "rows", s.rows[:, :-1])),
    "a request twice": ("pending", lambda s: put(s.pending[0], 0, s.pending[0][1])),
    "a request without a deadline": ("pending", lambda s: put(s.pending, 4, [])),
    "deadlines in no order": ("pending", lambda s: s.pending[4].reverse()),
    "a deadline beyond all time": ("pending", lambda s: s.pending[4].append([2**63 - 1, 0, "x"])),
    "a prediction of another": ("pending", lambda s: put(s.pending[0][0][2], "id", "x")),
    "a prediction at another time": ("pending", lambda s: put(s.pending[0][0][2], "event_time", 1)),
    "a probability NaN": ("pending", lambda s: put(s.pending[0][0][2], "online", NAN)),
    "a probability beyond all": ("pending", lambda s: put(s.pending[0][0][2], "online", 1e300)),
    "half an offline model": ("pending", lambda s: put(s.pending[0][0][2], "residual", 0.5)),
    "a prediction of another partition": (
        "pending",
        lambda s: put(s.pending[0][0][2], "partition", 1),
    ),
    "a request out of its range": ("pending", lambda s: put(s.pending[0][0][3], "price", -1.0)),
    "a request's number NaN": ("pending", lambda s: put(s.pending[0][0][3], "price", NAN)),
    "a level beyond the known": (
        "pending",
        lambda s: put(s.rows[0], columns("level")[0], len(s.levels[0])),
    ),
    "a negative level": ("pending", lambda s: put(s.rows[0], columns("level")[0], -1.0)),
    "half a level": ("pending", lambda s: put(s.rows[0], columns("level")[0], 0.5)),
    "an infinite level": ("pending", lambda s: put(s.rows[0], columns("level")[0], INFINITE)),
    "an id twice": ("recent", lambda s: s.seen[2].append(s.seen[2][0])),
    "ids that are none": ("recent", lambda s: put(s.seen, 1, [7])),
    "a generation that began before time": ("recent", lambda s: put(s.seen, 0, -1)),
    "a generation that never ends": ("recent", lambda s: put(s.seen, 0, 2**62)),
    "a lag that is none": ("clock", lambda s: put(s.guard["app"], "least", 0.5)),
    "a lag beyond all": ("clock", lambda s: put(s.guard["app"], "least", 2**63)),
    "a source that is none": ("clock", lambda s: put(s.guard, "app", None)),
    "a place beyond the weights": (
        "learners",
        lambda s: array(s.learners, PLACES, np.int64, -1, 2**40),
    ),
    "a negative place": ("learners", lambda s: array(s.learners, PLACES, np.int64, 0, -1)),
    "a place twice": (
        "learners",
        lambda s: array(s.learners, PLACES, np.int64, 1, s.learners[PLACES][:8]),
    ),
    "a place too few": ("learners", lambda s: put(s.learners, PLACES, s.learners[PLACES][8:])),
    "a weight NaN": ("learners", lambda s: array(s.learners, 3, float, 0, NAN)),
    "a weight infinite": ("learners", lambda s: array(s.learners, 3, float, 4, -INFINITE)),
    "a weight beyond measure": ("learners", lambda s: array(s.learners, 3, float, 2, 1e308)),
    "a negative sum of squares": ("learners", lambda s: array(s.learners, 4, float, 1, -1.0)),
    "a scale too short": ("learners", lambda s: put(s.learners, 0, s.learners[0][:-8])),
    "a scale too long": ("learners", lambda s: put(s.learners, 0, 2 * s.learners[0])),
    "a count NaN": ("learners", lambda s: array(s.learners, 0, float, 2, NAN)),
    "a centre NaN": ("learners", lambda s: array(s.learners, 0, float, NUMBER, NAN)),
    "a spread of 0": ("learners", lambda s: array(s.learners, 0, float, NUMBER + 1, 0.0)),
    "a first value NaN": ("learners", lambda s: array(s.learners, 1, float, 0, NAN)),
    "an array too few": ("learners", lambda s: s.learners.pop()),
    "a classifier too many": ("River", lambda s: s.rivers.append(b"")),
    "a mixture of three": ("ensemble", lambda s: put(s.ensemble, 0, s.ensemble[0][:24])),
    "a share NaN": ("ensemble", lambda s: array(s.ensemble, 0, float, 0, NAN)),
    "a negative share": ("ensemble", lambda s: array(s.ensemble, 2, float, 0, -0.5)),
    "trust beyond 1": ("ensemble", lambda s: array(s.ensemble, 1, float, 0, 3.0)),
    "a stack's weight infinite": ("ensemble", lambda s: array(s.ensemble, 6, float, 0, INFINITE)),
    "a turn before the first": ("request order", lambda s: put(s.order, 0, -1)),
    "a label of 2": ("request order", lambda s: put(s.order[1], -1, 2)),
    "a first request that waits for none": ("request order", lambda s: put(s.order[1], 0, 1)),
    "parts of a request too few": ("request order", lambda s: put(s.order, 4, s.order[4][:-8])),
    "parts infinite": ("request order", lambda s: array(s.order, 4, float, 0, INFINITE)),
    "models of a request too few": ("request order", lambda s: s.order[2].pop()),
    "evidence too short": ("contest", lambda s: put(s.__dict__, "contest", s.contest[:-8])),
    "a capital NaN": ("contest", lambda s: staked(s, 0, NAN)),
    "a capital of 0": ("contest", lambda s: staked(s, 3, 0.0)),
    "a capital beyond all": ("contest", lambda s: staked(s, 1, INFINITE)),
    "half a label in a contest": ("contest", lambda s: staked(s, STAKED, 0.5)),
    "gains of more than all labels": ("contest", lambda s: staked(s, 2 * STAKED + 1, 1e5)),
    "an answer beyond 1": ("request order", lambda s: put(s.order[3], 0, [1.5, 0])),
    "an answer before 1970": ("request order", lambda s: put(s.order[3], 0, [0.5, -1])),
    "answers of a request too few": ("request order", lambda s: s.order[3].pop()),
    "detectors too few": ("drift", lambda s: put(s.drift, 0, s.drift[0][:-8])),
    "a detector's capital NaN": ("drift", lambda s: array(s.drift, 0, float, 0, NAN)),
    "a detector's capital of 0": ("drift", lambda s: array(s.drift, 0, float, 1, 0.0)),
    "a negative number of labels": ("drift", lambda s: array(s.drift, 0, float, 44, -1.0)),
    "a loss infinite": ("drift", lambda s: array(s.drift, 0, float, 150, INFINITE)),
    "a limit NaN": ("drift", lambda s: put(s.drift[1], "limit", NAN)),
    "a limit infinite": ("drift", lambda s: put(s.drift[1], "limit", INFINITE)),
    "a period too few": ("trust", lambda s: s.trust[0].pop()),
    "a histogram too short": ("trust", lambda s: s.trust[0][1][0].pop()),
    "a negative number of answers": ("trust", lambda s: put(s.trust[0][0][1], 7, -1)),
    "a threshold beyond 1": ("trust", lambda s: put(s.trust, 1, {"act": 1.5})),
    "a threshold NaN": ("trust", lambda s: put(s.trust, 1, {"let_go": NAN})),
    "a group of later requests": ("learning", lambda s: put(s.estimates, "end", 10**6)),
    "a negative turn": ("estimates", lambda s: put(s.estimates, "doubted", -1)),
    "a column beyond all": ("estimates", lambda s: put(s.estimates["now"]["counts"], 0, [280, 1])),
    "a label too few": ("estimates", lambda s: s.estimates["now"]["counts"].pop()),
    "a group that is none": ("estimates", lambda s: put(s.estimates, "last", 7)),
    "an alarm before 1970": ("drift", lambda s: put(s.drift[1], "alarmed_at", -1)),
    "a request in nobody's turn": ("learning", lambda s: put(s.pending[0][0], 4, -1)),
    "two requests in one turn": (
        "learning",
        lambda s: put(s.pending[0][0], 4, s.pending[0][1][4]),
    ),
    "a label for one who waits": ("learning", lambda s: put(s.order[1], waits(s.order[1]), 1)),
    "a model that never came": ("learning", lambda s: put(s.order[2], -1, [7, 0])),
    "a level beyond the known, labelled": (
        "learning",
        lambda s: array(s.recent, 1, float, columns("level")[0], 99.0),
    ),
    "labels too few": ("recent labels", lambda s: s.recent[2].pop()),
    "a labelled vector too short": ("recent labels", lambda s: put(s.recent, 1, s.recent[1][8:])),
    "a label that is none": ("recent labels", lambda s: put(s.recent[2], 0, 3)),
    "a model without a number": ("head", lambda s: put(s.in_use, "model", "gbm-1")),
    "a champion that is not in use": ("head", lambda s: put(s.in_use, "champion", "gbm-1")),
    "a model without a champion": (
        "head",
        lambda s: s.in_use.update(model="gbm-1", number=1, last_number=1),
    ),
    "an older model without a newer": (
        "head",
        lambda s: s.in_use.update(older="gbm-1", older_number=1, last_number=1),
    ),
    "one model twice": (
        "head",
        lambda s: s.in_use.update(
            older="gbm-1", older_number=1, model="gbm-1", number=1, last_number=1,
            champion="gbm-1",
        ),
    ),
    "a number beyond the last": (
        "head",
        lambda s: s.in_use.update(model="gbm-1", number=1, champion="gbm-1"),
    ),
    "an early label that is no event": ("labels", lambda s: early(s, [[0, b"x"]])),
    "an early label of another type": ("labels", lambda s: early(s, [[0, RECORDS[0].value]])),
    "an early label out of range": (
        "labels",
        lambda s: early(s, [[0, LABEL.replace(b'"late":', b'"late":9999')]]),
    ),
    "early labels in no order": ("labels", lambda s: early(s, [[3, LABEL], [2, LABEL]])),
    "an early label twice": ("labels", lambda s: early(s, [[3, LABEL], [3, LABEL]])),
    "an early label that is yet to come": ("labels", lambda s: early(s, [[NEWER, LABEL]])),
    "an early label before all": ("labels", lambda s: early(s, [[-1, LABEL]])),
    "a negative count of labels": ("labels", lambda s: put(s.labels[1], "told", -1)),
    "a count of labels that is none": ("labels", lambda s: put(s.labels[1], "x", 1)),
    "requests without a label where silence is one": (
        "labels",
        lambda s: put(s.labels[1], "unlabelled", 1),
    ),
    "a note too few": ("recent", lambda s: s.seen[3].pop()),
    "a negative note": ("recent", lambda s: put(s.seen[4], 0, -1)),
    "a note beyond all time": ("recent", lambda s: put(s.seen[4], 0, 2**62)),
    "losses of three models": ("losses", lambda s: s.sums[0].pop()),
    "losses of two sums": ("losses", lambda s: s.sums[1][0].pop()),
    "losses NaN": ("losses", lambda s: put(s.sums[0][0], 1, NAN)),
    "a count of labels infinite": ("losses", lambda s: put(s.sums[0][0], 0, INFINITE)),
    "another version": ("head", lambda s: put(s.__dict__, "version", s.version + 1)),
    "a version that is none": ("head", lambda s: put(s.__dict__, "version", str(s.version))),
    "a negative offset": ("head", lambda s: put(s.position, "offset", -1)),
    "activations beyond all": ("head", lambda s: put(s.position, "activations", 2**63)),
    "a topic too few": ("head", lambda s: s.counts["sequences"].pop("alerts")),
    "a topic of another name": ("head", lambda s: put(s.counts["sequences"], "../x", 1)),
    "a negative sequence": ("head", lambda s: put(s.counts["sequences"], "alerts", -1)),
    "a reason that is none": ("head", lambda s: put(s.counts["dead_letters"], "x", 1)),
    "a time beyond 2100": ("head", lambda s: put(s.counts, "high_us", 2**53)),
    "a negative tick": ("head", lambda s: put(s.counts, "tick_us", -1)),
    "a chain that is none": ("head", lambda s: put(s.counts, "chain", "x" * 16)),
    "a cut beyond the outcomes": ("head", lambda s: put(s.counts, "cut_end", 10**9)),
    "a cut that none was": ("head", lambda s: put(s.counts, "last_cut", [0, 1, 0, 0])),
    "cuts without one": ("head", lambda s: put(s.counts, "cuts", 3)),
}  # fmt: skip


def test_what_the_cases_are_made_of_is_taken_where_nothing_is_odd(state):
    again = State(state).packed()
    shard = rides_shard()
    shard.restore(again, unloaded)
    assert shard.snapshot() == state


@pytest.mark.parametrize("form", ODD)
def test_it_is_refused_with_its_part_and_the_rule(state, form):
    part, change = ODD[form]
    odd = State(state)
    change(odd)
    with pytest.raises(DamagedStateError) as raised:
        rides_shard().restore(odd.packed(), unloaded)
    said = str(raised.value)
    assert said.endswith("of a shard's state")
    assert part in said.rpartition(" in ")[2]
    assert len(said) < 600


BUCKETS = {
    "as many as never": (3, 10**6),
    "less than none": (3, -1.0),
    "half a bucket": (3, 1.5),
    "behind its room": (2, 10**6),
    "before its room": (2, -1.0),
    "no number of them": (3, NAN),
    "a time before 1970": (4, -1.0),
    "between two times": (4, 0.5),
    "no time": (4, NAN),
    "beyond all time": (4, 2.0**60),
}


@pytest.mark.parametrize("odd", BUCKETS)
def test_buckets_that_no_kernel_can_follow_are_refused(run, state, odd):
    features = run.shard._features
    ((_, table), *_) = (one for one in features._blocks if one.block.stats)
    cell, value = BUCKETS[odd]
    changed = State(state)
    address = next(a for a in table.blocks.values() if changed.pool[a + 3])
    if cell == 4:
        cell += int(changed.pool[address + 2]) * (1 + features._blocks[0].block.read["n"])
    changed.pool[address + cell] = value
    with pytest.raises(DamagedStateError, match="buckets must be in their places"):
        rides_shard().restore(changed.packed(), unloaded)


@pytest.mark.parametrize("content", [b"", b"\xc1", b"\x95", b"\x91" * 5000, b"\x90", b"\x95\x03"])
def test_what_is_no_state_at_all_is_refused(content):
    with pytest.raises(DamagedStateError):
        rides_shard().restore(content, unloaded)


@pytest.fixture
def log(tmp_path, run):
    log = SqliteLog(tmp_path / "log")
    for topic in ("events", "activations", "snapshots", *TOPICS):
        log.create(topic, 1)
    log.append("events", 0, [Entry(*record[1:]) for record in RECORDS])
    for topic, entries in run.written.items():
        log.append(topic, 0, entries)
    yield log
    log.close()


@pytest.fixture
def store(tmp_path):
    """Has a checkpoint of before."""
    store = CheckpointStore(tmp_path / "checkpoints")
    older = feed(Run(rides_shard()), RECORDS[:OLDER])
    store.save(checkpoint_of(older.shard, at_boundary=False))
    return store


def no_model(model, shard):
    raise AssertionError(model)


def recovered(store, log):
    return recover(lambda _: rides_shard(), 0, store, log, no_model)


FORMS = ("an address beyond the pool", "a place beyond the weights", "more rows than there are")


@pytest.mark.parametrize("form", FORMS)
def test_recovery_takes_the_one_before_with_one_line_that_names_the_file(
    run, state, store, log, caplog, form
):
    odd = State(state)
    ODD[form][1](odd)
    made = checkpoint_of(run.shard, at_boundary=False)
    path = store.save(msgspec.structs.replace(made, shard=odd.packed()))
    with caplog.at_level(logging.WARNING):
        assert recovered(store, log).position.offset == OLDER
    (line,) = caplog.messages
    assert line.startswith(f"checkpoint {path} is damaged or of another version: passed over (")


@pytest.mark.parametrize(
    "lie",
    [
        {"offset": NEWER - 1},
        {"boundary": 5},
        {"chain": ""},
        {"counters": {"activations": 1}},
        {"counters": {"predictions": 1}},
    ],
)
def test_a_head_that_says_otherwise_than_its_state_is_passed_over(run, store, log, caplog, lie):
    made = checkpoint_of(run.shard, at_boundary=False)
    JournalWriter(log, 0).write(Activated(NEWER, "gbm-1", None), 0)
    if "counters" in lie:
        lie = {"counters": made.counters | lie["counters"], "chain": ""}
    path = store.save(msgspec.structs.replace(made, **lie))
    with caplog.at_level(logging.WARNING):
        shard = recovered(store, log)
    if lie == {"chain": ""}:  # that is what nobody noted
        assert shard.position.offset == NEWER
        return
    assert shard.position.offset == OLDER
    assert f"checkpoint {path} is damaged" in caplog.messages[0]


ALL = dict.fromkeys((*TOPICS, "activations"), 0)


@pytest.mark.parametrize("counters", [{}, {"predictions": 0}, ALL | {"../../x": 0}])
def test_counters_of_other_topics_are_passed_over(run, store, log, caplog, counters):
    made = checkpoint_of(run.shard, at_boundary=False)
    counters = (
        counters if len(counters) < 1 or "x" not in str(counters) else made.counters | counters
    )
    path = store.save(msgspec.structs.replace(made, counters=counters))
    with caplog.at_level(logging.WARNING):
        assert recovered(store, log).position.offset == OLDER
    assert f"0/{path.name} is damaged" in caplog.messages[0]


def test_a_model_that_the_journal_does_not_tell_is_passed_over_and_not_looked_for(
    run, state, store, log, caplog
):
    odd = State(state)
    name = "../../gbm\x1b[31m-1"
    odd.in_use.update(model=name, number=1, last_number=1, champion=name)
    made = checkpoint_of(run.shard, at_boundary=False)
    store.save(msgspec.structs.replace(made, shard=odd.packed()))
    with caplog.at_level(logging.WARNING):
        assert recovered(store, log).position.offset == OLDER
    assert "model must be the journal's, None" in caplog.messages[0]
    assert caplog.messages[0].isprintable()


def test_a_hook_that_fails_in_any_way_is_passed_over(run, state, store, log, caplog, monkeypatch):
    def fail(self, content):
        raise KeyError(content[:1])

    store.save(checkpoint_of(run.shard, at_boundary=False))
    monkeypatch.setattr(type(rides_shard()._features._hooks[0][0]), "restore", fail)
    assert recovered(store, log).position.offset == 0
    assert len(caplog.messages) == 2
    assert "hook Streak must take its state; got KeyError" in caplog.messages[0]


def test_what_cannot_be_restored_is_not_counted_on_when_the_log_is_cut(run, state, store, log):
    odd = State(state)
    odd.blocks[0][1] = 2**40
    made = checkpoint_of(run.shard, at_boundary=False)
    store.save(msgspec.structs.replace(made, shard=odd.packed()))
    end = RECORDS[-1].append_time + 1

    def restorable(head):
        try:
            rides_shard().restore(store.whole(head).shard, unloaded)
        except DamagedStateError:
            return False
        return True

    assert first_kept(log, store, made.shape, end) != [{}]
    assert first_kept(log, store, made.shape, end, restorable) == [{}]  # one is left
