"""The receiver's HTTP surface, as a granian RSGI application: what CXone talks to."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from stream_router.receiver.auth.schemes import Verifier
from stream_router.receiver.batching.batcher import Batcher
from stream_router.receiver.http import answers
from stream_router.receiver.http.answers import Response
from stream_router.receiver.http.body import BodyReader, NoBodyError
from stream_router.receiver.http.headers import RefusedError
from stream_router.receiver.http.health import Health
from stream_router.receiver.intake import Intake, ProblemError, Sealed
from stream_router.receiver.recent_ids import RecentIds
from stream_router.telemetry.receiver_stats import Stats

log = logging.getLogger(__name__)

EVENTS_PATH = "/v1/events"


class App:
    """Answers every request. Belongs to one event loop; `wall_clock` gives epoch seconds."""

    def __init__(
        self,
        verifier: Verifier,
        intake: Intake,
        bodies: BodyReader,
        batcher: Batcher,
        health: Health,
        stats: Stats,
        max_held_bytes: int,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._verify = verifier.verify
        self._seal = intake.seal
        self._read = bodies.read
        self._discard = bodies.discard
        self._batcher = batcher
        self._health = health
        self._stats = stats
        self._max_held_bytes = max_held_bytes
        self._wall_clock = wall_clock
        self._recent = RecentIds()
        self._storing: dict[str, asyncio.Future[bool]] = {}

    async def __rsgi__(self, scope: Any, http: Any) -> None:
        started_s = time.perf_counter()
        try:
            if scope.path == EVENTS_PATH and scope.method == "POST":
                answer = await self._events(scope, http)
            else:
                answer = self._other(scope)
                await self._discard(http, scope.headers.get("content-length"))
        except Exception:
            # Whatever we did not foresee is our trouble, so the sender is told to come again.
            log.exception("a request failed in an unforeseen way")
            answer = answers.TROUBLE
        http.response_bytes(answer.status, answer.headers, answer.body)
        if answer.status != 200:
            self._stats.answers[answer.status] += 1
            self._stats.latencies_s.append(time.perf_counter() - started_s)

    def _other(self, scope: Any) -> Response:
        path = scope.path
        if path == EVENTS_PATH:
            return answers.POST_ONLY
        if path not in ("/healthz", "/readyz"):
            return answers.NOT_FOUND
        if scope.method not in ("GET", "HEAD"):
            return answers.GET_ONLY
        return answers.HEALTHY if path == "/healthz" or self._health.ready else answers.NOT_READY

    async def _events(self, scope: Any, http: Any) -> Response:
        headers = scope.headers
        if "content-encoding" in headers and headers.get_all("content-encoding") != ["identity"]:
            await self._discard(http, headers.get("content-length"))
            return answers.ENCODED
        if self._stats.bytes_in_flight > self._max_held_bytes:
            return answers.BUSY
        try:
            body = await self._read(http, headers.get("content-length"))
            arrived_s = self._batcher.now_s()
            self._stats.bytes_received += len(body)
            delivery_id = self._verify(headers, body, self._wall_clock())
            events = self._seal(body, delivery_id)
        except (NoBodyError, RefusedError, ProblemError) as error:
            return _refusal(error)
        if events and delivery_id is None:
            stored = await self._batcher.submit(events, arrived_s)
        else:
            stored = await self._store(events, arrived_s)
        if stored:
            return answers.accepted([event.identity for event in events])
        self._stats.events_refused += len(events)
        return answers.UNAVAILABLE

    async def _store(self, events: list[Sealed], arrived_s: float) -> bool:
        """Whether all events of a delivery with an id are stored.

        A delivery seen before is; a copy of one that is on its way waits for it.
        The first event's id stands for the whole delivery: it covers the delivery id and every byte of the body.
        """
        if not events:
            return True
        first = events[0].identity
        if self._recent.seen(first, arrived_s):
            self._stats.duplicates += 1
            return True
        on_its_way = self._storing.get(first)
        if on_its_way is not None:
            self._stats.duplicates += 1
            return await asyncio.shield(on_its_way)
        stored = self._storing[first] = self._batcher.submit(events, arrived_s)
        try:
            if await stored:
                self._recent.add(first, self._batcher.now_s())
                return True
            return False
        finally:
            del self._storing[first]


def _refusal(error: NoBodyError | RefusedError | ProblemError) -> Response:
    if isinstance(error, NoBodyError):
        return error.answer
    if isinstance(error, RefusedError):
        return answers.REFUSED[error.code]
    return answers.error(error.status, error.code, error.message)
