"""The in-process scorer: what the flow answers, at every point of the log, from any thread."""

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from flows.scorer import FollowError, RequestError, Scorer, StaleError
from models.logits import logit
from models.mojo.model import read_mojo
from models.scoring.bound_model import Offline
from operators.partition.journal import Activated, Journal, JournalWriter
from operators.shard.messages import Activation
from operators.shard.shard import RefusedError
from operators.training.model_loader import ModelError
from state.events import HOUR_US, MINUTE_US
from state.log import EVENTS, Entry, partition_of
from state.outputs.records import Prediction
from state.settings import Scoring, changed
from state.storage.artifact_store import ArtifactStore
from tests.golden.trips import stream
from tests.golden_log import GOLDEN
from tests.trips_world import FIRST_US, SETTINGS, World, ask, zone_of
from tests.waiting import until

IN_0 = zone_of(0)


DEEP = [1.0]
for _ in range(200_000):
    DEEP = [DEEP]


def with_shadow(n):
    return msgspec.structs.replace(SETTINGS, scoring=Scoring(shadow=n))


_FIRST = """
import sys
from pathlib import Path
from models.scoring.blend_kernels import blend, teach, weigh
from models.linear.bank_kernels import warm
from models.mojo.glm import score_glm, score_glm_many
from models.mojo.tree_bytes import parse_tree
from models.mojo.tree_kernels import score_trees, score_trees_many
from state.vector.kernels import observe, read
from tests.trips_world import World, ask, zone_of

kernels = blend, teach, weigh, warm, observe, read, parse_tree, score_trees, score_trees_many
kernels += score_glm, score_glm_many
counts = lambda: [len(kernel.signatures) for kernel in kernels]
world = World(Path(sys.argv[1]))
with world.scorer() as scorer:
    print(counts())
    print(scorer.score(ask(zone_of(0))).probability)
    world.go(0)
    scorer.advance()
    print(counts())
"""


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.log.close()


_JAVA = """
import sys
from pathlib import Path
from models.refit.fit_record import FitRecord
from state.settings import changed
from tests.trips_world import SETTINGS, World

folder, wanted, fitted = sys.argv[1:]
world = World(Path(folder), settings=changed(SETTINGS, {"training": {"algorithm": wanted}}))
world.published.publish(
    FitRecord(boundary=1, status="rejected", reason="", algorithm=fitted, model="x", sha256="0")
)
with world.scorer():
    print("jpype" in sys.modules and sys.modules["jpype"].isJVMStarted())
"""


def ended(program, *words):
    """The output of a new process, as other tests here have compiled kernels and started Java."""
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()


def said(answer):
    own = {name: getattr(answer, name) for name in Prediction.__struct_fields__[:-1]}
    return Prediction(**own)


def known(shard):
    """All that a shard has learned and seen; what it wrote of that is left out."""
    _, position, counts, in_use, _, parts = msgspec.msgpack.decode(shard.snapshot())
    for written in ("sequences", "chain", "cut_end", "last_cut"):
        del counts[written]
    return position, counts, in_use, parts


def test_at_every_offset_it_answers_what_the_flow_then_records(world):
    decode = stream.decoder().decode
    answers = {}
    with world.scorer(partitions=[0]) as scorer:
        for start, end in ((2, 14), (74, 90)):
            for offset in range(start, end):
                world.go(0, offset)
                scorer.advance()
                assert scorer.as_of[0][1] == offset
                with suppress(RequestError, msgspec.MsgspecError):
                    answers[offset] = said(scorer.score(decode(world.left[0][offset].value)))
        world.go(0)
        scorer.advance()
        recorded = {p.offset: msgspec.structs.replace(p, chain="") for p in world.predictions(0)}
        assert recorded.keys() >= answers.keys()
        # A boundary shows only with the append time of the request itself.
        for entry in Journal(world.log, 0).entries:
            answers.pop(entry.offset, None)
        assert answers == {offset: recorded[offset] for offset in answers}
        assert {one.model for one in answers.values()} == {None, "gbm-1", "gbm-2"}
        sides = scorer._followed[0].replica._sides
        flow = known(world.lives[0].shard)
        assert [known(sides.active.shard), known(sides.idle.shard)] == [flow, flow]


