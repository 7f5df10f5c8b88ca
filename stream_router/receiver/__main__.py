"""The receiver's program: checks everything, then serves with one or more workers until it is told to stop."""

import sys

from stream_router.core import logs
from stream_router.core.settings_error import EX_CONFIG, SettingsError
from stream_router.receiver.preflight import check
from stream_router.receiver.spill import spill_file
from stream_router.receiver.supervisor import WorkerSupervisor
from stream_router.receiver.worker import Worker
from stream_router.settings.common import load
from stream_router.settings.receiver import Receiver
from stream_router.telemetry import prometheus
from stream_router.telemetry.prometheus import Board


def run(settings: Receiver, workers: int) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return 0. Raises SettingsError before anything starts."""
    if workers < 1:
        raise SettingsError("--workers: must be 1 or more; leave it out for one")
    logs.start(settings.log_level)
    settings, stream = check(settings)
    if settings.spill_dir:
        spill_file.adopt(settings.spill_dir, workers)
    board = Board(workers)
    if workers == 1:
        admin = prometheus.serve(board, settings.receiver_admin_listen)
        Worker(settings, stream, board.row(0)).run()
        admin.shutdown()
        return 0
    supervisor = WorkerSupervisor(workers, lambda number: Worker(settings, stream, board.row(number), number).run())
    supervisor.start()
    admin = prometheus.serve(board, settings.receiver_admin_listen)
    status = supervisor.run()
    admin.shutdown()
    return status


def main() -> int:
    """`python -m stream_router.receiver`: one worker, settings from the environment; exit 78 where they are bad."""
    try:
        return run(load(Receiver), 1)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return EX_CONFIG


if __name__ == "__main__":
    sys.exit(main())
