"""One worker: an event loop with granian, the batcher and the transport on it; serves until told to stop, drains."""

import asyncio
import logging
import signal
from pathlib import Path
from typing import NamedTuple

import uvloop
from granian.constants import HTTPModes, SSLProtocols
from granian.http import HTTP1Settings
from granian.server.embed import Server

from stream_router.aws.credentials import CredentialSource
from stream_router.aws.endpoints import Target, ca_bundle, put_records, session
from stream_router.aws.transport import LoopTransport
from stream_router.receiver import auth
from stream_router.receiver.app import App
from stream_router.receiver.batcher import Batcher
from stream_router.receiver.body import BodyReader
from stream_router.receiver.health import Health
from stream_router.receiver.intake import Intake
from stream_router.receiver.secrets import FOLLOW_EVERY_S, Secrets
from stream_router.receiver.stats import Stats
from stream_router.settings import Receiver, split_host_port

log = logging.getLogger(__name__)

DRAIN_S = 8.0
"""Most that a stop waits for requests and calls under way; the whole exit stays under 10 s."""
POLL_S = 0.01


class Stream(NamedTuple):
    """How the stream is reached: worked out once, before workers start."""

    target: Target
    ca_bundle: str


def find_stream(settings: Receiver) -> Stream:
    """The stream's endpoint in this environment. Raises SettingsError where there are no credentials."""
    from_environment = session(settings.aws_region)
    CredentialSource(from_environment).close()
    return Stream(put_records(from_environment), ca_bundle(from_environment))


class Worker:
    """One process's receiver."""

    def __init__(self, settings: Receiver, stream: Stream, stats: Stats) -> None:
        self._settings = settings
        self._stream = stream
        self._stats = stats
        self._stop = asyncio.Event()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain. Returns within 10 s of the signal."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        settings = self._settings
        credentials = CredentialSource(session(settings.aws_region))
        transport = LoopTransport(loop, credentials, settings.aws_region, self._stream.ca_bundle)
        target = self._stream.target
        batcher = Batcher(
            loop,
            lambda body, timeout_s, done: transport.start(target, body, timeout_s, done),
            settings.stream,
            settings.buckets,
            settings.linger_ms / 1000,
            self._stats,
        )
        health = Health(batcher)
        verifier, secrets = auth.make(settings)
        intake = Intake(settings)
        bodies = BodyReader(loop, settings.max_body_bytes, settings.body_timeout_s)
        app = App(verifier, intake, bodies, batcher, health, self._stats, settings.max_held_bytes)
        following = loop.create_task(_follow(secrets)) if secrets and secrets.followed else None
        try:
            await self._serve_http(app, health)
            await _until_idle(batcher)
        finally:
            if following:
                following.cancel()
            transport.close()
            credentials.close()

    async def _serve_http(self, app: App, health: Health) -> None:
        """Serve until stopped; then finish the requests that are in."""
        server = _server(app, self._settings)
        serving = asyncio.ensure_future(server.serve())
        stopping = asyncio.ensure_future(self._stop.wait())
        self._stats.up = 1
        log.info("the receiver is ready", extra={"listen": self._settings.listen})
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        health.draining = True
        log.info("the receiver drains")
        server.stop()  # type: ignore[no-untyped-call]
        done, _ = await asyncio.wait((serving,), timeout=DRAIN_S)
        if not done:
            log.warning("some requests did not end in time; they were answered nothing")
        stopping.cancel()


async def _follow(secrets: Secrets) -> None:
    """Take up changes of the secrets' file while the receiver runs."""
    while True:
        await asyncio.sleep(FOLLOW_EVERY_S)
        secrets.refresh()


async def _until_idle(batcher: Batcher) -> None:
    """Every request is answered by now; what a call in flight still brings is only counted."""
    deadline_s = batcher.now_s() + 1.0
    while not batcher.idle and batcher.now_s() < deadline_s:
        await asyncio.sleep(POLL_S)


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
        ssl_cert=settings.tls_cert,
        ssl_key=settings.tls_key,
        ssl_protocol_min=SSLProtocols.tls12,
        ssl_ca=settings.tls_client_ca,
        ssl_client_verify=settings.tls_client_ca is not None,
    )


def check_tls(settings: Receiver) -> None:
    """Raises SettingsError where the TLS settings do not fit together or their files cannot be used."""
    import ssl

    from stream_router.settings import SettingsError

    def file(path: Path | None, variable: str) -> str:
        if path is None:
            raise SettingsError(f"{variable}: is not set; TLS needs a certificate and its key")
        return str(path)

    if not (settings.tls_cert or settings.tls_key or settings.tls_client_ca):
        return
    cert = file(settings.tls_cert, "STREAM_ROUTER_TLS_CERT")
    key = file(settings.tls_key, "STREAM_ROUTER_TLS_KEY")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError):
        raise SettingsError(
            "STREAM_ROUTER_TLS_CERT: it and STREAM_ROUTER_TLS_KEY are not a readable PEM pair; check both files"
        ) from None
    if settings.tls_client_ca:
        try:
            context.load_verify_locations(settings.tls_client_ca)
        except (OSError, ssl.SSLError):
            raise SettingsError("STREAM_ROUTER_TLS_CLIENT_CA: is no readable PEM file; check it") from None