def test_one_that_is_opened_later_is_where_one_that_followed_is(world):
    world.go(0, 60)
    world.go(1)
    with world.scorer() as scorer:
        world.go(0)
        scorer.advance()
        for file in world.home.root.glob("checkpoints/1/*"):
            file.unlink()
        with world.scorer() as other:  # of one partition from the head of the log
            assert other.as_of == scorer.as_of
            for p in (0, 1):
                one, two = scorer._followed[p].replica._sides, other._followed[p].replica._sides
                assert known(one.active.shard) == known(two.active.shard)


def test_it_never_passes_what_the_flow_has_passed(world):
    with world.scorer() as scorer:
        world.go(0, 20)
        world.append(0)
        world.append(1)
        scorer.advance()
        assert {p: offset for p, (_, offset) in scorer.as_of.items()} == {0: 20, 1: 0}
        assert scorer.staleness.records == len(world.left[1])


def test_a_scorer_too_far_behind_refuses_and_one_that_has_caught_up_does_not(world):
    world.append(0)
    world.append(1)
    with world.scorer(most_staleness=3600.0) as scorer:
        with pytest.raises(StaleError, match=r"at most 3600 s behind .* records in events/"):
            scorer.score(ask())
        world.go(0)
        world.go(1)
        scorer.advance()
        assert scorer.staleness.records == 0
        assert scorer.score(ask()).probability > 0


