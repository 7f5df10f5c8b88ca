"""Log of the daemon and its children, passed on to our own stderr in our own format, without repeats.

During a failure the KCL logs the same stack trace every few seconds: an outage of 100 s gave 773 lines and 1.9 MB, two
of which named the cause. So a line of the daemon is passed on once, and then at most once a minute with the number of
its repeats.
"""

import contextlib
import re
import threading
import time
from collections.abc import Callable
from typing import IO

import orjson

from stream_router.aws_error_codes import MissingPermission, find_refusal
from stream_router.log import Form, choose_form, write_to_stderr

REPEAT_INTERVAL_S = 60.0
"""Seconds between two lines of the same kind."""
MAX_LINE_KINDS = 1_000
"""Maximum number of kinds of lines that are remembered."""
MAX_MESSAGE_CHARS = 2_000
"""Characters of a message that are passed on: a stack trace of 5 KB says no more than its first frames."""

KCL_LOG_EVENTS = ("kcl", "kcl-batch-failed", "kpl-damaged")
"""Log events of the KCL's lines, as properties/logback.xml sets them."""

SKIPPED_RECORDS_MESSAGES = (
    "The incoming data has been skipped",  # ShardConsumer
    "Caught exception from handleInput",  # ShardConsumerSubscriber
    "a batch failed in the KCL before its child had it",  # ProcessTask, as properties/logback.xml says it
    "KinesisClientRecord.fromRecord",  # PrefetchRecordsPublisher, of an answer that it has stepped over
)
"""Messages of the KCL (3.5.1) if it fails before a batch reaches the child.

It continues with the next batch, so a checkpoint would pass the skipped records.
"""

NOT_INITIALIZED = "Caught exception when initializing LeaseCoordinator"
"""Message of the Scheduler (3.5.1) if its start fails.

It tries again in the same JVM, but may omit the step that failed: after a refused UpdateTable a worker takes the leader
lock and assigns nothing (PR #1804, fixed in 3.5.2).
"""

_VARIES = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|shardId-\d+|0x[0-9a-f]+|@[0-9a-f]+|\d+")
"""Parts in which lines of one kind may differ: UUIDs, shard ids, Java's object addresses, numbers."""


class DaemonLog:
    """Filter for the lines of a daemon. `write` gets each line that is passed on, formatted by `form`.

    `skipped` is called if the daemon reports that it skips records, `not_initialized` if its lease coordinator did not
    start, `refused` with each call that AWS refused for lack of a permission. `pid` is the daemon's process id, `clock`
    monotonic seconds.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        skipped: Callable[[], object],
        not_initialized: Callable[[], object],
        refused: Callable[[MissingPermission], object],
        pid: int,
        form: Form,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._skipped = skipped
        self._not_initialized = not_initialized
        self._refused = refused
        self._pid = pid
        self._form = form
        self._clock = clock
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}
        """For each kind of line: time at which it was last passed on, and number of lines held back since."""

    def follow(self, stream: IO[bytes]) -> None:
        """Pass on every line until the stream ends.

        A line that cannot be formatted or written (a full disk, a closed pipe) is lost. Reading goes on, since a later
        line may report that the daemon skips records.
        """
        with stream:
            for line in stream:
                with contextlib.suppress(Exception):
                    self.take(line.decode("utf-8", "replace").rstrip("\n"))

    def take(self, raw: str) -> None:
        """Handle one line: call the functions for what it reports, and pass it on unless it is a repeat."""
        try:
            line = orjson.loads(raw) if raw.startswith("{") else None
        except orjson.JSONDecodeError:
            line = None
        if not isinstance(line, dict) or "level" not in line:
            self._write(raw)  # a crash report of the JVM or of an interpreter, which is not JSON
            return
        if line.get("event") in KCL_LOG_EVENTS:
            message = str(line.get("message", ""))
            if any(words in message for words in SKIPPED_RECORDS_MESSAGES):
                self._skipped()
            if NOT_INITIALIZED in message:
                self._not_initialized()
            if refusal := find_refusal(message):
                self._refused(refusal)
            repeats = self._repeats(str(line.get("logger")), message)
            if repeats is None:
                return
            line |= {"message": message[:MAX_MESSAGE_CHARS], "pid": self._pid}
            if repeats:
                line["repeated"] = repeats
        self._write(self._form(line))

    def _repeats(self, logger: str, message: str) -> int | None:
        """Return the number of lines of this kind held back before this line; None if this line is held back too."""
        now = self._clock()
        kind = (logger, _VARIES.sub("#", message[:300]))
        passed_at, kept_back = self._kinds.get(kind, (-REPEAT_INTERVAL_S, 0))
        if now - passed_at < REPEAT_INTERVAL_S:
            self._kinds[kind] = (passed_at, kept_back + 1)
            return None
        if len(self._kinds) >= MAX_LINE_KINDS:  # a bound for memory; forgetting only costs some repeated lines
            self._kinds.clear()
        self._kinds[kind] = (now, 0)
        return kept_back


def follow(
    stream: IO[bytes],
    log_format: str,
    skipped: Callable[[], object],
    not_initialized: Callable[[], object],
    refused: Callable[[MissingPermission], object],
    pid: int,
) -> threading.Thread:
    """Start a thread that passes a daemon's output on, and ends with it. The last four arguments are DaemonLog's."""
    log = DaemonLog(write_to_stderr, skipped, not_initialized, refused, pid, choose_form(log_format))
    thread = threading.Thread(target=log.follow, args=(stream,), name="daemon-log", daemon=True)
    thread.start()
    return thread
