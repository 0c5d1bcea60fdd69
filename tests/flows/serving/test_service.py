"""Batches are answered beside the follower, and a service reports its state."""

import asyncio
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from starlette.requests import Request

from flows.serving.problems import ProblemError
from flows.serving.service import Service
from state.events import HOUR_US
from state.settings import Serve, changed
from tests.trips_world import FIRST_US, SETTINGS, World, ask, zone_of


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.log.close()


@pytest.fixture
def serve():
    """Makes services, and ends them."""
    made = []

    def of(scorer):
        made.append(Service(scorer, Serve()))
        return made[-1]

    yield of
    for service in made:
        service.close()


def told(answering):
    """Status and body of an answer."""
    response = asyncio.run(answering)
    return response.status_code, json.loads(response.body)


def test_a_batch_is_answered_from_one_point_of_the_log_beside_the_follower(world, serve):
    world.go(0, 10)
    body = msgspec.json.encode([ask(zone_of(0), id=f"n{i}") for i in range(500)])
    with world.scorer(partitions=[0], follow=True) as scorer, ThreadPoolExecutor(1) as pool:
        service, done = serve(scorer), False

        def answer():
            points = []
            while not done:
                answers = json.loads(service._score_all(body))
                points.append({(one["offset"], one["model"]) for one in answers})
            return points

        answering = pool.submit(answer)
        for offset in range(11, len(world.left[0])):
            world.go(0, offset)
        done = True
        points = answering.result()
    assert len(set().union(*points)) > 3
    assert [point for point in points if len(point) != 1] == []


def test_a_batch_is_refused_by_the_row_and_field_that_is_wrong(world, serve):
    world.go(0)
    world.go(1)
    late = ask(time=FIRST_US - 10**11)
    with world.scorer() as scorer, pytest.raises(ProblemError) as caught:
        serve(scorer)._score_all(msgspec.json.encode([ask(), ask(zone_of(1)), late]))
    assert (caught.value.status, caught.value.field) == (422, "$[2].time")
    assert caught.value.detail.endswith("in row 2")


