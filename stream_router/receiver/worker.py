"""One worker: an event loop with the listener, the batcher and the transport on it; serves until told to stop."""

import asyncio
import gc
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import uvloop

from stream_router.aws.credentials import CredentialsError, CredentialSource
from stream_router.aws.endpoints import session
from stream_router.aws.loop_transport import LoopTransport
from stream_router.receiver import sources
from stream_router.receiver.auth.secrets import Secrets
from stream_router.receiver.batching.batcher import Batcher
from stream_router.receiver.batching.late_calls import LateCalls
from stream_router.receiver.batching.putrecords_calls import Send
from stream_router.receiver.http.app import App
from stream_router.receiver.http.health import Health
from stream_router.receiver.http.loop_clock import LoopClock
from stream_router.receiver.http.server import HttpServer
from stream_router.receiver.http.tls import Tls
from stream_router.receiver.intake import Intake
from stream_router.receiver.preflight import Stream, cannot_listen
from stream_router.receiver.recurring import beside, every
from stream_router.receiver.sources import Source
from stream_router.receiver.spill.spill import Spill
from stream_router.receiver.states import States
from stream_router.settings.receiver import Receiver
from stream_router.telemetry.receiver.receiver_stats import Row, Stats, code_number

log = logging.getLogger(__name__)

Followed = Secrets | Tls

DRAIN_S = 7.0
"""Most that a stop waits for requests that are in; a body that comes slower is cut off."""
CALLS_END_S = 1.0
PUBLISH_EVERY_S = 0.25
BEAT_EVERY_S = 1.0
"""Beside what it shows: numbers that cannot be shown any more are no reason to end a worker that serves."""
YOUNG_OBJECTS = 50_000
"""Allocations between two looks of the garbage collector: at 20,000 requests a second the default of 700 means dozens
of looks a second at objects that are all in use."""


LINGER_S = 0.005
"""Most that a lone event waits for company while calls are in flight: a call takes about as long, and of the sender's
second it is nothing."""


