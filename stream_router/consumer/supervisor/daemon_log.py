"""What the daemon and its children write, passed on to our own stderr: repeats are folded, the form is ours.

The KCL says the same with a stack trace every few seconds for as long as a trouble lasts: an outage of 100 s gave 773
lines and 1.9 MB, two of which said what was wrong. So a line of the daemon is passed on once, and then at most once a
minute with the number of its repeats.
"""

import contextlib
import re
import threading
import time
from collections.abc import Callable
from typing import IO

import orjson

from stream_router.log import Form, form_of, to_stderr

EVERY_S = 60.0
MOST_KINDS = 1_000
LONGEST_MESSAGE = 2_000
"""Of the daemon: a stack trace of 5 KB says no more than its first frames."""

OF_THE_KCL = ("kcl", "kcl-batch-failed", "kpl-damaged")
"""What properties/logback.xml calls the KCL's lines."""

SKIPS = (
    "The incoming data has been skipped",  # ShardConsumer
    "Caught exception from handleInput",  # ShardConsumerSubscriber
    "a batch failed in the KCL before its child had it",  # ProcessTask, as properties/logback.xml says it
    "KinesisClientRecord.fromRecord",  # PrefetchRecordsPublisher, of an answer that it has stepped over
)
"""What the KCL says where it fails before a batch is with the child (3.5.1): it goes on with the next batch, and a
checkpoint would pass what was skipped."""

NOT_INITIALIZED = "Caught exception when initializing LeaseCoordinator"
"""Scheduler (3.5.1), when its start fails. It tries again in the same JVM, but what has failed once may be left out
then: after a refused UpdateTable a worker takes the leader lock and assigns nothing (PR #1804, mended in 3.5.2)."""

_VARIES = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|shardId-\d+|0x[0-9a-f]+|@[0-9a-f]+|\d+")


class DaemonLog:
    """Reads a stream of lines to its end; `write` gets each line that is passed on. `clock` tells seconds.

    `skipped` is called if the daemon says that it skips records, `not_initialized` if its lease coordinator did not
    start; `pid` is its process id.
    `form` makes the text of a line of ours or the KCL's.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        skipped: Callable[[], object],
        not_initialized: Callable[[], object],
        pid: int,
        form: Form,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._skipped = skipped
        self._not_initialized = not_initialized
        self._pid = pid
        self._form = form
        self._clock = clock
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}
        """When each kind of line was last passed on, and how many of it were not since."""

    def follow(self, stream: IO[bytes]) -> None:
        """Pass on every line until the stream ends.

        A line that cannot be written (a full disk, a reader that is gone), or not be formed, is lost; the ones after it
        are tried: were the reading to end, nobody would hear any more that the daemon skips records.
        """
        with stream:
            for line in stream:
                with contextlib.suppress(Exception):
                    self.take(line.decode("utf-8", "replace").rstrip("\n"))

    def take(self, raw: str) -> None:
        """Handle one line."""
        try:
            line = orjson.loads(raw) if raw.startswith("{") else None
        except orjson.JSONDecodeError:
            line = None
        if not isinstance(line, dict) or "level" not in line:
            self._write(raw)  # a JVM's or an interpreter's last words
            return
        if line.get("event") in OF_THE_KCL:
            message = str(line.get("message", ""))
            if any(words in message for words in SKIPS):
                self._skipped()
            if NOT_INITIALIZED in message:
                self._not_initialized()
            repeats = self._repeats(str(line.get("logger")), message)
            if repeats is None:
                return
            line |= {"message": message[:LONGEST_MESSAGE], "pid": self._pid}
            if repeats:
                line["repeated"] = repeats
        self._write(self._form(line))

    def _repeats(self, logger: str, message: str) -> int | None:
        """Return how many lines of this kind were held back before this one; None if this one is held back too."""
        now = self._clock()
        kind = (logger, _VARIES.sub("#", message[:300]))
        said_at, kept_back = self._kinds.get(kind, (-EVERY_S, 0))
        if now - said_at < EVERY_S:
            self._kinds[kind] = (said_at, kept_back + 1)
            return None
        if len(self._kinds) >= MOST_KINDS:
            self._kinds.clear()
        self._kinds[kind] = (now, 0)
        return kept_back


def follow(
    stream: IO[bytes],
    log_format: str,
    skipped: Callable[[], object],
    not_initialized: Callable[[], object],
    pid: int,
) -> threading.Thread:
    """Pass a daemon's output on, in a thread that ends with it; the last three arguments are DaemonLog's."""
    log = DaemonLog(to_stderr, skipped, not_initialized, pid, form_of(log_format))
    thread = threading.Thread(target=log.follow, args=(stream,), name="daemon-log", daemon=True)
    thread.start()
    return thread