def test_a_dictionary_and_an_event_are_the_same_request(world):
    world.go(0)
    world.go(1)
    with world.scorer() as scorer:
        event = ask()
        fields = {"id": "new", "time": event.time, "zone": "a", "distance": 2}
        assert said(scorer.score(fields)) == said(scorer.score(event))
        assert said(scorer.score(fields | {"type": "asked"})) == said(scorer.score(event))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"distance": -1.0}, r"distance"),
        ({"distance": float("nan")}, r"Expected `float`, got `null` - at `\$.distance`"),
        ({"distance": "far"}, r"distance"),
        ({"speed": 3}, r"unknown field `speed`"),
        ({"time": None}, r"time"),
        ({"type": "rained"}, r"rained"),
        ({"time": FIRST_US - 24 * HOUR_US}, r"time must be at most .* behind"),
        ({"distance": object()}, r"object"),
        ({"distance": DEEP}, r"recursion"),
        ({"zone": b"a"}, r"Expected `str`, got `bytes` - at `\$.zone`"),
        ({"zone": memoryview(b"a")}, r"Expected `str`, got `memoryview` - at `\$.zone`"),
        ({"time": 3_976_214_400_000_000}, r"time must be at most 5m ahead of the clock and of the"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused_with_its_field_named(world, changes, words):
    world.go(0)
    world.go(1)
    fields = msgspec.to_builtins(ask()) | changes
    with world.scorer() as scorer:
        with pytest.raises(RequestError, match=words):
            scorer.score(fields)
        with pytest.raises(RequestError, match=rf"(?s){words}.* in row 1"):
            scorer.answers([ask(), fields])


def test_an_event_may_be_as_far_ahead_as_the_flow_takes_it(world):
    """Of the clock, or of the newest event where the log's time is ahead of the clock."""
    now = time.time_ns() // 1000
    world.go(0)
    with world.scorer(partitions=[0]) as scorer:
        assert scorer.score(ask(IN_0, time=now + 4 * MINUTE_US)).probability > 0
        with pytest.raises(RequestError, match="time must be at most 5m ahead"):
            scorer.score(ask(IN_0, time=now + 6 * MINUTE_US))
        replica = scorer._followed[0].replica
        assert replica.score(ask(IN_0, time=replica.as_of + 4 * MINUTE_US), lambda: 0)
        with pytest.raises(RefusedError, match="time must be at most 5m ahead"):
            replica.score(ask(IN_0, time=replica.as_of + 6 * MINUTE_US), lambda: 0)


def test_an_event_with_bytes_for_a_text_is_refused(world):
    with world.scorer() as scorer, pytest.raises(RequestError, match=r"got `bytes` - at `\$.zone`"):
        scorer.score(ask(b"a"))


def test_an_event_of_another_type_is_refused(world):
    other = stream.events[2](id="r", time=FIRST_US, zone="a", fell=1.0)
    words = "must be a Asked or a dict; got Rained"
    with world.scorer() as scorer, pytest.raises(RequestError, match=words):
        scorer.score(other)


def test_a_partition_that_is_not_followed_is_refused(world):
    with world.scorer(partitions=[0]) as scorer:
        zones = {partition_of(zone.encode(), 2): zone for zone in "abcde"}
        assert scorer.score(ask(zones[0])).partition == 0
        with pytest.raises(RequestError, match=r"followed \[0\]; got 1 for zone"):
            scorer.score(ask(zones[1]))


def test_a_limit_that_is_reached_though_all_is_well_is_told(world):
    said_so = []
    for most in (4.0, 5.0, None):
        world.scorer(most_staleness=most, on_trouble=said_so.append).close()
    (line,) = said_so
    assert line.startswith("scoring.staleness should be at least 5s, checkpoints.every: ")
    assert line.endswith("got 4 s")


@pytest.mark.parametrize("partitions", [[], [2], [-1, 0]])
def test_partitions_that_there_are_not_are_refused(world, partitions):
    with pytest.raises(ValueError, match=r"partitions must be some of 0 to 1; got \[.* in Scorer"):
        world.scorer(partitions=partitions)


def test_requests_in_a_batch_are_answered_from_one_point_of_the_log(world):
    world.go(0, 20)
    world.go(1)
    with world.scorer() as scorer:

        def asked():
            yield ask(IN_0)
            yield ask(zone_of(1))
            world.go(0, 90)
            scorer.advance()
            yield ask(IN_0)

        answers = scorer.answers(asked())
        assert answers[0].offset == answers[2].offset
        assert answers[0].model == answers[2].model
        assert [said(one) for one in answers] == [
            said(scorer.score(ask(zone))) for zone in (IN_0, zone_of(1), IN_0)
        ]
        assert scorer.answers([]) == []


def test_many_requests_come_back_as_a_frame(world):
    world.go(0)
    world.go(1)
    events = [ask(zone, id=f"n{i}", distance=i) for i, zone in enumerate("abcab")]
    frame = pl.DataFrame([msgspec.to_builtins(event) for event in events])
    datetimes = frame.with_columns(pl.col("time").cast(pl.Datetime("us")).cast(pl.Datetime("ms")))
    with world.scorer() as scorer:
        found = scorer.score_many(frame)
        assert found.rows(named=True) == [scorer.score(event).as_dict() for event in events]
        assert scorer.score_many(datetimes).equals(found)
        assert scorer.score_many(frame[:0]).schema == found.schema
        with pytest.raises(RequestError, match="in row 1"):
            scorer.score_many(frame.with_columns(distance=pl.Series([1.0, -1.0, 1.0, 1.0, 1.0])))
        late = pl.when(pl.col("id") == "n4").then(FIRST_US - 24 * HOUR_US).otherwise("time")
        with pytest.raises(RequestError, match=r"behind the newest .* in row 4"):
            scorer.score_many(frame.with_columns(time=late))


def test_many_requests_in_shadow_are_answered_by_the_model_before(world):
    world.go(0, 20)
    with world.scorer(settings=with_shadow(9)) as scorer:
        world.go(0, 90)
        scorer.advance()
        frame = pl.DataFrame([msgspec.to_builtins(ask(IN_0))] * 3)
        assert scorer.score_many(frame).rows(named=True) == [scorer.score(ask(IN_0)).as_dict()] * 3
        assert scorer.models[0] == "gbm-1"
        assert len(scorer._followed[0].replica._differences) == 3 + 1


def test_a_level_that_only_the_model_knows_is_scored_by_its_name(world):
    """The flow would take the level in before it asks the model."""
    mojo = read_mojo(GOLDEN / "1/gbm-1.zip")
    zones = mojo.domains[mojo.columns.index("zone")]
    known = next(zone for zone in zones if partition_of(zone.encode(), 2) == 0)
    with world.scorer(partitions=[0]) as scorer:
        scorer._followed[0].replica._activate(Activation(0, "gbm-1", None))
        answer = scorer.score(ask(known))
        assert answer.unseen == {"zone": known}
        names = [column.name for column in stream.columns]
        columns = {name: [value] for name, value in zip(names, answer.vector, strict=True)}
        for zone, is_same in ((known, True), (None, False)):
            (own,) = mojo.score_many(mojo.encode(columns | {"zone": [zone]}))
            assert (answer.offline == float(own)) is is_same
        many = scorer.score_many(pl.DataFrame([msgspec.to_builtins(ask(known))] * 2))
        assert many.rows(named=True) == [answer.as_dict()] * 2
        # Nothing is learned yet: each learner says a half, or what the offline model says.
        with_zone, without = (
            float(mojo.score_many(mojo.encode(columns | {"zone": [zone]}))[0])
            for zone in (known, None)
        )
        change = logit(with_zone) - logit(without)
        assert change != 0
        reason = next(one for one in answer.reasons() if one.column == "zone")
        assert reason[:2] == ("zone", known)
        assert 0.3 < reason.change / change < 1


def test_the_first_request_event_and_model_wait_for_no_compiler(tmp_path):
    once_each = str([1] * 11)
    assert ended(_FIRST, tmp_path) == [once_each, "0.5", once_each]


@pytest.mark.parametrize(
    ("wanted", "fitted", "starts"),
    [("gbm", "glm", "False"), ("deeplearning", "gbm", "True"), ("gbm", "xgboost", "True")],
)
def test_java_starts_with_the_scorer_if_a_model_needs_it(tmp_path, wanted, fitted, starts):
    assert ended(_JAVA, tmp_path, wanted, fitted) == [starts]


def test_reasons_tell_what_leaving_a_column_out_would_change(world):
    world.go(0)
    world.go(1)
    with world.scorer() as scorer:
        answer = scorer.score(ask())
        reasons = answer.reasons()
        assert {reason.column for reason in reasons} == {c.name for c in stream.columns}
        sizes = [abs(reason.change) for reason in reasons]
        assert sizes == sorted(sizes, reverse=True)
        assert answer.reasons(2) == reasons[:2]
        values = {reason.column: reason.value for reason in reasons}
        assert values["distance"] == 2.0
        assert values["zone"] in {"a", "a new level"}
        for reason in reasons:
            assert reason.words.startswith(f"{reason.column} ")
            assert ("raises" in reason.words or "times" in reason.words) == (reason.change >= 0.005)


def test_reasons_asked_for_later_are_of_the_level_that_was_asked_by_its_name(world):
    """Its number may be another's by then."""
    with world.scorer(partitions=[0]) as scorer:
        answer = scorer.score(ask("bay"))
        assert answer.vector[0] == 0
        world.go(0)
        scorer.advance()
        replica = scorer._followed[0].replica
        assert replica._sides.active.shard.levels[0].index("bay") == 1
        row = answer.vector.copy()
        row[0] = 1
        assert answer.reasons() == sorted(replica.reasons(row, {}), key=lambda r: -abs(r.change))
        assert ("zone", "bay") in {(one.column, one.value) for one in answer.reasons()}


def test_it_follows_in_the_background_while_threads_score(world):
    stop = threading.Event()

    def score(scorer):
        while not stop.wait(0.000_2):
            assert 0 < scorer.score(ask()).probability < 1

    with world.scorer(follow=True) as scorer, ThreadPoolExecutor(2) as pool:
        scoring = [pool.submit(score, scorer) for _ in range(2)]
        world.go(0)
        world.go(1)
        sides, flow = scorer._followed[1].replica._sides, world.lives[1].shard
        until(lambda: sides.active.shard.position == flow.position)
        stop.set()
        for one in scoring:
            one.result()
        assert scorer.staleness.records == 0
        assert scorer.trouble is None
    copies = [known(sides.active.shard), known(sides.idle.shard)]
    assert copies == [known(flow)] * 2


def test_a_rollback_takes_effect_with_the_next_message_everywhere_and_once(tmp_path):
    world = World(tmp_path, decided=4)
    world.go(0, 100)
    with world.scorer(settings=with_shadow(5)) as scorer:
        assert (scorer.models[0], world.lives[0].shard.model) == ("gbm-2", "gbm-2")
        assert world.published.roll_back(None, 0) == "gbm-1"
        world.decide(8)
        world.go(0)
        scorer.advance()
        models = [p.model for p in world.predictions(0) if p.offset >= 100]
        assert set(models) == {"gbm-1"}
        assert scorer.models[0] == "gbm-1"  # without a shadow: it has served before
        journal = Journal(world.log, 0)
        obeyed = [one for one in journal.entries if isinstance(one, Activated) and one.rollbacks]
        assert [(one.offset, one.model, one.boundary) for one in obeyed] == [(100, "gbm-1", None)]
        assert scorer.score(ask(IN_0)).model == "gbm-1"


@pytest.mark.parametrize("shadow", [0, 50])
def test_a_rollback_to_the_model_in_use_leaves_it_alone_everywhere(world, shadow):
    world.go(0, 20)
    with world.scorer(settings=with_shadow(shadow), partitions=[0]) as scorer:
        world.go(0, 100)
        scorer.advance()
        own = world.lives[0].shard
        assert (own.model, own.older) == ("gbm-2", "gbm-1")
        promoted = msgspec.structs.replace(
            world.published.of("gbm-2"), boundary=FIRST_US + 9 * HOUR_US, model="gbm-3"
        )
        world.published.publish(promoted)
        assert world.published.roll_back(None, 0) == "gbm-2"
        world.go(0, 104)
        scorer.advance()
        assert (own.model, own.older) == ("gbm-2", None)
        answer = scorer.score(ask(IN_0))
        assert answer.model == "gbm-2"
        assert said(answer) == own.predict(ask(IN_0))


def test_only_what_was_in_use_can_be_rolled_back_to(world):
    with pytest.raises(ValueError, match="in use before gbm-2; got gbm-9, others are gbm-1"):
        world.published.roll_back("gbm-9", 0)
    with pytest.raises(ValueError, match="got gbm-2"):
        world.published.roll_back("gbm-2", 0)
    world.published.roll_back("gbm-1", 0)
    assert world.published.newest_model() == "gbm-1"
    assert world.published.roll_back("gbm-2", 0) == "gbm-2"
    assert world.published.newest_model() == "gbm-2"


def test_a_model_promoted_after_a_rollback_takes_over(world):
    world.published.roll_back(None, 0)
    newest = msgspec.structs.replace(
        world.published.of("gbm-2"), boundary=FIRST_US + 9 * HOUR_US, model="gbm-3"
    )
    world.published.publish(newest)
    assert world.published.newest_model() == "gbm-3"
    assert world.published.model_at(FIRST_US + 8 * HOUR_US) == (False, "gbm-1")


def test_a_new_model_answers_only_after_its_shadow(world):
    world.go(0, 20)
    with world.scorer(settings=with_shadow(3)) as scorer:
        assert scorer.models[0] == "gbm-1"
        world.go(0)  # at 79 the new one comes; at 106 it is decided upon once more
        scorer.advance()
        own = world.lives[0].shard
        assert own.model == "gbm-2"
        request = ask(IN_0)
        old = [scorer.score(request) for _ in range(3)]
        assert {answer.model for answer in old} == {"gbm-1"}
        scorer.advance()
        answer = scorer.score(request)
        assert answer.model == "gbm-2"
        expected = own.predict(request)
        assert said(answer) == expected
        away = abs(expected.probability - old[0].probability)
        assert scorer.differences[0] == pytest.approx((3, away, away))


class Breaking(Offline):
    """A model that fails once it is broken."""

    broken = False

    def predict(self, row):
        if self.broken:
            raise ZeroDivisionError
        return super().predict(row)


def test_a_model_that_fails_in_shadow_fails_no_request_and_does_not_take_over(world):
    world.go(0, 20)
    request, told = ask(IN_0), []
    with world.scorer(settings=with_shadow(3), partitions=[0], on_trouble=told.append) as scorer:
        replica = scorer._followed[0].replica
        load = replica._load

        def breaking(model, shard):
            offline = load(model, shard)
            if model == "gbm-2":
                offline.__class__, offline.is_compiled = Breaking, False
            return offline

        replica._load = breaking
        world.go(0, 90)
        scorer.advance()
        answers = [scorer.score(request) for _ in range(3)]
        Breaking.broken = True
        try:
            answers += [scorer.score(request) for _ in range(5)]
            answers += scorer.answers([request] * 5)
            scorer.advance()
            answers.append(scorer.score(request))
        finally:
            Breaking.broken = False
        world.go(0)  # at 106 it is decided upon once more
        scorer.advance()
        answers.append(scorer.score(request))
        assert {answer.model for answer in answers} == {"gbm-1"}
        assert scorer.trouble == "model gbm-2 must score in shadow: ZeroDivisionError()"
        assert told == [scorer.trouble]
        assert scorer._followed[0].replica is replica


def test_one_that_begins_anew_keeps_to_the_shadow(world):
    world.go(0, 20)
    request = ask(IN_0)
    with world.scorer(settings=with_shadow(3), partitions=[0]) as scorer:
        world.go(0, 90)
        scorer.advance()
        replica = scorer._followed[0].replica
        replica.trouble = "for a test"
        scorer.advance()
        assert scorer._followed[0].replica is not replica
        assert [scorer.score(request).model for _ in range(3)] == ["gbm-1"] * 3
        scorer.advance()
        assert said(scorer.score(request)) == world.lives[0].shard.predict(request)


def test_one_that_begins_anew_after_a_rollback_goes_by_it_at_once(tmp_path):
    world = World(tmp_path, decided=4)
    world.go(0, 100)
    with world.scorer(settings=with_shadow(3), partitions=[0]) as scorer:
        assert scorer.models[0] == "gbm-2"
        world.published.roll_back(None, 0)
        world.go(0, 100)
        scorer._followed[0]._is_stuck = True
        scorer.advance()
        assert scorer.score(ask(IN_0)).model == "gbm-1"
    world.log.close()


def test_a_model_whose_rows_are_damaged_after_the_flow_took_it_is_not_used(world):
    rows = world.home.root / "artifacts" / world.rows["gbm-2"]
    world.go(0, 20)
    with world.scorer(partitions=[0]) as scorer:
        world.go(0)
        assert world.lives[0].shard.model == "gbm-2"
        rows.write_bytes(b"no Parquet")
        scorer._models._forget("gbm-2")
        scorer.advance()
        assert scorer.trouble.startswith("model gbm-2 must be usable: ")
        assert scorer.score(ask(IN_0)).model == "gbm-1"


class SlowOrigin:
    """Has files, and gives them once it may."""

    def __init__(self, files):
        self.files, self.may = files, threading.Event()

    def keep(self, sha256, content):
        pass

    def find(self, sha256):
        assert self.may.wait(60)
        return self.files[sha256]


def test_while_one_partition_begins_anew_the_others_are_followed(world):
    file = world.home.root / "artifacts" / world.files["gbm-2"]
    origin = SlowOrigin({file.name: file.read_bytes()})
    world.go(0, 20)
    world.go(1, 140)
    with world.scorer(follow=True) as scorer:
        scorer._models._artifacts = ArtifactStore(file.parent, [origin])
        file.write_bytes(b"")
        scorer._models._forget("gbm-2")
        world.go(0)
        until(lambda: scorer._followed[0]._renewal)
        until(lambda: not scorer._followed[0]._renewal)
        file.unlink()
        scorer._followed[0]._again_at = 0.0
        until(lambda: scorer._followed[0]._renewal)
        world.go(1)
        until(lambda: scorer.as_of[1][1] == len(world.left[1]))
        assert scorer._followed[0]._renewal
        assert scorer.score(ask(IN_0)).model == "gbm-1"
        origin.may.set()
        until(lambda: scorer.trouble is None)
        assert said(scorer.score(ask(IN_0))) == world.lives[0].shard.predict(ask(IN_0))


def test_to_begin_anew_is_tried_less_and_less_often(world):
    file = world.home.root / "artifacts" / world.files["gbm-2"]
    world.go(0, 20)
    with world.scorer(partitions=[0]) as scorer:
        world.go(0, 90)
        file.write_bytes(b"")
        waits = []
        for _ in range(6):
            scorer.advance()
            waits.append(round(scorer._followed[0]._again_at - time.monotonic()))
            scorer._followed[0]._again_at = 0.0
        assert waits == [5, 10, 20, 40, 60, 60]


def test_a_model_that_cannot_be_used_leaves_the_old_one_until_it_can(world):
    world.go(0, 20)
    file = world.home.root / "artifacts" / world.files["gbm-2"]
    content = file.read_bytes()
    said_so = []
    with world.scorer(on_trouble=said_so.append) as scorer:
        world.go(0, 90)
        file.write_bytes(content[:-1])
        scorer.advance()
        assert scorer.score(ask(IN_0)).model == "gbm-1"
        assert "model gbm-2 must be usable: " in scorer.trouble
        assert said_so[0] == scorer.trouble
        file.write_bytes(content)
        scorer._followed[0]._again_at = 0.0
        scorer.advance()
        assert scorer.trouble is None
        assert said(scorer.score(ask(IN_0))) == world.lives[0].shard.predict(ask(IN_0))


def test_what_was_learned_under_another_model_is_no_longer_exact_with_the_next(tmp_path):
    world = World(tmp_path, decided=4)
    world.go(0, 20)
    with world.scorer(partitions=[0]) as scorer:
        world.go(0, 100)
        (world.home.root / "artifacts" / world.files["gbm-2"]).unlink()
        newest = max(world.home.root.glob("checkpoints/0/*"))
        aside = newest.read_bytes()
        scorer.advance()
        assert scorer.trouble is not None
        world.published.roll_back("gbm-1", 0)
        world.decide(8)
        world.go(0)
        kept = {one: one.read_bytes() for one in world.home.root.glob("checkpoints/0/*")}
        for one in kept:
            one.unlink()
        newest.write_bytes(aside)
        scorer.advance()
        assert scorer.models[0] == "gbm-1"
        assert "model gbm-2 must be usable" in scorer.trouble
        for one, content in kept.items():
            one.write_bytes(content)
        scorer._followed[0]._again_at = 0.0
        scorer.advance()
        assert scorer.trouble is None
        side = scorer._followed[0].replica._sides.active
        assert known(side.shard) == known(world.lives[0].shard)


def test_history_that_is_missing_in_one_partition_does_not_keep_the_others(world):
    said_so = []
    with world.scorer(on_trouble=said_so.append) as scorer:
        world.go(0)
        world.go(1)
        kept = {one: one.read_bytes() for one in world.home.root.glob("checkpoints/0/*")}
        for one in kept:
            one.unlink()
        world.log.trim(EVENTS, 0, 30)
        scorer.advance()
        scorer.advance()
        assert scorer.as_of[1][1] == len(world.left[1])
        assert "events/0" in scorer.trouble
        assert said_so == [scorer.trouble]
        for one, content in kept.items():
            one.write_bytes(content)
        scorer._followed[0]._again_at = 0.0
        scorer.advance()
        assert scorer.trouble is None
        assert said_so[1:] == ["events/0 is exact again"]
        side = scorer._followed[0].replica._sides.active
        assert known(side.shard) == known(world.lives[0].shard)


def unreadable(world):
    """A checkpoint that the file system refuses to read."""
    path = world.home.root / f"checkpoints/0/{10**14:015d}-{0:016d}-periodic.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(path.name)  # round and round
    return path


def test_a_file_system_that_fails_is_trouble_until_it_works(world):
    with world.scorer() as scorer:
        world.go(0, 20)
        path = unreadable(world)
        scorer.advance()
        assert path.name in scorer.trouble
        path.unlink()
        scorer.advance()
        assert scorer.trouble is None
        assert scorer.as_of[0][1] == 20


def test_one_who_is_told_of_trouble_and_raises_does_not_end_following(world, monkeypatch):
    raised = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: raised.set())

    def complain(line):
        raise ValueError(line)

    with world.scorer(follow=True, on_trouble=complain) as scorer:
        unreadable(world)
        world.append(0)
        assert raised.wait(20)
        assert scorer.following
        assert scorer.score(ask(IN_0)).probability > 0


