"""The receiver's program: checks everything, serves until it is told to stop, answers what is in, and ends."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import uvloop
from botocore.session import Session

from stream_router.aws.credentials import CredentialsError, CredentialSource
from stream_router.aws.endpoints import session
from stream_router.aws.loop_transport import LoopTransport
from stream_router.checks import aws_checks
from stream_router.checks.finding import at_start
from stream_router.errors import SettingsError
from stream_router.log import start_logging
from stream_router.process import end_at_early_stop, give_back_large_blocks, leave_no_core_file
from stream_router.receiver import status
from stream_router.receiver.app import App
from stream_router.receiver.batcher import Batcher
from stream_router.receiver.intake import Intake
from stream_router.receiver.preflight import LOOKS, Stream, cannot_listen, check, in_force
from stream_router.receiver.recurring import beside, every
from stream_router.receiver.secrets import Secrets
from stream_router.receiver.server import HttpServer
from stream_router.receiver.sources import Source
from stream_router.receiver.spill import Spill
from stream_router.receiver.stats import Stats
from stream_router.receiver.status import Status
from stream_router.receiver.tls import Tls
from stream_router.settings.reading import load, warn
from stream_router.settings.receiver import Receiver
from stream_router.telemetry import cloudwatch
from stream_router.telemetry.cloudwatch import Whose
from stream_router.telemetry.cloudwatch_sender import Sender
from stream_router.telemetry.metrics_catalogue import RECEIVER_IN_CLOUDWATCH
from stream_router.telemetry.sampler import Sampler

log = logging.getLogger(__name__)

DRAIN_S = 7.0
"""Most that a stop waits for requests that are in; a body that comes slower is cut off."""
CALLS_END_S = 1.0
STOPPED_WITHIN_S = 8.0
"""What is left of it once requests are answered is for the calls in flight, and for the spill to become empty."""
LOOK_EVERY_S = 0.25
LAST_METRICS_S = 1.0
"""What a receiver that ends gives its last metrics."""
YOUNG_OBJECTS = 50_000
"""Allocations between two looks of the garbage collector: at 20,000 requests a second the default of 700 means dozens
of looks a second at objects that are all in use."""


def run(settings: Receiver) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return the exit status. Raises SettingsError before anything starts."""
    end_at_early_stop(through_hangups=True)
    leave_no_core_file()
    give_back_large_blocks()
    start_logging(settings.log_level, settings.log_format)
    warn(settings)
    settings, stream, served = check(settings)
    aws = session(settings.aws_region)
    at_start([lambda: aws_checks.stream_writable(aws, settings.stream)])
    log.info("the receiver starts", extra={"event": "receiver-starts", **in_force(settings)})
    stats = Stats([source.name for source in served.values()] + [""])
    shown = Status(settings, stats)
    with _watched(settings, aws, shown), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Program(settings, stream, served, stats, shown).serve())


@contextlib.contextmanager
def _watched(settings: Receiver, aws: Session, shown: Status) -> Iterator[None]:
    """The admin port and CloudWatch, on threads of their own; at the end the last numbers are sent, within a second."""
    whose = Whose(settings.aws_region, settings.application)
    metrics = Sender(cloudwatch.client(aws), whose, lambda: shown.latest, RECEIVER_IN_CLOUDWATCH)
    server = status.serve(settings, shown)
    sampler = Sampler(cloudwatch.EVERY_S, [metrics], "receiver-metrics")
    sampler.start()
    try:
        yield
    finally:
        sampler.close()
        last = threading.Thread(target=metrics, name="last-metrics", daemon=True)
        last.start()
        last.join(LAST_METRICS_S)
        server.close()


