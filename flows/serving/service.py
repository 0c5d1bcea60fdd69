"""The endpoints of the service, with a limit on the requests in flight."""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from flows.scorer import FollowError, Scorer, StaleError
from flows.scoring.answer import Answer
from flows.scoring.requests import RequestError
from flows.serving.bodies import Bodies
from flows.serving.metrics import ServiceMetrics
from flows.serving.problems import ProblemError, decoded
from flows.serving.schemas import Health, Score, models_of, score_of
from state.durations import Duration
from state.events import Event
from state.settings import Serve
from state.stream_functions import StreamFunctionError

T = TypeVar("T")
MOST_REASONS = 100
_READY = Duration.parse("1m")
_SOON = {"retry-after": "1"}
_encode = msgspec.json.Encoder().encode


class Service:
    """Answers requests with one scorer.

    A single request is scored in the event loop, which is faster than passing it to a thread; all
    slower work runs in one thread, in order of arrival.

    Args:
        scorer: An open scorer, which is warm.
        settings: Limits of the service.

    Attributes:
        draining: True once the service must end: it still answers, but is not ready.
    """

    def __init__(self, scorer: Scorer, settings: Serve) -> None:
        self.scorer, self.settings = scorer, settings
        self.draining = False
        self._running = 0
        self.metrics = ServiceMetrics(scorer, lambda: self._running)
        self._one = msgspec.json.Decoder(scorer.stream.request)
        self._many: msgspec.json.Decoder[list[Event]] = msgspec.json.Decoder(
            list[scorer.stream.request]  # type: ignore[name-defined]
        )
        of_scorer = scorer.settings
        least = max(_READY, 2 * of_scorer.checkpoints.every)
        self._ready_within = of_scorer.scoring.staleness or Duration(least)
        self._fields = scorer.stream.request.__struct_fields__
        self._timeout_s, self._bodies = settings.timeout / 1e6, Bodies(settings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")

    async def score(self, request: Request) -> Response:
        """`POST /score`."""
        most = _reasons(request.query_params)
        body = await self._body(request)
        with self._in_work():
            if most:
                return _json(await self._in_thread(partial(self._score, body, most)))
            return _json(self._score(body, 0))

    async def batch(self, request: Request) -> Response:
        """`POST /score/batch`."""
        body = await self._body(request)
        with self._in_work():
            return _json(await self._in_thread(partial(self._score_all, body)))

    async def model(self, _: Request) -> Response:
        """`GET /model`."""
        return _json(_encode(models_of(self.scorer)))

    async def health(self, _: Request) -> Response:
        """`GET /healthz`: 503 if only a restart helps."""
        scorer = self.scorer
        return _health(None if scorer.following else scorer.trouble, scorer.trouble)

    async def ready(self, _: Request) -> Response:
        """`GET /readyz`: 503 if clients should use another instance."""
        return _health(self._unready(), self.scorer.trouble)

    async def prometheus(self, _: Request) -> Response:
        """`GET /metrics`."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _score(self, body: bytes, most_reasons: int) -> bytes:
        event = decoded(body, self._one, self.scorer.with_times)
        with self._refusing():
            answer = self.scorer.score(event)
        return _encode(self._scored(answer, most_reasons))

    def _score_all(self, body: bytes) -> bytes:
        events = decoded(body, self._many, self.scorer.with_times)
        if len(events) > self.settings.batch:
            msg = f"batch must have at most {self.settings.batch} requests; got {len(events)}"
            raise ProblemError(413, msg, "$")
        with self._refusing():
            answers = self.scorer.answers(events)
        return _encode([self._scored(answer, 0) for answer in answers])

    def _scored(self, answer: Answer, most_reasons: int) -> Score:
        if not math.isfinite(sum(_probabilities(answer))):
            msg = f"probabilities must be finite; got {_probabilities(answer)}"
            raise ProblemError(503, msg, headers=_SOON)
        self.metrics.scored.inc()
        self.metrics.unseen(answer.unseen)
        return score_of(answer, most_reasons)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Turn the scorer's errors into error responses."""
        try:
            yield
        except RequestError as error:
            path = "$" if error.row is None else f"$[{error.row}]"
            first = str(error).partition(" ")[0]
            named = f"{path}.{first}" if first in self._fields else path
            raise ProblemError(422, str(error), named) from error
        except (StaleError, FollowError) as error:
            raise ProblemError(503, str(error), headers=_SOON) from error
        except StreamFunctionError as error:
            raise ProblemError(500, str(error)) from error

    def _unready(self) -> str | None:
        scorer = self.scorer
        if self.draining:
            return "service is ending"
        if not scorer.following:
            return scorer.trouble
        if scorer.unreadable is not None:
            return scorer.unreadable
        behind = scorer.staleness
        if behind.seconds > self._ready_within / 1e6:
            return (
                f"scorer must be at most {self._ready_within} behind the log; "
                f"got {behind.seconds:.1f} s and {behind.records} records"
            )
        return None

    @contextmanager
    def _in_work(self) -> Iterator[None]:
        most = self.settings.concurrent
        if self._running >= most:
            msg = f"requests in flight must be at most {most}; try again"
            raise ProblemError(503, msg, headers=_SOON)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TimeoutError as error:
            msg = f"answer must be ready within {self.settings.timeout}; try again"
            raise ProblemError(503, msg, headers=_SOON) from error

    async def _body(self, request: Request) -> bytes:
        _check_kind(request.headers)
        length = request.headers.get("content-length", "0")
        if len(length) > 18 or int(length) > self.settings.body:
            raise self._bodies.too_large(int(length[:18]))
        return await self._bodies.read(request.stream())


def _check_kind(headers: Mapping[str, str]) -> None:
    kind = headers.get("content-type", "")
    media, _, parameters = kind.lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "").partition("charset=")[2]
    if media.strip() != "application/json" or charset.partition(";")[0] not in {"", "utf-8"}:
        raise ProblemError(415, f"content-type must be application/json in UTF-8; got {kind!r}")
    coding = headers.get("content-encoding", "identity")
    if coding.strip().lower() != "identity":
        msg = f"content-encoding must be identity; got {coding!r}"
        raise ProblemError(415, msg, headers={"accept-encoding": "identity"})


def _reasons(query: Mapping[str, Any]) -> int:
    text = query.get("reasons", "0")
    if not (text.isascii() and text.isdecimal() and len(text) <= 3 and int(text) <= MOST_REASONS):
        msg = f"reasons must be a whole number up to {MOST_REASONS}; got {text!r} in the query"
        raise ProblemError(422, msg)
    return int(text)


def _probabilities(answer: Answer) -> list[float]:
    parts = answer.probability, answer.online, answer.offline, answer.residual
    return [one for one in parts if one is not None]


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _health(wrong: str | None, trouble: str | None) -> Response:
    health = Health(wrong is None, wrong or trouble or "")
    return _json(_encode(health), 200 if wrong is None else 503)
