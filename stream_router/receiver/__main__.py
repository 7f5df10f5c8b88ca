"""The receiver's program: it checks settings and AWS, serves until a signal, answers the last requests, and ends."""

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
from stream_router.aws.signed_calls import MAX_ANSWER_BYTES, OnAnswer
from stream_router.checks import check_spill_queue, check_stream_writable, run_start_checks
from stream_router.errors import SettingsError
from stream_router.log import LogLimiter, start_logging
from stream_router.process import end_on_early_signal, leave_no_core_file, set_allocator_thresholds
from stream_router.receiver import status
from stream_router.receiver.app import App
from stream_router.receiver.batcher import Batcher
from stream_router.receiver.preflight import HOST_CHECKS, Stream, check, list_settings_in_force
from stream_router.receiver.refused import RefusedLetters
from stream_router.receiver.secrets import Secrets
from stream_router.receiver.server import HttpServer, bind_socket
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
"""Minimum number of seconds that a stop leaves for calls in flight and for emptying the spill."""
STOPPED_WITHIN_S = 8.0
"""Seconds for a stop after the drain's delay.

The seconds that remain once requests are answered are for the calls in flight and for emptying the spill.
"""
PUBLISH_INTERVAL_S = 0.25
"""Seconds between two updates of the receiver's state for `/status`, metrics and log."""
YOUNG_OBJECTS = 50_000
"""Number of allocations between two runs of the garbage collector.

At 20,000 requests a second Python's default of 700 means dozens of runs a second over objects that are all in use.
"""


