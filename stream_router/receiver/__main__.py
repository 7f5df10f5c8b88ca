"""The receiver's program: checks everything, then serves with one or more workers until it is told to stop."""

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator

from botocore.session import Session

from stream_router.aws.endpoints import session
from stream_router.checks import aws_checks
from stream_router.checks.finding import at_start
from stream_router.errors import SettingsError
from stream_router.log import start_logging
from stream_router.process import end_at_early_stop, give_back_large_blocks, leave_no_core_file
from stream_router.receiver import admin, sources, start_line
from stream_router.receiver.certificate_end import CertificateEnd
from stream_router.receiver.preflight import LOOKS, check, claim
from stream_router.receiver.supervisor import WorkerSupervisor
from stream_router.receiver.worker import Worker
from stream_router.settings.reading import load, warn
from stream_router.settings.receiver import Receiver
from stream_router.telemetry import cloudwatch
from stream_router.telemetry.receiver import receiver_cloudwatch
from stream_router.telemetry.receiver.receiver_board import Board
from stream_router.telemetry.receiver.receiver_cloudwatch import ReceiverMetrics
from stream_router.telemetry.sampler import Sampler

LAST_METRICS_S = 1.0
"""What a receiver that ends gives its last metrics."""

log = logging.getLogger(__name__)


def run(settings: Receiver, workers: int) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return 0. Raises SettingsError before anything starts."""
    if workers < 1:
        raise SettingsError("--workers: must be 1 or more; leave it out for one")
    end_at_early_stop(through_hangups=True)
    leave_no_core_file()
    give_back_large_blocks()
    start_logging(settings.log_level, settings.log_format)
    warn(settings)
    settings, stream = check(settings)
    aws = session(settings.aws_region)
    check_stream(settings, aws)
    log.info("the receiver starts", extra={"event": "receiver-starts", **start_line.in_force(settings, workers)})
    names = sources.names(settings)
    board = Board(workers, names)
    metrics = receiver_cloudwatch.of(settings, aws, board)
    if workers == 1:
        with _watched(board, settings, metrics):
            Worker(settings, stream, board.row(0), names).run()
        return 0

    claimed = claim(settings.listen)

    def work(number: int) -> None:
        claimed.close()  # the parent's alone: a worker may outlive it for a moment
        row = board.row(number)
        Worker(settings, stream, row, names, number, workers, lambda: board.beat(number)).run()

    supervisor = WorkerSupervisor(workers, work, board.gone, lambda: board.beats)
    supervisor.start()
    with claimed, _watched(board, settings, metrics):
        return supervisor.run(settings.drain_delay_s)


@contextlib.contextmanager
def _watched(board: Board, settings: Receiver, metrics: ReceiverMetrics) -> Iterator[None]:
    """The admin port, CloudWatch and the certificate's end, on threads of their own.

    At the end the last numbers are sent, within a second.

    Raises SettingsError where the admin port cannot listen.
    """
    status = admin.ReceiverStatus(board, settings)
    server = admin.serve(board, settings, status)
    samplers = (
        Sampler(cloudwatch.EVERY_S, [metrics], "receiver-metrics"),
        Sampler(admin.LOOK_EVERY_S, [status.look, CertificateEnd(board.certificate_end_s)], "receiver-state"),
    )
    for sampler in samplers:
        sampler.start()
    try:
        yield
    finally:
        for sampler in samplers:
            sampler.close()
        last = threading.Thread(target=metrics, name="last-metrics", daemon=True)
        last.start()
        last.join(LAST_METRICS_S)
        server.close()


def check_stream(settings: Receiver, aws: Session) -> None:
    """Raises SettingsError where the stream is not there, or may not be written; for a definite no only."""
    at_start([lambda: aws_checks.stream_writable(aws, settings.stream)])


def main() -> int:
    """`python -m stream_router.receiver`: one worker, settings from the environment; exit 78 where they are bad."""
    try:
        return run(load(Receiver, *LOOKS), 1)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return error.status


if __name__ == "__main__":
    sys.exit(main())
