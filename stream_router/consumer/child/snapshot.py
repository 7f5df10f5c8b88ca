"""Telemetry of one shard: once a second, a file with the counts of its ledger and its present state (`vitals.py`)."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from stream_router.consumer.child.ledger import ShardLedger
from stream_router.log import LogLimiter
from stream_router.process import write_atomically
from stream_router.telemetry.merged import snapshot_file
from stream_router.telemetry.snapshot import Snapshot

log = logging.getLogger(__name__)

SNAPSHOT_INTERVAL_S = 1.0
"""Seconds between two snapshots. The supervisor builds its pages and metrics from them."""


class ShardTelemetry:
    """Writer of one shard's snapshots to the state folder, if there is one.

    `vitals` writes the shard's present state into a snapshot. No method blocks, or raises an error because a file
    cannot be written. `now_s` is the wall clock (epoch seconds), `clock` is monotonic.
    """

    def __init__(
        self,
        shard_id: str,
        ledger: ShardLedger,
        vitals: Callable[[Snapshot], object],
        folder: Path | None,
        now_s: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shard_id = shard_id
        self._ledger = ledger
        self._vitals = vitals
        self._folder = folder
        self._now_s = now_s
        self._clock = clock
        self._next_write_at = clock() + SNAPSHOT_INTERVAL_S
        self._warning_is_due = LogLimiter(clock)
        self._closed = False

    def write_if_due(self) -> None:
        """Write snapshot and audit records, and log the summary of dead letters, if SNAPSHOT_INTERVAL_S has passed."""
        now = self._clock()
        if now < self._next_write_at:
            return
        self._next_write_at = now + SNAPSHOT_INTERVAL_S
        self._write()
        self._ledger.flush()

    def close(self) -> None:
        """Write a last snapshot and the remaining audit records when the child gives the shard up."""
        if self._closed:
            return
        self._closed = True
        self._write()
        self._ledger.close()

    def _write(self) -> None:
        """Check the alarm of dead letters, then write the snapshot to the state folder, whole or not at all.

        A failed write is logged once a minute. Without a folder nothing is written.
        """
        self._ledger.check_alarm()
        snapshot = Snapshot(round(self._now_s(), 3), states={"shard": self._shard_id, "pid": os.getpid()})
        self._ledger.write_counts_into(snapshot)
        self._vitals(snapshot)
        if self._folder is None:
            return
        try:
            file = snapshot_file(self._folder, self._shard_id, os.getpid())
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, orjson.dumps(snapshot.to_dict()))
        except OSError as error:
            if self._warning_is_due():
                log.warning(
                    "The snapshot of the metrics was not written (%s). Events go on, but pages and metrics are out of "
                    "date. Check the disk of STREAM_ROUTER_STATE_DIR.",
                    error.strerror,
                    extra={"event": "snapshot-not-written"},
                )
