"""Named places at which a test may kill this process, or stall it. Off unless one variable names some of them.

A test instrument, never for production: it is what shows that a crash between two steps loses nothing. A stall is a
process that stands still, as one does whose disk hangs; it is no deadline of the product's, and nothing waits for it.
While the variable is not set a place costs one call of an empty dictionary's check, a handful of times a batch.
"""

import os
import re
import signal
import time
from typing import NamedTuple

from stream_router.core.process.settings_error import SettingsError

VARIABLE = "STREAM_ROUTER_FAILPOINTS"

PLACES = {
    # the receiver
    "after_put_before_ack": "the stream took a call's records, no request has been told",
    "spill_written_before_answer": "rows are synced to the spill's file, no request has been told",
    "spill_drained_before_removed": "spilled rows are in the stream, the spill's files still have them",
    # the child
    "batch_taken_before_opened": "the daemon handed a batch over, none of it is opened",
    "after_accept_before_settle": "the bus accepted a call's entries, none of them is settled",
    "after_settle_before_checkpoint": "a checkpoint is due and its position known, it is not sent",
    "checkpoint_sent_before_reply": "a checkpoint went to the daemon, its answer is not there",
    "processed_before_answer": "a batch is taken charge of, the daemon has not been told",
    "in_shard_end": "all of the shard is settled, its end is not checkpointed",
    "in_lease_lost": "the daemon said that the lease is gone, nothing is stopped yet",
    "in_shutdown_requested": "the daemon asked for the last checkpoint, nothing is done yet",
    "before_dead_letter_sent": "an event is given up, its letter is not sent",
    "dead_letter_stored_before_settled": "the queue has a letter, its event is not settled",
    "claim_check_stored_before_entry_sent": "a payload is in the bucket, the entry that refers to it is not sent",
    "audit_record_written": "a batch's audit record is in its file, nobody knows of it yet",
    # the supervisor, and whoever writes a file of the state folder
    "state_file_written_before_rename": "a file's new content is written beside it, its name still shows the old",
    "daemon_started_before_first_look": "the daemon was started, the supervisor has not looked at it",
    "bus_proven_before_written": "the bus said that it exists, the children cannot read it yet",
    # the operator's commands
    "redrive_settled_before_deleted": "a redriven event is settled, its message is still in the queue",
    "failed_again_stored_before_deleted": "a letter's next generation is in the queue, and so is the old one",
    "exported_before_deleted": "`dlq export --take` synced its file, the messages are still in the queue",
    "imported_before_counted": "`dlq import` sent letters, it does not know yet",
}
"""Every place: what has happened there, and what has not."""

DEADLY_EVENT = "event"
"""`event=segfault:TEXT`: an event whose line holds TEXT kills the process, as a bug in a C library would."""

_RULE = re.compile(r"(?P<place>[a-z_]+)=(?P<what>kill|stall:(?P<stall_s>\d+(?:\.\d+)?)s)(?:@(?P<nth>[1-9]\d*))?")


class _Armed(NamedTuple):
    stall_s: float | None
    """None: kill."""
    nth: int
    """0: each time."""


_armed: dict[str, _Armed] = {}
_reached: dict[str, int] = {}
_deadly: list[bytes] = []


def reach(place: str) -> None:
    """The program is at this place."""
    if _armed:
        _act(place)


def deadly_text() -> bytes:
    """What an event that kills its process holds; empty where none does."""
    return _deadly[0] if _deadly else b""


def in_force() -> str:
    """What is armed, in words for a log; empty where nothing is."""
    return ", ".join([*sorted(_armed), *([DEADLY_EVENT] if _deadly else [])])


def arm(text: str) -> None:
    """Arm this process as the variable says: `PLACE=kill`, `PLACE=kill@3`, `PLACE=stall:2s`, joined by `;`.

    `@N` is the Nth time alone; without it each time. Raises SettingsError.
    """
    _armed.clear()
    _reached.clear()
    _deadly.clear()
    for rule in filter(None, (part.strip() for part in text.split(";"))):
        if rule.startswith(f"{DEADLY_EVENT}=segfault:"):
            _deadly.append(rule.partition(":")[2].encode())
            continue
        found = _RULE.fullmatch(rule)
        if found is None or found["place"] not in PLACES:
            raise SettingsError(
                f"{VARIABLE}: has a rule that is none; for tests only: PLACE=kill[@N] or PLACE=stall:SECONDSs[@N], "
                "the places are in docs/failpoints.md"
            )
        stall_s = float(found["stall_s"]) if found["stall_s"] else None
        _armed[found["place"]] = _Armed(stall_s, int(found["nth"] or 0))


def _act(place: str) -> None:
    armed = _armed.get(place)
    if armed is None:
        return
    _reached[place] = _reached.get(place, 0) + 1
    if armed.nth not in (0, _reached[place]):
        return
    # Straight to the descriptor: a log's lock may be held by the thread that is stopped here.
    os.write(2, f"failpoint {place}, time {_reached[place]}\n".encode())
    if armed.stall_s is None:
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        time.sleep(armed.stall_s)