class Worker:
    """One process's receiver of `workers`. `row` is where its numbers are shown, answers by the sources `names`.

    `beat` is told that its loop goes.
    """

    def __init__(
        self,
        settings: Receiver,
        stream: Stream,
        row: Row,
        names: Sequence[str],
        number: int = 0,
        workers: int = 1,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._beat = beat
        self._settings = settings
        self._stream = stream
        self._row = row
        self._number = number
        self._workers = workers
        self._stats = Stats(row, names)
        self._heard = (self._stats.events_stored, 0.0)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain. Returns within 10 s of the signal (and the drain's delay)."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        settings = self._settings
        stop = asyncio.Event()
        for told in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(told, stop.set)
        credentials, transport = self._way_to_aws(loop)
        batcher = self._batcher(loop, transport)
        spill = self._spill(loop)
        if spill:
            batcher.use_spill(spill, settings.spill_max_bytes)
        health, clock = Health(batcher), LoopClock(loop)
        served = self._served()
        app = App(served, batcher, health, self._stats, clock, settings.max_held_bytes)
        states = States(batcher, clock, self._stats, loop.time, settings)
        tls = Tls(settings)
        followed: list[Followed] = [tls, *(source.secrets for source in served.values() if source.secrets)]
        tasks = [loop.create_task(every(PUBLISH_EVERY_S, lambda: self._publish(batcher, clock, states, health, tls)))]
        tasks += [loop.create_task(every(BEAT_EVERY_S, self._beat))]
        tasks += [loop.create_task(_follow(live, live.follow_every_s)) for live in followed]
        loop.add_signal_handler(signal.SIGHUP, lambda: _reload(loop, followed))
        try:
            try:
                await self._serve_http(app, health, tls, clock, stop)
            finally:
                await batcher.close(CALLS_END_S)
        finally:
            clock.stop()
            for task in tasks:
                task.cancel()
            if spill:
                spill.close()
            transport.close()
            credentials.close()
            self._stats.up = 0
            self._row[:] = self._stats.row()

    def _served(self) -> dict[str, Source]:
        """The sources, but for those that came into the file since the receiver began: no other worker serves them."""
        return {path: one for path, one in sources.of(self._settings).items() if one.name in self._stats.answers}

    def credentials(self) -> CredentialSource:
        """As the chain gives them now; where it is silent for a moment, as it gave them when the program started.

        Raises CredentialsError.
        """
        region = self._settings.aws_region
        try:
            return CredentialSource(session(region))
        except CredentialsError as error:
            if not error.may_pass:
                raise
            return CredentialSource(self._stream.session)

    def _way_to_aws(self, loop: asyncio.AbstractEventLoop) -> tuple[CredentialSource, LoopTransport]:
        credentials = self.credentials()
        transport = LoopTransport(loop, credentials, self._settings.aws_region, self._stream.ca_bundle)
        transport.credentials_refused = credentials.refused
        return credentials, transport

    def _batcher(self, loop: asyncio.AbstractEventLoop, transport: LoopTransport) -> Batcher:
        send: Send = partial(transport.start, self._stream.target)
        return Batcher(
            loop,
            send if self._settings.spill_dir else LateCalls(loop, send).start,
            self._settings.stream,
            self._settings.buckets,
            LINGER_S,
            self._stats,
        )

    def _spill(self, loop: asyncio.AbstractEventLoop) -> Spill | None:
        settings = self._settings
        if settings.spill_dir is None:
            return None
        key_of = Intake(settings).conversation_of_line
        return Spill(settings.spill_dir, self._number, self._workers, settings.partition_path, key_of, loop)

    async def _serve_http(self, app: App, health: Health, tls: Tls, clock: LoopClock, stop: asyncio.Event) -> None:
        """Serve until stopped; then finish the requests that are in. Raises SettingsError where it cannot listen."""
        settings = self._settings
        # What is there now stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
        try:
            server = HttpServer(settings, app, tls, self._stats, clock, shared=self._workers > 1)
        except OSError as error:
            raise cannot_listen("STREAM_ROUTER_LISTEN", error.strerror or "no such address") from None
        self._stats.up = 1
        log.info(
            "the receiver serves", extra={"event": "receiver-serves", "listen": settings.listen, "worker": self._number}
        )
        for source in app.sources:
            if source.secrets:
                live = {"source": source.name or "default", "secrets": len(source.secrets.live)}
                log.info(
                    "webhook secrets that are live (a comma in the setting divides two)",
                    extra={"event": "secrets-live", **live},
                )
        await stop.wait()
        health.draining = app.closing = True
        log.info(
            "the receiver drains",
            extra={"event": "receiver-drains", "worker": self._number, "delay_s": settings.drain_delay_s},
        )
        # Still serving: balancers see /readyz first, and clients open new connections elsewhere.
        await asyncio.sleep(settings.drain_delay_s)
        self._stats.up = 0
        if not await server.drain(DRAIN_S):
            log.warning(
                "some requests were still arriving and got no answer",
                extra={"event": "receiver-unanswered", "worker": self._number},
            )

    def _publish(self, batcher: Batcher, clock: LoopClock, states: States, health: Health, tls: Tls) -> None:
        stats = self._stats
        stream = batcher.stream
        stats.stream_up, stats.stream_code = int(not stream.refuses), code_number(stream.failing_code)
        stats.buckets_refusing = stream.apart
        # Seen here and not told by each record that lands: what the stream took and refused since the last look.
        heard = (stats.events_stored, stream.last_refusal_s)
        if heard != self._heard:
            self._heard, stats.stream_heard_s = heard, time.time()
        stats.spill_takes = int(batcher.spill_takes)
        stats.ready, stats.draining = int(stats.up and health.ready), int(health.draining)
        stats.heartbeat_timestamp_seconds = time.time()
        stats.loop_lag_seconds = clock.lag_s
        stats.tls_certificate_end_timestamp_seconds = tls.ends_s or 0.0
        spill = batcher.spill_state
        stats.spill_bytes, stats.spill_failing = spill.size_bytes, int(bool(spill.error) or spill.full)
        stats.spill_oldest_age_seconds = max(0.0, time.time() - spill.oldest_s) if spill.oldest_s else 0.0
        states.look()
        self._row[:] = stats.row()


async def _follow(live: Followed, every_s: float | None) -> None:
    """Read them again and again, in a thread: a file on a slow disk, or AWS, must not hold the loop."""
    if every_s is not None:
        await every(every_s, lambda: beside(live.refresh))


def _reload(loop: asyncio.AbstractEventLoop, followed: list[Followed]) -> None:
    """SIGHUP: look at once at all that is followed anyway."""
    log.info("told to look again at secrets and TLS files (SIGHUP)", extra={"event": "told-to-look"})
    tasks = [beside(live.refresh) for live in followed if live.follow_every_s]
    _reloading.add(task := loop.create_task(_all(tasks)))
    task.add_done_callback(_reloading.discard)


async def _all(tasks: Sequence[Awaitable[object]]) -> None:
    await asyncio.gather(*tasks)


_reloading: set[asyncio.Task[None]] = set()
"""The loop itself keeps no task alive."""
