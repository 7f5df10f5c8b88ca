"""The receiver's HTTP surface: what becomes of a request, from its head to its answer."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from stream_router.receiver.batching.batcher import Batcher
from stream_router.receiver.batching.storing import Storing
from stream_router.receiver.headers import RefusedError
from stream_router.receiver.http import answers
from stream_router.receiver.http.answers import Response
from stream_router.receiver.http.health import Health
from stream_router.receiver.http.long_work import LongWork
from stream_router.receiver.http.loop_clock import SHED_ABOVE_S, SUSTAINED_ABOVE_S, LoopClock
from stream_router.receiver.http.request import Request
from stream_router.receiver.intake import SLICE_BYTES, Body, ProblemError, Sealed
from stream_router.receiver.recent_ids import RecentIds
from stream_router.receiver.sources import Source
from stream_router.telemetry.receiver.receiver_stats import Stats

log = logging.getLogger(__name__)

OLD_S, MANY_EVENTS = 0.3, 3_000
"""Where the loop is busy and what it took in waits for so long, or is so many, more is refused before any work is done
for it: else all of it would be checked and sealed, and be too late; or so many answers at once make the loop late."""

MOST_OF_A_ROUND_S = 0.3
"""Of a loop that is busy: thousands of answers at once."""

LATEST_202_S = 0.88
"""An event that was stored later than this is answered 503: the answer has a way to go, and its time ends at 0.9 s."""


class App:
    """Answers every request. Belongs to one event loop; `wall_clock` gives epoch seconds."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        batcher: Batcher,
        health: Health,
        stats: Stats,
        clock: LoopClock,
        max_held_bytes: int,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`sources` by path."""
        self._sources = sources
        self._batcher = batcher
        self._health = health
        self._stats = stats
        self._clock = clock
        self._max_held_bytes = max_held_bytes
        self._wall_clock = wall_clock
        self._recent = RecentIds()
        self._storing: dict[str, Storing] = {}
        self._long = LongWork()
        self.closing = False
        """While draining: answers close their connections."""

    @property
    def sources(self) -> Iterable[Source]:
        """Every way in."""
        return self._sources.values()

    def begin(self, request: Request) -> Response | None:
        """What can be said by the head alone; None where the body is wanted."""
        source = self._sources.get(request.path)
        if source is None:
            return self._other(request)
        request.source = source.name
        if request.method != "POST":
            return answers.POST_ONLY
        encoding = request.headers.get_all("content-encoding")
        if encoding and [value.strip().lower() for value in encoding] != ["identity"]:
            return answers.ENCODED
        return answers.BUSY if self._full else None

    @property
    def _full(self) -> bool:
        """Whether so much waits, for the stream or to be looked at, that nothing more may."""
        return self._stats.bytes_in_flight + self._long.bytes > self._max_held_bytes

    def _other(self, request: Request) -> Response:
        if request.path not in ("/healthz", "/readyz"):
            return answers.NOT_FOUND
        if request.method not in ("GET", "HEAD"):
            return answers.GET_ONLY
        return answers.HEALTHY if request.path == "/healthz" or self._health.ready else answers.NOT_READY

    def complete(self, request: Request) -> Response | None:
        """The answer to a request whose body is there; None where it comes later."""
        waited_s = request.waited_s()
        if waited_s is None:
            waited_s = self._clock.lag_s
        if waited_s > SUSTAINED_ABOVE_S and (waited_s > SHED_ABOVE_S or self._clock.overloaded):
            return answers.OVERLOAD
        if self._clock.busy and (
            self._stats.events_in_flight > MANY_EVENTS or self._batcher.deadlines.oldest_s > OLD_S
        ):
            return answers.OVERLOAD
        arrived_s = time.monotonic() - waited_s
        source, text = self._sources[request.path], request.body
        self._stats.bytes_received += len(text)
        try:
            delivery_id = source.verifier.verify(request.headers, text, self._wall_clock())
            request.known()
            request.body = b""  # what is made of it is kept instead
            body = Body(text, delivery_id, *source.says(request.headers))
            if len(text) > SLICE_BYTES:
                return self._later(request, source, body, arrived_s)
            events = source.intake.events(body)
        except RefusedError as error:
            return answers.REFUSED[error.code]
        except ProblemError as error:
            return answers.error(error.status, error.code, error.message)
        return self._store(request, events, delivery_id, arrived_s)

    def _later(self, request: Request, source: Source, body: Body, arrived_s: float) -> Response | None:
        """Look at a large body when its turn comes; its refusal where too much waits already."""
        if self._full:
            return answers.BUSY
        self._long.start(partial(self._in_slices, request, source, body, arrived_s), len(body.text))
        return None

    async def _in_slices(self, request: Request, source: Source, body: Body, arrived_s: float) -> None:
        """Seal a large body a slice at a time: others are served in between."""
        if self._batcher.now_s() - arrived_s > SHED_ABOVE_S:
            # It waited behind others of its size. To parse it would make those behind it late, and itself no less so.
            request.finish(answers.OVERLOAD)
            return
        events: list[Sealed] = []
        try:
            for some in source.intake.slices(body):
                events += some
                await asyncio.sleep(0)
                if self._batcher.now_s() - arrived_s > LATEST_202_S - SUSTAINED_ABOVE_S:
                    request.finish(answers.OVERLOAD)
                    return
            answer = self._store(request, events, body.delivery_id, arrived_s)
        except ProblemError as error:
            answer = answers.error(error.status, error.code, error.message)
        except Exception:
            log.exception("a request failed in an unforeseen way", extra={"event": "request-failed"})
            answer = answers.TROUBLE
        if answer is not None:
            request.finish(answer)

    def _store(
        self, request: Request, events: list[Sealed], delivery_id: str | None, arrived_s: float
    ) -> Response | None:
        """Begin to store events; the answer comes when they are, or are not.

        A delivery seen before is stored; a copy of one that is on its way waits for it. The first event's id stands for
        the whole delivery: it covers the delivery id and every byte of the body.
        """
        if not events:
            return answers.accepted([])
        identities = [event.identity for event in events]
        if delivery_id is None:
            storing = self._batcher.submit(events, arrived_s)
            storing.then(partial(self._stored, request, identities, arrived_s, "stored"))
            return None
        first = identities[0]
        if self._recent.seen(first, arrived_s):
            self._stats.duplicates += 1
            return answers.accepted(identities, "seen_before")
        if (on_its_way := self._storing.get(first)) is not None:
            self._stats.duplicates += 1
            on_its_way.then(partial(self._stored, request, identities, arrived_s, "seen_before"))
            return None
        storing = self._storing[first] = self._batcher.submit(events, arrived_s)
        storing.then(partial(self._first_stored, request, identities, arrived_s))
        return None

    def _first_stored(self, request: Request, identities: list[str], arrived_s: float, stored: bool) -> None:
        """Remember the delivery, then answer it; copies that wait are answered after it."""
        first = identities[0]
        del self._storing[first]
        if stored:
            self._recent.add(first, self._batcher.now_s())
        self._stored(request, identities, arrived_s, "stored", stored)

    def _stored(self, request: Request, identities: list[str], arrived_s: float, reason: str, stored: bool) -> None:
        if stored and self._in_time(time.monotonic() - arrived_s):
            request.finish(answers.accepted(identities, reason))
        else:
            self._stats.events_refused += len(identities)
            request.finish(answers.UNAVAILABLE)

    def _in_time(self, age_s: float) -> bool:
        """Whether a 202 still arrives in time. uvloop writes at the end of its round, which may be a long one."""
        return age_s < LATEST_202_S and (age_s < LATEST_202_S - MOST_OF_A_ROUND_S or not self._clock.late_lately)

    def answered(self, request: Request, answer: Response) -> None:
        """Count an answer that goes out."""
        counted = (answer.status, answer.reason)
        of_source = self._stats.answers.get(request.source) or self._stats.answers.get("")
        if of_source is not None and counted in of_source:
            of_source[counted] += 1
            self._stats.latencies_s.append(time.monotonic() - request.started_s)