def test_one_that_follows_by_itself_is_not_advanced_and_not_taken_to_another_process(world):
    with world.scorer(follow=True) as scorer:
        with pytest.raises(RuntimeError, match="must be False where `advance` is called"):
            scorer.advance()
        scorer._pid -= 1  # as after a fork
        with pytest.raises(FollowError, match="make it after `fork`"):
            scorer.score(ask())


def test_it_goes_by_the_flow_s_settings_from_where_they_hold_on(world):
    other = changed(SETTINGS, {"decision": {"threshold": 0.01}})
    request = ask(IN_0)
    world.go(0, 20)
    with world.scorer(partitions=[0]) as scorer:
        assert not scorer.score(request).decision
        world.begin_anew(0, other)
        world.go(0, 20)
        scorer.advance()
        assert scorer.score(request).decision
        world.go(0)
        scorer.advance()
        flow = world.lives[0].shard
        assert said(scorer.score(request)) == flow.predict(request)
        with world.scorer(partitions=[0]) as later:
            assert said(later.score(request)) == flow.predict(request)
        sides = scorer._followed[0].replica._sides
        copies = [known(sides.active.shard), known(sides.idle.shard)]
        assert copies == [known(flow)] * 2


def test_a_scorer_that_cannot_be_opened_lets_go_of_the_log(world):
    path = world.home.root / "headwater.toml"
    path.write_text('stream = "tests.golden.trips:stream"\n')
    world.go(0, 20)
    (world.home.root / "artifacts" / world.files["gbm-1"]).unlink()
    world.log.close()  # SQLite keeps what it closes while another connection has a lock
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(ModelError, match="gbm-1") as raised:
        Scorer.open(path, home=world.home.root, partitions=[0], follow=False)
    assert raised.tb is not None  # it would keep the log
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_a_checkpoint_of_another_shape_is_read_once(world):
    world.go(0, 20)
    (newest,) = islice(world.home.checkpoints().newest_first(0), 1)
    other = msgspec.structs.replace(newest, shape="other", offset=30)
    with world.scorer(partitions=[0]) as scorer:
        world.append(0)
        path = world.home.checkpoints().save(other)
        scorer.advance()
        path.unlink()
        path.mkdir()  # to read it would fail
        assert scorer._followed[0].replica.follower.poll() is None
        assert scorer.as_of[0][1] == 20


