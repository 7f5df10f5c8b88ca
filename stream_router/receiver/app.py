"""Handling of a request, from its head to its answer."""

import time
from collections.abc import Callable, Mapping
from functools import partial

from stream_router.receiver import answers
from stream_router.receiver.answers import Response
from stream_router.receiver.auth import RefusedError
from stream_router.receiver.batcher import Batcher
from stream_router.receiver.events import ACCEPTED
from stream_router.receiver.intake import ProblemError, VerifiedBody
from stream_router.receiver.request import Request
from stream_router.receiver.sources import Source
from stream_router.receiver.states import CURES, States
from stream_router.receiver.stats import Stats

LATE_S = 0.3
"""Seconds that a request's bytes may wait to be parsed. After that the request is answered 503 with no further work.

Such a wait means that the receiver is overloaded, and that work on the request would end too late. A slow stream does
not cause it, since events that wait for the stream are parsed already.
"""

LATEST_202_S = 0.88
"""Age of a request, in seconds, from which it is answered 503 although its events are stored.

The answer also takes time to reach the sender, to whom 0.9 s is promised.
"""


class App:
    """The application, which answers every request of an event loop. `sources` are keyed by path.

    `wall_clock` returns epoch seconds.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        batcher: Batcher,
        stats: Stats,
        states: States,
        max_body_bytes: int,
        max_held_bytes: int,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.sources = sources
        self.max_body_bytes = max_body_bytes
        self.draining = False
        """Whether the receiver is stopping: answers close their connections, and `ready` is false."""
        self._batcher = batcher
        self._stats = stats
        self._states = states
        self._max_held_bytes = max_held_bytes
        self._wall_clock = wall_clock

    @property
    def ready(self) -> bool:
        """Whether the receiver can take events, as `/readyz` reports."""
        return not self.draining and self._batcher.ready

    def begin(self, request: Request) -> Response | None:
        """Return the answer if the request's head alone decides it; None if the body is needed."""
        source = self.sources.get(request.path)
        if source is None:
            return self._answer_health(request)
        request.source = source.name
        if request.method != "POST":
            return answers.POST_ONLY
        encoding = request.headers.get_all("content-encoding")
        if encoding and [value.strip().lower() for value in encoding] != ["identity"]:
            return answers.ENCODED
        return answers.BUSY if self._stats.held_bytes > self._max_held_bytes else None

    def _answer_health(self, request: Request) -> Response:
        """Return the answer for a path that is not a source's: a health check, or 404."""
        if request.path not in ("/healthz", "/readyz"):
            return answers.NOT_FOUND
        if request.method not in ("GET", "HEAD"):
            return answers.GET_ONLY
        return answers.HEALTHY if request.path == "/healthz" or self.ready else answers.NOT_READY

    def complete(self, request: Request) -> Response | None:
        """Handle a complete request. Return its answer; None if the answer depends on the storage of its events."""
        if time.monotonic() - request.read_s > LATE_S:
            return answers.OVERLOAD
        source = self.sources[request.path]
        try:
            delivery_id = source.verify(request.headers, request.body, self._wall_clock())
            request.verified = True
            request.connection.mark_known()
            text, request.body = request.body, b""  # frees the body's memory once its events are sealed
            events = source.intake.events(VerifiedBody(text, delivery_id, *source.read_headers(request.headers)))
        except RefusedError as error:
            return answers.unauthorized(error.code, source.scheme)
        except ProblemError as error:
            return answers.error(error.status, error.code, error.message)
        identities = [event.identity for event in events]
        answer = partial(self._finish, request, identities)
        self._batcher.submit(events, request.read_s, answer, has_delivery_id=delivery_id is not None)
        return None

    def _finish(self, request: Request, identities: list[str], outcome: str) -> None:
        """Answer a request according to the outcome of its events."""
        if outcome in ACCEPTED and time.monotonic() - request.read_s < LATEST_202_S:
            request.finish(answers.accepted(identities, outcome))
        else:
            request.finish(answers.UNAVAILABLE)

    def count_answer(self, request: Request, answer: Response) -> None:
        """Count an answer that is sent. Record its latency if the sender was verified.

        A refusal that an operator can cure is also recorded, for the log.
        """
        key = (request.source, answer.status, answer.reason)
        if request.verified:
            self._stats.latencies_s.append(time.monotonic() - request.started_s)
        # Answers to health checks have no row in REASONS, and are not counted.
        if key in self._stats.answers:
            self._stats.answers[key] += 1
            if answer.reason in CURES:
                self._states.record_refused_delivery(*key, lambda: request.connection.find_sender(request.headers))
