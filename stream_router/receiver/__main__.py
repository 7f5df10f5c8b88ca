"""The receiver's program: check everything, serve until a signal, answer the requests that are in, and end."""

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
from collections.abc import Iterator
from functools import partial

import uvloop
from botocore.session import Session

from stream_router.aws.credentials import CredentialSource
from stream_router.aws.loop_transport import LoopTransport
from stream_router.aws.signed_calls import MAX_ANSWER_BYTES, Done
from stream_router.checks import at_start, spill_queue, stream_writable
from stream_router.errors import SettingsError
from stream_router.log import Seldom, start_logging
from stream_router.process import end_at_early_stop, give_back_large_blocks, leave_no_core_file
from stream_router.receiver import status
from stream_router.receiver.app import App
from stream_router.receiver.batcher import Batcher
from stream_router.receiver.preflight import LOOKS, Stream, check, in_force
from stream_router.receiver.refused import RefusedLetters
from stream_router.receiver.server import HttpServer, bound
from stream_router.receiver.sources import Source
from stream_router.receiver.spill import Spill
from stream_router.receiver.spill_queue import ANSWER_BYTES, QueueBacklog
from stream_router.receiver.states import States
from stream_router.receiver.stats import DEFAULT_SOURCE, Stats
from stream_router.receiver.status import Status
from stream_router.receiver.tls import Tls
from stream_router.settings.reading import load, warn
from stream_router.settings.receiver import Receiver
from stream_router.telemetry import cloudwatch
from stream_router.telemetry.cloudwatch import MetricDimensions, Sender
from stream_router.telemetry.disks import CHECK_INTERVAL_S, Disks
from stream_router.telemetry.metrics_catalogue import RECEIVER_IN_CLOUDWATCH
from stream_router.telemetry.sampler import Sampler

log = logging.getLogger(__name__)

DRAIN_S = 7.0
"""Maximum number of seconds for which a stop waits for requests that have begun. A slower body is cut off."""
CALLS_END_S = 1.0
STOPPED_WITHIN_S = 8.0
"""Seconds for a stop after the drain's delay.

The seconds that remain once requests are answered, at least CALLS_END_S, are for the calls in flight and for the spill
to become empty.
"""
LOOK_EVERY_S = 0.25
YOUNG_OBJECTS = 50_000
"""Number of allocations between two runs of the garbage collector.

At 20,000 requests a second the default of 700 means dozens of runs a second over objects that are all in use.
"""


