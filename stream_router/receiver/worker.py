"""One worker: an event loop with granian, the batcher and the transport on it; serves until told to stop, drains."""

import asyncio
import gc
import logging
import signal
from collections.abc import Awaitable, Callable

import uvloop
from granian.constants import HTTPModes
from granian.http import HTTP1Settings
from granian.server.embed import Server

from stream_router.aws.credentials import CredentialSource
from stream_router.aws.endpoints import session
from stream_router.aws.loop_transport import LoopTransport
from stream_router.receiver.auth import schemes
from stream_router.receiver.auth.secrets import FOLLOW_EVERY_S
from stream_router.receiver.batching.batcher import Batcher
from stream_router.receiver.http import tls
from stream_router.receiver.http.app import App
from stream_router.receiver.http.body import BodyReader
from stream_router.receiver.http.health import Health
from stream_router.receiver.intake import Intake
from stream_router.receiver.preflight import Stream, cannot_listen
from stream_router.receiver.spill import spill_file
from stream_router.receiver.spill.spill import Spill
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import split_host_port
from stream_router.telemetry.receiver_stats import Row, Stats

log = logging.getLogger(__name__)

DRAIN_S = 7.0
"""Most that a stop waits for requests that are in; a body that comes slower is cut off."""
CALLS_END_S = 1.0
PUBLISH_EVERY_S = 0.25
YOUNG_OBJECTS = 50_000
"""Allocations between two looks of the garbage collector: at 20,000 requests a second the default of 700 means dozens
of looks a second at objects that are all in use."""


class Worker:
    """One process's receiver. `row` is where its numbers are shown."""

    def __init__(self, settings: Receiver, stream: Stream, row: Row, number: int = 0) -> None:
        self._settings = settings
        self._stream = stream
        self._row = row
        self._number = number
        self._stats = Stats(row)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain. Returns within 10 s of the signal."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        settings = self._settings
        stop = asyncio.Event()
        for told in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(told, stop.set)
        credentials = CredentialSource(session(settings.aws_region))
        transport = LoopTransport(loop, credentials, settings.aws_region, self._stream.ca_bundle)
        intake = Intake(settings)
        batcher = self._batcher(loop, transport)
        store = self._spill(loop, intake)
        if store:
            batcher.use_spill(store, settings.spill_max_bytes)
        health = Health(batcher)
        verifier, secrets = schemes.make(settings)
        bodies = BodyReader(loop, settings.max_body_bytes, settings.body_timeout_s)
        app = App(verifier, intake, bodies, batcher, health, self._stats, settings.max_held_bytes)
        tasks = [loop.create_task(_every(PUBLISH_EVERY_S, self._publish))]
        if secrets and secrets.followed:
            tasks.append(loop.create_task(_every(FOLLOW_EVERY_S, secrets.refresh)))
        try:
            try:
                await self._serve_http(app, health, stop.wait())
            finally:
                await batcher.close(CALLS_END_S)
        finally:
            for task in tasks:
                task.cancel()
            if store:
                store.close()
            transport.close()
            credentials.close()
            self._stats.up = 0
            self._publish()

    def _batcher(self, loop: asyncio.AbstractEventLoop, transport: LoopTransport) -> Batcher:
        target = self._stream.target
        return Batcher(
            loop,
            lambda body, timeout_s, done: transport.start(target, body, timeout_s, done),
            self._settings.stream,
            self._settings.buckets,
            self._settings.linger_ms / 1000,
            self._stats,
        )

    def _spill(self, loop: asyncio.AbstractEventLoop, intake: Intake) -> Spill | None:
        settings = self._settings
        if settings.spill_dir is None:
            return None
        path = spill_file.file_of(settings.spill_dir, self._number)
        return Spill(path, settings.buckets, settings.partition_path, intake.bucket_of_line, loop)

    async def _serve_http(self, app: App, health: Health, stop: Awaitable[object]) -> None:
        """Serve until stopped; then finish the requests that are in. Raises where the server ends by itself."""
        server = _server(app, self._settings)
        server.on_startup(self._bound)
        serving = asyncio.ensure_future(server.serve())
        stopping = asyncio.ensure_future(stop)
        # What is there now stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            stopping.cancel()
            raise _failure(serving, bool(self._stats.up))
        health.draining = True
        log.info("the receiver drains", extra={"worker": self._number})
        server.stop()  # type: ignore[no-untyped-call]
        ended, _ = await asyncio.wait((serving,), timeout=DRAIN_S)
        if not ended:
            log.warning("some requests were still arriving and got no answer", extra={"worker": self._number})
        stopping.cancel()

    def _bound(self) -> None:
        self._stats.up = 1
        log.info("the receiver serves", extra={"listen": self._settings.listen, "worker": self._number})

    def _publish(self) -> None:
        self._row[:] = self._stats.row()


async def _every(period_s: float, what: Callable[[], object]) -> None:
    while True:
        await asyncio.sleep(period_s)
        what()


def _failure(serving: asyncio.Future[None], was_bound: bool) -> Exception:
    """Why the server ended though nobody told it to."""
    error = serving.exception()
    if error is not None and not was_bound:
        return cannot_listen("STREAM_ROUTER_LISTEN", str(error))
    return RuntimeError(f"the HTTP server ended by itself ({type(error).__name__ if error else 'no error'})")


def _server(app: App, settings: Receiver) -> Server:
    """Granian with its limits set: connections, header bytes and time, no HTTP/2, no WebSockets, no own logs."""
    host, port = split_host_port(settings.listen)
    return Server(
        app,
        address=host,
        port=port,
        http=HTTPModes.http1,
        websockets=False,
        backlog=4096,
        backpressure=settings.max_connections,
        http1_settings=HTTP1Settings(
            header_read_timeout=int(settings.header_timeout_s * 1000), max_buffer_size=settings.max_header_bytes
        ),
        log_enabled=False,
        **tls.options(settings.tls_cert, settings.tls_key, settings.tls_client_ca),
    )