def run(settings: Receiver) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return the exit status. Raises SettingsError before anything starts."""
    end_on_early_signal(ignore_hangup=True)
    leave_no_core_file()
    set_allocator_thresholds()
    start_logging(settings.log_level, settings.log_format)
    warn(settings)
    listener = bind_socket(settings)
    settings, stream, sources = check(settings)
    starts = [lambda: check_stream_writable(stream.session, settings.stream)]
    if url := settings.spill_queue:
        starts.append(lambda: check_spill_queue(stream.session, url, settings.aws_region))
    run_start_checks(starts)
    log.info("The receiver starts.", extra={"event": "receiver-starts", **list_settings_in_force(settings, sources)})
    stats = Stats([source.name for source in sources.values()] + [""])
    disks = Disks({"STREAM_ROUTER_SPILL_DIR": settings.spill_dir} if settings.spill_dir else {})
    receiver_status = Status(settings, stats, disk_problem=lambda: disks.condition)

    async def serve() -> int:
        stop = asyncio.Event()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
        return await _Program(settings, listener, stream, sources, stats, receiver_status).serve(stop)

    with (
        _monitoring(settings, stream.session, receiver_status, disks),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(serve())


@contextlib.contextmanager
def _monitoring(settings: Receiver, aws: Session, receiver_status: Status, disks: Disks) -> Iterator[None]:
    """Run the admin port, the metrics for CloudWatch and the check of disks, each on its own thread.

    At the end of the context the last metrics are sent, within a second.
    """
    dimensions = MetricDimensions(settings.aws_region, settings.application)
    metrics = Sender(cloudwatch.client(aws), dimensions, receiver_status.current_snapshot, RECEIVER_IN_CLOUDWATCH)
    server = status.serve(settings, receiver_status)
    samplers = [
        Sampler(cloudwatch.PUBLISH_INTERVAL_S, [metrics], "receiver-metrics"),
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
    """The parts of the receiver that run on the event loop."""

    def __init__(
        self,
        settings: Receiver,
        listener: socket.socket,
        stream: Stream,
        sources: dict[str, Source],
        stats: Stats,
        receiver_status: Status,
    ) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._settings = settings
        self._listener = listener
        self._stats = stats
        self._status = receiver_status
        self._is_serving = False
        self._log_limiter = LogLimiter(loop.time)
        self._credentials = CredentialSource(stream.session)
        largest = ANSWER_BYTES if settings.spill_queue else MAX_ANSWER_BYTES
        self._transport = LoopTransport(
            loop, self._credentials, settings.aws_region, stream.ca_bundle, max_answer_bytes=largest
        )
        self._transport.on_credentials_refused = self._credentials.mark_refused
        folder, send = settings.spill_dir, partial(self._transport.start, stream.target)
        ordered = settings.ordering == "conversation"
        self._batcher = Batcher(loop, send, settings.stream, settings.buckets, stats, ordered=ordered)
        self._states = States(self._batcher, settings.stream)
        self._spill = Spill(folder, loop) if folder else None
        if self._spill:
            self._batcher.use_spill(self._spill, settings.spill_max_bytes)
        if settings.spill_queue:
            self._batcher.use_store(self._build_queue_backlog(settings.spill_queue, stream))
        self._app = App(sources, self._batcher, stats, self._states, settings.max_body_bytes, settings.max_held_bytes)
        self._tls = Tls(settings)
        secrets = [source.secrets for source in sources.values() if source.secrets]
        self._followed: list[Tls | Secrets] = [self._tls, *secrets]
        """Files and secrets that are read again while the receiver serves."""

    def _build_queue_backlog(self, url: str, stream: Stream) -> QueueBacklog:
        """Return the spill in the SQS queue at `url`."""
        batcher, transport = self._batcher, self._transport

        def call(operation: str, body: bytes, timeout_s: float, done: OnAnswer) -> None:
            transport.start(stream.queue[operation], body, timeout_s, done)

        return QueueBacklog(
            call,
            url,
            self._loop,
            batcher.groups,
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
        # Each follower has its own thread, so that a slow disk or AWS delays neither the loop nor a stop.
        followers = [
            Sampler(followed.follow_every_s, [followed.refresh])
            for followed in self._followed
            if followed.follow_every_s
        ]
        for follower in followers:
            follower.start()
        self._loop.add_signal_handler(signal.SIGHUP, self._reload_files)
        left = 0
        try:
            server = self._serve_http()
            await stop.wait()
            self._app.draining = True
            notify("STOPPING=1")
            log.info(
                "The receiver drains: it answers the last requests, then ends.",
                extra={"event": "receiver-drains", "delay_s": self._settings.drain_delay_s},
            )
            # During this delay the receiver still serves. Load balancers see `/readyz` fail, and stop sending here.
            await asyncio.sleep(self._settings.drain_delay_s)
            drain_began_s = self._loop.time()
            self._is_serving = False
            if not await server.drain(DRAIN_S):
                log.warning(
                    "Some requests were still arriving at the end and got no answer. Their senders have to send them "
                    "again.",
                    extra={"event": "receiver-unanswered"},
                )
            drained_s = self._loop.time() - drain_began_s
            left = await self._batcher.close(max(CALLS_END_S, STOPPED_WITHIN_S - drained_s))
        finally:
            for follower in followers:
                follower.close()
            if self._spill:
                self._spill.close()
            self._transport.close()
            self._credentials.close()
            self._publish_state()
        return 1 if left else 0

    def _serve_http(self) -> HttpServer:
        """Start the HTTP server, and report that the receiver serves."""
        # The objects that exist now are kept until the end, so the garbage collector need not examine them again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
        server = HttpServer(
            self._loop, self._settings, self._listener, self._app, lambda: self._tls.context, self._stats
        )
        self._is_serving = True
        self._publish_periodically()
        notify("READY=1")
        secret_counts = {
            source.name or DEFAULT_SOURCE: len(source.secrets.live)
            for source in self._app.sources.values()
            if source.secrets
        }
        log.info(
            "The receiver serves. A comma in STREAM_ROUTER_WEBHOOK_SECRETS separates two secrets.",
            extra={"event": "receiver-serves", "listen": self._settings.listen, "secrets": secret_counts},
        )
        return server

    def _publish_periodically(self) -> None:
        """Publish the receiver's state now and every PUBLISH_INTERVAL_S. Log a failure, at most once a minute."""
        self._loop.call_later(PUBLISH_INTERVAL_S, self._publish_periodically)
        try:
            self._publish_state()
        except Exception:
            if self._log_limiter():
                log.exception(
                    "The receiver's state could not be published, and its pages are out of date. The receiver goes on "
                    "serving. Report this error.",
                    extra={"event": "receiver-not-shown"},
                )

    def _publish_state(self) -> None:
        """Update the status, log what has changed, and report to systemd's watchdog."""
        self._status.update(self._batcher, self._app, self._tls.ends_s, up=self._is_serving)
        self._states.log_changes()
        self._tls.log_coming_end(time.time())
        if "WATCHDOG_USEC" in os.environ:
            notify("WATCHDOG=1")

    def _reload_files(self) -> None:
        """Read secrets and TLS files again at once, on SIGHUP. They are also read again regularly."""
        log.info("Secrets and TLS files are read again, because of SIGHUP.", extra={"event": "told-to-look"})
        for followed in self._followed:
            if followed.follow_every_s:
                threading.Thread(target=followed.refresh, daemon=True).start()


def notify(state: str) -> None:
    """Send a state to systemd (sd_notify(3)) if systemd started this process. Ignore a failure.

    With WatchdogSec systemd restarts a service that does not report in time.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket (unix(7))
    if address:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), address)


def main() -> int:
    """Run `python -m stream_router.receiver` with the environment's settings. Return 78 if they are bad."""
    try:
        return run(load(Receiver, *HOST_CHECKS))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return error.status


if __name__ == "__main__":
    sys.exit(main())
