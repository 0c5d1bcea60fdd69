"""The in-process scorer: what the flow answers, at every point of the log, from any thread."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path

import msgspec
import polars as pl
import pytest

from flows.scorer import FollowError, RequestError, Scorer, StaleError
from models.mojo import read_mojo
from operators.journal import Activated, Journal
from operators.messages import Activation
from operators.replica import ModelError
from state.events import HOUR_US
from state.log import EVENTS, partition_of
from state.outputs import Prediction
from state.settings import Decision, Scoring
from tests.golden.trips import stream
from tests.golden_log import GOLDEN
from tests.trips_world import FIRST_US, SETTINGS, World, ask, zone_of

IN_0 = zone_of(0)


DEEP = [1.0]
for _ in range(200_000):
    DEEP = [DEEP]


def with_shadow(n):
    return msgspec.structs.replace(SETTINGS, scoring=Scoring(shadow=n))


_FIRST = """
import sys
from pathlib import Path
from models.compiled_kernels import blend
from models.online_kernels import learn
from state.feature_kernels import observe, read
from tests.trips_world import World, ask, zone_of

counts = lambda: [len(kernel.signatures) for kernel in (blend, learn, observe, read)]
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


def said(answer):
    own = {name: getattr(answer, name) for name in Prediction.__struct_fields__[:-1]}
    return Prediction(**own)


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
        sides = scorer._replicas[0]._sides
        flow = world.lives[0].shard.snapshot()
        assert [sides.active.shard.snapshot(), sides.idle.shard.snapshot()] == [flow, flow]


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
                one, two = scorer._replicas[p]._sides, other._replicas[p]._sides
                assert one.active.shard.snapshot() == two.active.shard.snapshot()


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
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused_with_its_field_named(world, changes, words):
    world.go(0)
    world.go(1)
    fields = msgspec.to_builtins(ask()) | changes
    with world.scorer() as scorer, pytest.raises(RequestError, match=words):
        scorer.score(fields)


def test_an_event_of_another_type_is_refused(world):
    other = stream.events[2](id="r", time=FIRST_US, zone="a", fell=1.0)
    with world.scorer() as scorer, pytest.raises(RequestError, match="must be a Asked; got Rained"):
        scorer.score(other)


def test_a_partition_that_is_not_followed_is_refused(world):
    with world.scorer(partitions=[0]) as scorer:
        zones = {partition_of(zone.encode(), 2): zone for zone in "abcde"}
        assert scorer.score(ask(zones[0])).partition == 0
        with pytest.raises(RequestError, match=r"followed \[0\]; got 1 for zone"):
            scorer.score(ask(zones[1]))


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
        assert len(scorer._replicas[0]._differences) == 3 + 1


def test_a_level_that_only_the_model_knows_is_scored_by_its_name(world):
    """The flow would take the level in before it asks the model."""
    mojo = read_mojo(GOLDEN / "1/gbm-1.zip")
    zones = mojo.domains[mojo.columns.index("zone")]
    known = next(zone for zone in zones if partition_of(zone.encode(), 2) == 0)
    with world.scorer(partitions=[0]) as scorer:
        scorer._replicas[0]._activate(Activation(0, "gbm-1", None))
        answer = scorer.score(ask(known))
        assert scorer.unseen(answer) == ["zone"]
        names = [column.name for column in stream.columns]
        columns = {name: [value] for name, value in zip(names, answer.vector, strict=True)}
        for zone, is_same in ((known, True), (None, False)):
            (own,) = mojo.score_many(mojo.encode(columns | {"zone": [zone]}))
            assert (answer.offline == float(own)) is is_same
        many = scorer.score_many(pl.DataFrame([msgspec.to_builtins(ask(known))] * 2))
        assert many.rows(named=True) == [answer.as_dict()] * 2