def run(settings: Receiver) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return the exit status. Raises SettingsError before anything starts."""
    end_at_early_stop(through_hangups=True)
    leave_no_core_file()
    give_back_large_blocks()
    start_logging(settings.log_level, settings.log_format)
    warn(settings)
    listener = bound(settings)
    settings, stream, served = check(settings)
    starts = [lambda: stream_writable(stream.session, settings.stream)]
    if url := settings.spill_queue:
        starts.append(lambda: spill_queue(stream.session, url, settings.aws_region))
    at_start(starts)
    log.info("the receiver starts", extra={"event": "receiver-starts", **in_force(settings, served)})
    stats = Stats([source.name for source in served.values()] + [""])
    disks = Disks({"STREAM_ROUTER_SPILL_DIR": settings.spill_dir} if settings.spill_dir else {})
    shown = Status(settings, stats, disk_trouble=lambda: disks.trouble)

    async def serve() -> int:
        stop = asyncio.Event()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
        return await _Program(settings, listener, stream, served, stats, shown).serve(stop)

    with _watched(settings, stream.session, shown, disks), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve())


@contextlib.contextmanager
def _watched(settings: Receiver, aws: Session, shown: Status, disks: Disks) -> Iterator[None]:
    """Run the admin port, CloudWatch's metrics and the check of disks on threads of their own.

    At the end the last metrics are sent, within a second.
    """
    dimensions = MetricDimensions(settings.aws_region, settings.application)
    metrics = Sender(cloudwatch.client(aws), dimensions, shown.told, RECEIVER_IN_CLOUDWATCH)
    server = status.serve(settings, shown)
    samplers = [
        Sampler(cloudwatch.EVERY_S, [metrics], "receiver-metrics"),
        Sampler(CHECK_INTERVAL_S, [disks.check], "disks"),
    ]
    for sampler in samplers:
        sampler.start()
    try:
        yield
    finally:
        for sampler in samplers:
            sampler.close()
        metrics.last()
        server.close()


class _Program:
    """The parts of the receiver that live on the event loop, from its first round to its last."""

    def __init__(
        self,
        settings: Receiver,
        listener: socket.socket,
        stream: Stream,
        served: dict[str, Source],
        stats: Stats,
        shown: Status,
    ) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._settings = settings
        self._listener = listener
        self._stats = stats
        self._shown = shown
        self._up = False
        self._said = Seldom(loop.time)
        self._credentials = CredentialSource(stream.session)
        largest = ANSWER_BYTES if settings.spill_queue else MAX_ANSWER_BYTES
        self._transport = LoopTransport(
            loop, self._credentials, settings.aws_region, stream.ca_bundle, max_answer_bytes=largest
        )
        self._transport.credentials_refused = self._credentials.refused
        folder, send = settings.spill_dir, partial(self._transport.start, stream.target)
        ordered = settings.ordering == "conversation"
        self._batcher = Batcher(loop, send, settings.stream, settings.buckets, stats, ordered=ordered)
        self._states = States(self._batcher, settings.stream)
        self._spill = Spill(folder, loop) if folder else None
        if self._spill:
            self._batcher.use_spill(self._spill, settings.spill_max_bytes)
        if settings.spill_queue:
            self._batcher.use_store(self._queue(settings.spill_queue, stream))
        self._app = App(served, self._batcher, stats, self._states, settings.max_body_bytes, settings.max_held_bytes)
        self._tls = Tls(settings)
        self._followed = [one for one in (self._tls, *(each.secrets for each in served.values())) if one]

    def _queue(self, url: str, stream: Stream) -> QueueBacklog:
        """Return the spill in an SQS queue."""
        batcher, transport = self._batcher, self._transport

        def call(operation: str, body: bytes, timeout_s: float, done: Done) -> None:
            transport.start(stream.queue[operation], body, timeout_s, done)

        return QueueBacklog(
            call,
            url,
            self._loop,
            batcher.buckets,
            self._stats,
            batcher.drained,
            lambda: not (batcher.stream.down or batcher.calls.is_silent),
            RefusedLetters(
                partial(call, "SendMessageBatch"),
                self._settings.sqs_dlq_url or "",
                self._settings.stream,
                lambda: time.time() * 1000,
            ).send,
        )

    async def serve(self, stop: asyncio.Event) -> int:
        """Serve until `stop` is set, then drain. Return the exit status.

        The receiver ends within 10 s of `stop`, plus the drain's delay.
        """
        # Each follower has a thread of its own: a slow disk, or AWS, must delay neither the loop nor a stop.
        followers = [Sampler(one.follow_every_s, [one.refresh]) for one in self._followed if one.follow_every_s]
        for follower in followers:
            follower.start()
        self._loop.add_signal_handler(signal.SIGHUP, self._told_to_look)
        left = 0
        try:
            server = self._serve_http()
            await stop.wait()
            self._app.draining = True
            notify("STOPPING=1")
            log.info("the receiver drains", extra={"event": "receiver-drains", "delay_s": self._settings.drain_delay_s})
            # The receiver still serves: balancers first see /readyz, and clients open new connections elsewhere.
            await asyncio.sleep(self._settings.drain_delay_s)
            drains_s = self._loop.time()
            self._up = False
            if not await server.drain(DRAIN_S):
                log.warning(
                    "some requests were still arriving and got no answer", extra={"event": "receiver-unanswered"}
                )
            drained_s = self._loop.time() - drains_s
            left = await self._batcher.close(max(CALLS_END_S, STOPPED_WITHIN_S - drained_s))
        finally:
            for follower in followers:
                follower.close()
            if self._spill:
                self._spill.close()
            self._transport.close()
            self._credentials.close()
            self._look()
        return 1 if left else 0

    def _serve_http(self) -> HttpServer:
        # The objects that exist now stay, so the collector need not examine them again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
        server = HttpServer(
            self._loop, self._settings, self._listener, self._app, lambda: self._tls.context, self._stats
        )
        self._up = True
        self._look_again()
        notify("READY=1")
        live = {one.name or DEFAULT_SOURCE: len(one.secrets.live) for one in self._app.sources.values() if one.secrets}
        log.info(
            "the receiver serves (a comma in a setting of secrets divides two)",
            extra={"event": "receiver-serves", "listen": self._settings.listen, "secrets": live},
        )
        return server

    def _look_again(self) -> None:
        """Publish the receiver's state now and every LOOK_EVERY_S. A failure is only logged, once a minute."""
        self._loop.call_later(LOOK_EVERY_S, self._look_again)
        try:
            self._look()
        except Exception:
            if self._said():
                log.exception(
                    "the receiver's numbers could not be shown, in an unforeseen way; it serves on",
                    extra={"event": "receiver-not-shown"},
                )

    def _look(self) -> None:
        self._shown.look(self._batcher, self._app, self._tls.ends_s, up=self._up)
        self._states.look()
        self._tls.say_end(time.time())
        if "WATCHDOG_USEC" in os.environ:
            notify("WATCHDOG=1")

    def _told_to_look(self) -> None:
        """Read all secrets and TLS files again at once that are followed anyway. Called on SIGHUP."""
        log.info("told to look again at secrets and TLS files (SIGHUP)", extra={"event": "told-to-look"})
        for one in self._followed:
            if one.follow_every_s:
                threading.Thread(target=one.refresh, daemon=True).start()


def notify(state: str) -> None:
    """Send a state to systemd if it started this process (sd_notify(3)); a failure is ignored.

    With WatchdogSec systemd restarts a service that does not report in time that its loop runs.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            way.sendto(state.encode(), address.replace("@", "\0", 1) if address.startswith("@") else address)


def main() -> int:
    """Run `python -m stream_router.receiver` with the environment's settings. Return 78 if they are bad."""
    try:
        return run(load(Receiver, *LOOKS))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return error.status


if __name__ == "__main__":
    sys.exit(main())