@pytest.mark.parametrize("part", ["probability", "online", "offline", "residual"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_answer_holds_what_is_not_finite(world, serve, part, value):
    world.go(0)
    with world.scorer(partitions=[0]) as scorer:
        service = serve(scorer)
        answer = msgspec.structs.replace(scorer.score(ask(zone_of(0))), **{part: value})
        with pytest.raises(ProblemError) as caught:
            service._scored(answer, 0)
    assert caught.value.status == 503
    assert caught.value.detail.startswith("probabilities must be finite; got [")
    assert b"headwater_http_scored_total 0.0" in service.metrics.text()


def test_which_models_answer_is_told_while_the_log_is_away(world, serve):
    world.go(0)
    with world.scorer() as scorer:
        service = serve(scorer)
        scorer._log.close()  # it would read on from files that are gone
        shutil.rmtree(world.home.root / "log")
        status, body = told(service.model(None))
    assert status == 200
    assert [one["model"] for one in body["in_use"]] == ["gbm-2", None]
    assert body["models"]["gbm-2"]["sha256"] == world.files["gbm-2"]


def test_one_that_is_behind_is_not_ready_whatever_the_settings_leave_open(world, serve):
    world.append(0)
    with world.scorer() as scorer:
        service = serve(scorer)
        status, body = told(service.ready(None))
        assert status == 503
        assert body["detail"].startswith("scorer must be at most 1m behind the log; got inf s and ")
        world.go(0)
        scorer.advance()
        assert told(service.ready(None)) == (200, {"ok": True, "detail": ""})


def test_the_limit_is_not_below_what_the_flow_itself_takes_to_tell(world, serve):
    world.append(0)
    slow = changed(SETTINGS, {"checkpoints": {"every": "5m"}})
    with world.scorer(settings=slow) as scorer:
        assert "at most 10m behind" in told(serve(scorer).ready(None))[1]["detail"]


def test_one_that_cannot_read_its_log_is_not_ready_but_need_not_be_restarted(world, serve):
    with world.scorer() as scorer:
        service = serve(scorer)
        world.go(0, 20)
        path = world.home.root / "log/events/0.db"
        aside = path.rename(path.with_name("aside"))
        scorer.advance()
        status, body = told(service.ready(None))
        assert status == 503
        assert "log file must stay where it is" in body["detail"]
        assert told(service.health(None))[0] == 200
        aside.rename(path)
        scorer.advance()
        assert told(service.ready(None))[0] == 200


def test_one_whose_new_model_cannot_be_used_is_ready_with_the_old_one(world, serve):
    world.go(0, 20)
    with world.scorer(partitions=[0]) as scorer:
        world.go(0, 90)
        (world.home.root / "artifacts" / world.files["gbm-2"]).unlink()
        scorer.advance()
        status, body = told(serve(scorer).ready(None))
    assert status == 200
    assert "model gbm-2 must be usable" in body["detail"]


def test_too_many_in_work_are_asked_to_come_again(world, serve):
    world.go(0)
    body = msgspec.json.encode(ask(zone_of(0)))

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    with world.scorer(partitions=[0]) as scorer, ExitStack() as working:
        service = serve(scorer)
        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "headers": headers, "query_string": b""}
        for _ in range(Serve().concurrent - 1):
            working.enter_context(service._in_work())
        assert told(service.score(Request(scope, receive)))[0] == 200
        working.enter_context(service._in_work())
        with pytest.raises(ProblemError, match="requests in flight must be at most 64") as caught:
            told(service.score(Request(scope, receive)))
    assert (caught.value.status, caught.value.headers) == (503, {"retry-after": "1"})


NEITHER = "time must be microseconds since 1970 UTC or RFC 3339;"


def text_of(time_us, zone):
    return datetime.fromtimestamp(time_us / 1e6, zone).isoformat(timespec="microseconds")


def test_times_may_be_text_over_http_alone_and_in_batches(world, serve):
    world.go(0)
    at = FIRST_US + 5 * HOUR_US + 1
    asked = msgspec.to_builtins(ask(zone_of(0), time=at))
    ist = timezone(timedelta(hours=5, minutes=30))
    texts = [text_of(at, UTC), text_of(at, ist), text_of(at, UTC)[:-6], text_of(at, UTC)[:-6] + "z"]
    with world.scorer(partitions=[0]) as scorer:
        service = serve(scorer)
        expected = service._score(msgspec.json.encode(asked), 0)
        for text in texts:
            assert service._score(msgspec.json.encode(asked | {"time": text}), 0) == expected
            assert scorer.score(asked | {"time": text}).as_dict() == scorer.score(asked).as_dict()
        many = service._score_all(msgspec.json.encode([asked | {"time": text} for text in texts]))
        assert many == b"[" + b",".join([expected] * 4) + b"]"


@pytest.mark.parametrize(
    ("time", "said"),
    [
        ('"soon"', "Expected `int`, got `str` - at `$.time`"),
        ('"1767225600000000"', "Expected `int`, got `str` - at `$.time`"),
        ('"2026-13-01"', "Expected `int`, got `str` - at `$.time`"),
        ('"2026-01-01", "time": 5', "`$.time` must be given once; got it more than once"),
        ("1767225600", f"{NEITHER} got 1767225600, which looks like seconds"),
        ("1767225600000", f"{NEITHER} got 1767225600000, which looks like milliseconds"),
    ],
)
def test_a_time_of_no_use_is_refused_by_its_field(world, serve, time, said):
    world.go(0)
    body = msgspec.json.encode(ask(zone_of(0), time=0))
    assert b'"time":0' in body
    with world.scorer(partitions=[0]) as scorer, pytest.raises(ProblemError) as caught:
        serve(scorer)._score(body.replace(b'"time":0', f'"time":{time}'.encode()), 0)
    assert (caught.value.status, caught.value.field) == (422, "$.time")
    assert caught.value.detail == said
