"""`stream-router-shard`: the child that the KCL daemon starts for each shard. Settings from the environment only."""

import faulthandler
import gc
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, NoReturn

from stream_router.consumer.child import daemon_lines
from stream_router.consumer.state_dir import FATAL
from stream_router.errors import EX_CONFIG, SettingsError
from stream_router.log import start_logging
from stream_router.process import give_back_now, keep_large_blocks, write_whole
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load, warn_of_failpoints

log = logging.getLogger("stream_router.shard")

EX_SOFTWARE = 70
LOOK_FOR_PARENT_S = 0.5
"""Seconds between two checks that the daemon lives, if the kernel offers no descriptor for it."""

START_WITHIN_S = 600.0
"""Seconds within which a child must have started: hundreds of shards on a small host need minutes.

A call for credentials may hang. Once the child has started, the supervisor watches it.
"""


def main() -> NoReturn:
    """Serve the daemon until it closes the channel. Any error ends the process, and the records are read again."""
    stop_signals: list[int] = []  # a SIGTERM may arrive before the object that handles it exists
    signal.signal(signal.SIGTERM, lambda number, _: stop_signals.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sink, lines = daemon_lines.private_output(), daemon_lines.private_input()
    start_logging("INFO")
    try:
        configured = load(Consumer)
        logging.getLogger().setLevel(configured.log_level)
        warn_of_failpoints()
        code = _serve(configured, daemon_lines.DaemonInput(lines), sink, stop_signals)
    except SettingsError as error:
        code = _refuse(error)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else EX_SOFTWARE
    except BaseException:
        log.exception(
            "The child ends with an unexpected error. The daemon is started again and reads records above the "
            "checkpoint again. Please report this error.",
            extra={"event": "child-failed"},
        )
        code = EX_SOFTWARE
    logging.shutdown()
    os._exit(code)


def _serve(configured: Consumer, source: daemon_lines.DaemonInput, sink: IO[bytes], stop_signals: list[int]) -> int:
    from stream_router.aws.credentials import CredentialsError
    from stream_router.consumer.destinations import DestinationEndpoints

    faulthandler.dump_traceback_later(START_WITHIN_S, exit=True, file=sys.stderr)
    targets = DestinationEndpoints(configured)
    gc.collect()  # the memory that botocore needed for the targets serves the imports below
    from stream_router.consumer.child import kcl_adapter
    from stream_router.consumer.child.assembly import Child

    try:
        child = Child(configured, targets, source.fd)
    except CredentialsError as error:
        # Not fatal: the supervisor had credentials, so a later child will get them as well.
        log.error("%s", error, extra={"event": "child-without-credentials"})  # noqa: TRY400 - one line
        return os.EX_TEMPFAIL
    faulthandler.cancel_dump_traceback_later()
    _keep_memory()
    process = kcl_adapter.Process(source, sink, child.shard, child.idle)
    signal.signal(signal.SIGTERM, lambda *_: process.request_leave())
    if stop_signals:
        process.request_leave()
    parent = os.getppid()
    threading.Thread(target=_die_with, args=(parent, process.ended_well), name="parent-watch", daemon=True).start()
    try:
        process.run()
    except kcl_adapter.DaemonGoneError:
        process.ended_well()
        raise
    process.ended_well()
    return 0


def _keep_memory() -> None:
    """Set memory management for few collections and kept buffers, which saves a fifth of the CPU (benchmarks/child.py).

    Events form no reference cycles, so the collector may run rarely. A batch's buffers, megabytes each, are kept for
    the next batch instead of being returned to the kernel and faulted in again. Memory that only the start needed is
    returned first.
    """
    gc.collect()
    give_back_now()
    keep_large_blocks()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def _refuse(error: SettingsError) -> int:
    """Report bad settings to stderr, and in a file to the supervisor, which then stops instead of retrying."""
    sys.stderr.write(f"{error}\n")
    if state := os.environ.get("STREAM_ROUTER_STATE_DIR"):
        write_whole(Path(state, FATAL), error.to_json())
    return EX_CONFIG


def _die_with(parent: int, ended_well: Callable[[], None]) -> None:
    """End the process at once if the daemon dies: another worker may own the shard, so an orphan must send nothing."""
    try:
        select.select([os.pidfd_open(parent)], [], [])
    except ProcessLookupError:
        pass
    except (OSError, AttributeError):  # an old kernel, a sandbox, or a Python that was built on an old kernel
        while os.getppid() == parent:
            time.sleep(LOOK_FOR_PARENT_S)
    try:
        ended_well()
    finally:  # a full disk must not keep an orphan alive
        os._exit(os.EX_TEMPFAIL)


if __name__ == "__main__":
    main()
