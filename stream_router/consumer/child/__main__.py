"""`stream-router-shard`: the child that the KCL daemon starts for each shard, with settings from the environment."""

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
from stream_router.process import keep_large_blocks, release_free_memory, write_atomically
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load, warn_of_failpoints

log = logging.getLogger("stream_router.shard")

EX_SOFTWARE = 70
"""Exit status after an unexpected error (sysexits.h)."""
PARENT_CHECK_INTERVAL_S = 0.5
"""Seconds between two checks that the daemon lives. Used only if the kernel cannot report the daemon's death."""

START_TIMEOUT_S = 600.0
"""Seconds after which a child that has not started is ended: a call for credentials may hang.

Hundreds of shards on a small host need minutes to start. Once a child has started, the supervisor watches it.
"""


def main() -> NoReturn:
    """Serve the daemon until it closes the pipe. Any error ends the process, and the records are read again."""
    stop_signals: list[int] = []  # a SIGTERM may arrive before the object that handles it exists
    signal.signal(signal.SIGTERM, lambda number, _: stop_signals.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    output, input_fd = daemon_lines.take_over_stdout(), daemon_lines.take_over_stdin()
    start_logging("INFO")
    try:
        settings = load(Consumer)
        logging.getLogger().setLevel(settings.log_level)
        warn_of_failpoints()
        exit_code = _serve(settings, daemon_lines.DaemonInput(input_fd), output, stop_signals)
    except SettingsError as error:
        exit_code = _report_wrong_settings(error)
    except SystemExit as error:
        exit_code = error.code if isinstance(error.code, int) else EX_SOFTWARE
    except BaseException:
        log.exception(
            "The child ends with an unexpected error. The daemon is started again and reads records above the "
            "checkpoint again. Please report this error.",
            extra={"event": "child-failed"},
        )
        exit_code = EX_SOFTWARE
    logging.shutdown()
    os._exit(exit_code)


def _serve(settings: Consumer, source: daemon_lines.DaemonInput, output: IO[bytes], stop_signals: list[int]) -> int:
    """Build the child, run the KCL's main loop, and return the exit code.

    Most of the child's modules are imported only after the endpoints are resolved, to use the memory that this frees.
    """
    from stream_router.aws.credentials import CredentialsError
    from stream_router.consumer.destinations import DestinationEndpoints

    faulthandler.dump_traceback_later(START_TIMEOUT_S, exit=True, file=sys.stderr)
    destination_endpoints = DestinationEndpoints(settings)
    gc.collect()  # the imports below then use the memory that botocore needed to resolve the endpoints
    from stream_router.consumer.child import kcl_adapter
    from stream_router.consumer.child.assembly import Child

    try:
        child = Child(settings, destination_endpoints, source.fd)
    except CredentialsError as error:
        # Not fatal: the supervisor had credentials, so a later child will get them as well.
        log.error("%s", error, extra={"event": "child-without-credentials"})  # noqa: TRY400 - one line
        return os.EX_TEMPFAIL
    faulthandler.cancel_dump_traceback_later()
    _tune_memory_management()
    main_loop = kcl_adapter.KclMainLoop(source, output, child.build_shard_processor, child.wait_idle)
    signal.signal(signal.SIGTERM, lambda *_: main_loop.request_stop())
    if stop_signals:
        main_loop.request_stop()
    daemon_pid = os.getppid()
    watch_arguments = (daemon_pid, main_loop.record_clean_exit)
    threading.Thread(target=_exit_if_daemon_dies, args=watch_arguments, name="parent-watch", daemon=True).start()
    try:
        main_loop.run()
    except kcl_adapter.DaemonGoneError:
        main_loop.record_clean_exit()
        raise
    main_loop.record_clean_exit()
    return 0


def _tune_memory_management() -> None:
    """Collect garbage rarely and keep large buffers, which saves a fifth of the CPU (benchmarks/child.py).

    Events form no reference cycles, so the garbage collector need not run often. The buffers of a batch, megabytes
    each, are kept for the next batch. Otherwise the kernel would have to map their memory again for each batch. Memory
    that only the start needed is returned first.
    """
    gc.collect()
    release_free_memory()
    keep_large_blocks()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def _report_wrong_settings(error: SettingsError) -> int:
    """Write the error to stderr, and to a file for the supervisor, which then stops instead of retrying."""
    sys.stderr.write(f"{error}\n")
    if state_dir := os.environ.get("STREAM_ROUTER_STATE_DIR"):
        write_atomically(Path(state_dir, FATAL), error.to_json())
    return EX_CONFIG


def _exit_if_daemon_dies(daemon_pid: int, record_clean_exit: Callable[[], None]) -> None:
    """Wait until the daemon dies, then end the process at once.

    Another worker may own the shard by then, so a child without its daemon must send nothing. The end is recorded as a
    clean exit, since no event of this shard caused it.
    """
    try:
        select.select([os.pidfd_open(daemon_pid)], [], [])
    except ProcessLookupError:
        pass
    except (OSError, AttributeError):  # an old kernel, a sandbox, or a Python that was built on an old kernel
        while os.getppid() == daemon_pid:
            time.sleep(PARENT_CHECK_INTERVAL_S)
    try:
        record_clean_exit()
    finally:  # even if a full disk prevents the record
        os._exit(os.EX_TEMPFAIL)


if __name__ == "__main__":
    main()
