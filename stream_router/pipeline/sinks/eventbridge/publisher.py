"""Publication of entries: full PutEvents calls, many in flight, each conversation in order if a setting asks for it.

The function that sends a call's bytes is in `consumer/destinations.py`.
"""

import logging
import re
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

from stream_router import limits
from stream_router.aws_answers import Answer, Outcome, Refusal
from stream_router.dead_letter_reasons import Reason
from stream_router.model import Entry
from stream_router.pipeline.delivery.blame import RetryPolicy
from stream_router.pipeline.delivery.dispatcher import Dispatcher, Ended, GivenUp
from stream_router.process import failpoint

log = logging.getLogger(__name__)

TOO_LARGE = GivenUp(Reason.OVERSIZE, "EntryTooLarge", "no PutEvents call can carry this entry", 0)

_ABOUT_SIZE = re.compile(r"size|too (large|long)|exceed", re.IGNORECASE)
"""EventBridge: "Total size of the entries in the request is over the limit." (docs/facts.md, "EventBridge")."""


class CallLimits(NamedTuple):
    """Limits of one PutEvents call: entries, and bytes by AWS's formula (the sum of `Entry.size_bytes`)."""

    entries: int
    bytes: int


def take(ready: deque[Entry], most: CallLimits) -> list[Entry]:
    """Remove and return the next call's entries from the front of `ready`: as many as fit into a call.

    The first entry is taken whatever its size. If it is above a limit that was lowered meanwhile, it is sent alone, and
    AWS decides.
    """
    taken = [ready.popleft() for _ in range(min(most.entries, len(ready)))]
    size = sum([entry.size_bytes for entry in taken])
    while size > most.bytes and len(taken) > 1:
        last = taken.pop()
        size -= last.size_bytes
        ready.appendleft(last)
    return taken


class PutEventsCalls:
    """Calls to one bus: a `Destination` for the dispatcher. `name` names the bus in logs and dead letters.

    `send` starts a call of entries, and passes AWS's answer to its second argument. `read` returns the outcomes in an
    answer to a call of so many entries.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Entry], Callable[[Answer], None]], None],
        read: Callable[[Answer, int], list[Outcome] | Refusal],
        call_limits: CallLimits,
        name: str = "EventBridge",
        *,
        ordered: bool = False,
    ) -> None:
        self.name = name
        self.send = send
        self._read = read
        self.ordered = ordered
        """Whether each conversation keeps its order. Then at most one of its entries is in flight."""
        self.limits = call_limits
        """Limits by AWS's documentation. No call can carry an entry above them."""
        self.packing = call_limits
        """Present limits of a call. They are lower than `limits` once the bus has refused a call for its size."""

    def take(self, ready: deque[Entry]) -> list[Entry]:
        return take(ready, self.packing)

    def is_full(self, items: Sequence[Entry]) -> bool:
        return len(items) >= self.limits.entries

    def size_bytes(self, items: Sequence[Entry]) -> int:
        return sum([item.size_bytes for item in items])

    def key(self, item: Entry) -> Hashable:
        # The dispatcher holds an entry for as long as it keeps its id.
        return (conversation(item) if self.ordered else "") or id(item)

    def read(self, answer: Answer, items: Sequence[Entry]) -> list[Outcome] | Refusal:
        return self._read(answer, len(items))

    def too_large(self, items: Sequence[Entry], refusal: Refusal) -> bool:
        """Return whether the bus refused the call for its size. If so, later calls are packed smaller.

        AWS's message may quote an entry, so the word "size" in it does not prove that a small call was too large. No
        call within 256 KB is too large: that limit held everywhere before AWS raised it.
        """
        is_about_size = _ABOUT_SIZE.search(refusal.message) or refusal.code == "Http413"
        if not is_about_size or self.size_bytes(items) <= limits.REQUEST_BYTES_256K:
            return False
        if self.packing.bytes > limits.REQUEST_BYTES_256K:
            log.warning(
                "The bus takes only smaller calls than AWS documents. Calls are packed smaller. No event is lost.",
                extra={"event": "calls-smaller", "limit_bytes": limits.REQUEST_BYTES_256K},
            )
            self.packing = self.packing._replace(bytes=limits.REQUEST_BYTES_256K)
        return True