class _Program:
    """What lives on the event loop, from its first round to its last."""

    def __init__(
        self,
        settings: Receiver,
        stream: Stream,
        served: dict[str, Source],
        stats: Stats,
        shown: Status,
    ) -> None:
        self._settings, self._stream, self._served = settings, stream, served
        self._stats, self._shown = stats, shown
        self._up = False
        self._drains_s = 0.0

    async def serve(self) -> int:
        """Until told to stop; then drain. Ends within 10 s of the signal (and the drain's delay)."""
        loop, settings = asyncio.get_running_loop(), self._settings
        stop = asyncio.Event()
        for told in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(told, stop.set)
        credentials, transport = self._way_to_aws(loop)
        folder = settings.spill_dir
        send = partial(transport.start, self._stream.target)
        ordered = settings.ordering == "conversation"
        batcher = Batcher(loop, send, settings.stream, settings.buckets, ordered=ordered)
        spill = Spill(folder, settings.partition_path, self._key_of(), loop) if folder else None
        if spill:
            batcher.use_spill(spill, settings.spill_max_bytes)
        app = App(self._served, batcher, self._stats, settings.max_body_bytes, settings.max_held_bytes)
        tls = Tls(settings)
        followed: list[Secrets | Tls] = [tls, *(one.secrets for one in self._served.values() if one.secrets)]
        tasks = [loop.create_task(every(LOOK_EVERY_S, lambda: self._look(batcher, app, tls)))]
        tasks += [loop.create_task(_follow(one, one.follow_every_s)) for one in followed if one.follow_every_s]
        loop.add_signal_handler(signal.SIGHUP, lambda: _reload(loop, followed))
        left = 0
        try:
            try:
                await self._serve_http(batcher, app, tls, stop)
            finally:
                left = await batcher.close(max(CALLS_END_S, STOPPED_WITHIN_S - (loop.time() - self._drains_s)))
        finally:
            for task in tasks:
                task.cancel()
            if spill:
                spill.close()
            transport.close()
            credentials.close()
            self._look(batcher, app, tls)
        return 1 if left else 0

    def _way_to_aws(self, loop: asyncio.AbstractEventLoop) -> tuple[CredentialSource, LoopTransport]:
        region = self._settings.aws_region
        credentials = credentials_of(region, self._stream.session)
        transport = LoopTransport(loop, credentials, region, self._stream.ca_bundle)
        transport.credentials_refused = credentials.refused
        return credentials, transport

    def _key_of(self) -> Callable[[bytes], int]:
        return Intake(self._settings).conversation_of_line

    async def _serve_http(self, batcher: Batcher, app: App, tls: Tls, stop: asyncio.Event) -> None:
        """Serve until stopped; then finish the requests that are in. Raises SettingsError where it cannot listen."""
        settings = self._settings
        # What is there now stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
        try:
            server = HttpServer(settings, app, lambda: tls.context, self._stats)
        except OSError as error:
            raise cannot_listen("STREAM_ROUTER_LISTEN", error.strerror or "no such address") from None
        self._up = True
        self._look(batcher, app, tls)
        notify("READY=1")
        log.info("the receiver serves", extra={"event": "receiver-serves", "listen": settings.listen})
        for source in app.sources.values():
            if source.secrets:
                live = {"source": source.name or "default", "secrets": len(source.secrets.live)}
                log.info(
                    "webhook secrets that are live (a comma in the setting divides two)",
                    extra={"event": "secrets-live", **live},
                )
        await stop.wait()
        app.draining = True
        notify("STOPPING=1")
        log.info("the receiver drains", extra={"event": "receiver-drains", "delay_s": settings.drain_delay_s})
        # Still serving: balancers see /readyz first, and clients open new connections elsewhere.
        await asyncio.sleep(settings.drain_delay_s)
        self._drains_s = asyncio.get_running_loop().time()
        self._up = False
        if not await server.drain(DRAIN_S):
            log.warning("some requests were still arriving and got no answer", extra={"event": "receiver-unanswered"})

    def _look(self, batcher: Batcher, app: App, tls: Tls) -> None:
        self._shown.look(batcher, app, tls.ends_s, up=self._up)
        batcher.look()
        app.refusals.look()
        tls.say_end(time.time())
        if _WATCHED:
            notify("WATCHDOG=1")


def credentials_of(region: str, at_start: Session) -> CredentialSource:
    """As the chain gives them now; where it is silent for a moment, as it gave them when the program started.

    Raises CredentialsError.
    """
    try:
        return CredentialSource(session(region))
    except CredentialsError as error:
        if not error.may_pass:
            raise
        return CredentialSource(at_start)


_WATCHED = "WATCHDOG_USEC" in os.environ
"""Whether systemd restarts a service that does not say in time that its loop goes (WatchdogSec)."""


def notify(what: str) -> None:
    """Tell systemd, where it started this process (sd_notify(3)); it hears no more than that."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            way.sendto(what.encode(), address.replace("@", "\0", 1) if address.startswith("@") else address)


async def _follow(live: Secrets | Tls, every_s: float) -> None:
    """Read it again and again, in a thread: a file on a slow disk, or AWS, must not hold the loop."""
    await every(every_s, lambda: beside(live.refresh))


def _reload(loop: asyncio.AbstractEventLoop, followed: list[Secrets | Tls]) -> None:
    """SIGHUP: look at once at all that is followed anyway."""
    log.info("told to look again at secrets and TLS files (SIGHUP)", extra={"event": "told-to-look"})
    for live in followed:
        if live.follow_every_s:
            _reloading.add(task := loop.create_task(beside(live.refresh)))
            task.add_done_callback(_reloading.discard)


_reloading: set["asyncio.Task[None]"] = set()


def main() -> int:
    """`python -m stream_router.receiver`: settings from the environment; exit 78 where they are bad."""
    try:
        return run(load(Receiver, *LOOKS))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return error.status


if __name__ == "__main__":
    sys.exit(main())