def test_the_first_request_and_the_first_event_wait_for_no_compiler(tmp_path):
    """In a process of its own: here, other tests have compiled."""
    said = subprocess.run(
        [sys.executable, "-c", _FIRST, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines() == ["[1, 1, 1, 1]", "0.5", "[1, 1, 1, 1]"]


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


def test_it_follows_in_the_background_while_threads_score(world):
    stop = threading.Event()

    def score(scorer):
        while not stop.wait(0.000_2):
            assert 0 < scorer.score(ask()).probability < 1

    with world.scorer(follow=True) as scorer, ThreadPoolExecutor(2) as pool:
        scoring = [pool.submit(score, scorer) for _ in range(2)]
        world.go(0)
        world.go(1)
        deadline = time.monotonic() + 20
        sides, flow = scorer._replicas[1]._sides, world.lives[1].shard
        while sides.active.shard.position != flow.position and time.monotonic() < deadline:
            stop.wait(0.01)
        stop.set()
        for one in scoring:
            one.result()
        assert scorer.staleness.records == 0
        assert scorer.trouble is None
    copies = [sides.active.shard.snapshot(), sides.idle.shard.snapshot()]
    assert copies == [flow.snapshot()] * 2


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


def test_only_what_was_in_use_can_be_rolled_back_to(world):
    with pytest.raises(ValueError, match="in use before gbm-2; got gbm-9, there is gbm-1"):
        world.published.roll_back("gbm-9", 0)
    with pytest.raises(ValueError, match="got gbm-2"):
        world.published.roll_back("gbm-2", 0)
    world.published.roll_back("gbm-1", 0)
    assert world.published.champion() == "gbm-1"
    assert world.published.roll_back("gbm-2", 0) == "gbm-2"
    assert world.published.champion() == "gbm-2"


def test_a_model_promoted_after_a_rollback_takes_over(world):
    world.published.roll_back(None, 0)
    newest = msgspec.structs.replace(
        world.published.of("gbm-2"), boundary=FIRST_US + 9 * HOUR_US, model="gbm-3"
    )
    world.published.publish(newest)
    assert world.published.champion() == "gbm-3"
    assert world.published.champion_at(FIRST_US + 8 * HOUR_US) == (False, "gbm-1")


def test_a_new_model_answers_only_after_its_shadow(world):
    world.go(0, 20)
    with world.scorer(settings=with_shadow(3)) as scorer:
        assert scorer.models[0] == "gbm-1"
        world.go(0, 90)
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
        scorer._heal_at.clear()
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
        scorer._heal_at.clear()
        scorer.advance()
        assert scorer.trouble is None
        assert scorer._replicas[0]._sides.active.shard.snapshot() == world.lives[0].shard.snapshot()


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
        scorer._heal_at.clear()
        scorer.advance()
        assert scorer.trouble is None
        assert said_so[1:] == ["events/0 is exact again"]
        assert scorer._replicas[0]._sides.active.shard.snapshot() == world.lives[0].shard.snapshot()


def unreadable(world):
    """A checkpoint that the file system refuses to read."""
    path = world.home.root / f"checkpoints/0/{10**14:015d}-{0:016d}-periodic.ckpt"
    path.mkdir(parents=True)
    return path


def test_a_file_system_that_fails_is_trouble_until_it_works(world):
    with world.scorer() as scorer:
        world.go(0, 20)
        path = unreadable(world)
        scorer.advance()
        assert path.name in scorer.trouble
        path.rmdir()
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


def test_other_settings_of_the_flow_are_trouble_until_they_are_its_own(world):
    other = msgspec.structs.replace(SETTINGS, decision=Decision(threshold=0.25))
    with world.scorer(settings=other) as scorer:
        world.go(0, 20)
        scorer.advance()
        assert scorer.trouble.startswith(
            "decision.threshold must be the flow's 0.5; got 0.25 in a scorer of events/0"
        )
        for file in world.home.root.glob("checkpoints/0/*"):
            file.unlink()
        scorer._compare_at.clear()
        scorer.advance()
        assert scorer.trouble is None


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
        assert scorer._replicas[0].follower.poll() is None
        assert scorer.as_of[0][1] == 20


def test_each_answer_in_fifty_swaps_is_of_exactly_one_model(world):
    world.go(0, 90)
    request = ask(IN_0)
    with world.scorer(partitions=[0]) as scorer:
        replica, expected = scorer._replicas[0], {}
        models = ["gbm-1", "gbm-2"]

        def swap(i):
            replica._activate(Activation(i, models[i % 2], None))

        for i in range(2):
            swap(i)
            answer = scorer.score(request)
            expected[answer.model] = (answer.probability, answer.offline, answer.residual)
        assert expected["gbm-1"] != expected["gbm-2"]
        stop = threading.Event()

        def score():
            found = set()
            while not stop.wait(0.000_2):
                answer = scorer.score(request)
                found.add((answer.model, answer.probability, answer.offline, answer.residual))
            return found

        with ThreadPoolExecutor(4) as pool:
            scoring = [pool.submit(score) for _ in range(4)]
            for i in range(50):
                swap(i)
                stop.wait(0.005)
            stop.set()
            found = set().union(*(one.result() for one in scoring))
        assert found == {(model, *rest) for model, rest in expected.items()}