def conversation(entry: Entry) -> str:
    """Return the conversation whose order the entry keeps; "" if it has none.

    It is the name before masking (`lane`), if there is one. Masking may give two conversations the same name, or one
    conversation several names.
    """
    return entry.lane or entry.order_key


class Lanes:
    """Order of the entries of each conversation. Each conversation is a lane: only the first entry in it may be sent.

    Entries without a conversation may be sent at once, and so may all entries if `enabled` is false.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._waiting: dict[str, deque[Entry]] = {}
        """Entries that wait, by conversation.

        A conversation is a key from the sending of an entry until `leave` gets its last one. If no other entry waits,
        its value is empty.
        """
        self._waiting_count = 0

    def __len__(self) -> int:
        return self._waiting_count

    def enter(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return those of `entries` that may be sent now, in their order. The others wait for `leave`."""
        if not self._enabled:
            return list(entries)
        through = []
        for entry in entries:
            if not (key := conversation(entry)):
                through.append(entry)
            elif (lane := self._waiting.get(key)) is None:
                self._waiting[key] = deque()
                through.append(entry)
            else:
                lane.append(entry)
                self._waiting_count += 1
        return through

    def leave(self, ended: Iterable[Entry]) -> list[Entry]:
        """Record that `ended` were accepted or given up. Return the next entry of each of their conversations."""
        if not self._enabled:
            return []
        freed = []
        for entry in ended:
            if not (key := conversation(entry)):
                continue
            if lane := self._waiting[key]:
                freed.append(lane.popleft())
                self._waiting_count -= 1
            else:
                del self._waiting[key]
        return freed


class Publisher:
    """Owner of entries until `collect` returns each of them.

    An entry that `collect` returns as given up still blocks its conversation, until `release_conversation` is called,
    or `submit_smaller` with a smaller form of it.
    """

    def __init__(
        self, calls: PutEventsCalls, policy: RetryPolicy, clock: Callable[[], float], random: Callable[[], float]
    ) -> None:
        self.dispatcher = Dispatcher(calls, policy, clock, random)
        self.limits = calls.limits
        self._lanes = Lanes(enabled=calls.ordered)
        self._unpublished: list[tuple[Entry, GivenUp]] = []
        """Entries that were given up without a call of their own, until `collect` returns them."""

    @property
    def backlog(self) -> int:
        """Number of entries that wait for their turn in a conversation, for a call, for an answer or for `collect`."""
        return self.dispatcher.backlog + len(self._lanes) + len(self._unpublished)

    def take(self, entries: Iterable[Entry]) -> None:
        """Take charge of `entries`. Full calls start at once if the gate allows it."""
        self._admit(self._lanes.enter(entries))
        self.dispatcher.advance(flush=False)

    def submit_smaller(self, entry: Entry) -> None:
        """Take back an entry that was too large for a call, in a smaller form."""
        self.dispatcher.submit([entry])

    def release_conversation(self, entry: Entry, given_up: GivenUp) -> None:
        """Let the next entry of the conversation be sent, since `entry` was given up and became a dead letter.

        If the entry was given up because of an outage, the next one is given up too, since it waited as long.
        """
        freed = self._lanes.leave((entry,))
        if given_up.reason is Reason.OUTAGE:
            self._unpublished += [(freed_entry, given_up._replace(attempts=0)) for freed_entry in freed]
        else:
            self._admit(freed)

    def collect(self) -> Ended[Entry] | None:
        """Return the outcomes since the last `collect`; None if there are none.

        The next entries of the conversations of accepted entries are queued for sending.
        """
        if not (self.dispatcher.collectable or self._unpublished):
            return None
        ended = self.dispatcher.collect()
        if ended.accepted:
            failpoint("after_accept_before_settle")
        for entries in ended.accepted:
            self._admit(self._lanes.leave(entries))
        ended.given_up.extend(self._unpublished)
        self._unpublished = []
        return ended

    def _admit(self, entries: list[Entry]) -> None:
        """Queue entries for sending. An entry that is too large for any call is given up at once."""
        if not entries:
            return
        most = self.limits.bytes
        fitting = [entry for entry in entries if entry.size_bytes <= most]
        self.dispatcher.enqueue(fitting)
        if len(fitting) < len(entries):
            self._unpublished += [(entry, TOO_LARGE) for entry in entries if entry.size_bytes > most]