def test_fifty_swaps_are_seen_by_no_request_but_in_the_model(world):
    """Each time the model is loaded, verified by its rows and bound, while four threads ask."""
    world.go(0, 90)
    request, models = ask(IN_0), ["gbm-1", "gbm-2"]
    with world.scorer(partitions=[0], follow=True) as scorer:
        journal, stop = JournalWriter(world.log, 0), threading.Event()

        def swap(i):
            """From when to when a model came into use that was not in memory."""
            begin = time.perf_counter()
            scorer._models._forget(models[i % 2])
            journal.write(Activated(90, models[i % 2], None), append_time=0)
            until(lambda: scorer.models[0] == models[i % 2])
            return begin, time.perf_counter()

        expected = set()
        for i in range(2):
            swap(i)
            expected.add(told(scorer.score(request)))
        assert len(expected) == 2

        def score():
            found, taken = set(), []
            while not stop.wait(0.000_2):
                begin = time.perf_counter()
                answer = scorer.score(request)
                taken.append((begin, time.perf_counter() - begin))
                found.add(told(answer))
            return found, taken

        with ThreadPoolExecutor(4) as pool:
            scoring = [pool.submit(score) for _ in range(4)]
            windows = []
            for i in range(50):
                stop.wait(0.01)
                windows.append(swap(i))
            stop.set()
            answers, taken = zip(*(one.result() for one in scoring), strict=True)
        assert set().union(*answers) == expected
        assert scorer.trouble is None
    began, took = np.concatenate(taken).T
    inside = np.zeros(len(took), bool)
    for begin, end in windows:
        inside |= (began + took >= begin) & (began <= end)
    within, outside = (np.quantile(took[one], 0.99) for one in (inside, ~inside))
    assert min(inside.sum(), (~inside).sum()) > 500
    assert within < max(5 * outside, 0.005), (within, outside)


def told(answer):
    return answer.model, answer.probability, answer.offline, answer.residual


def test_what_others_wrote_among_the_predictions_is_told_and_ends_nothing(world):
    world.go(0, 20)
    said = []
    with world.scorer(partitions=[0], on_trouble=said.append) as scorer:
        world.append(0)
        world.log.append("predictions", 0, [Entry(0, b"", b"[")])
        scorer.advance()
        assert "record must be as it was written" in scorer.trouble
        assert scorer.score(ask(IN_0)).offset == 20
    assert len(said) == 1


def test_a_prediction_of_a_record_that_is_not_there_leads_no_further_than_the_log(world):
    world.go(0, 20)
    with world.scorer(partitions=[0]) as scorer:
        world.append(0)
        (newest,) = world.log.read("predictions", 0, world.log.end("predictions", 0) - 1)
        far = json.loads(newest.value) | {"offset": 10**15}
        world.log.append("predictions", 0, [Entry(0, b"", json.dumps(far).encode())])
        scorer.advance()
        assert scorer.staleness.records == 0


def test_a_decision_for_a_record_that_never_comes_keeps_nobody_waiting(world):
    world.go(0, 20)
    world.append(0)
    journal = JournalWriter(world.log, 0)
    journal.write(Activated(2**62, None, None), 0)
    with world.scorer(partitions=[0]) as scorer:
        scorer.advance()
        assert scorer.staleness.records == 0
        assert scorer.trouble is None
