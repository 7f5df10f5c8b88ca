"""Charges each extra copy to what caused it, and holds it against how old a copy of that cause may be.

What comes again after a kill was accepted within the last 6 s, the calls in flight aside. But the checkpoint stands
while an earlier event of the shard is unsettled, while DynamoDB or the bus cannot be reached, and while a process is
stopped: that time is added.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from tests.fault.chaos_run.evidence import Act, Delivery, Evidence, Letter
from tests.fault.chaos_run.proxy import LATE_S

CHECKPOINT_S = 6.0
SLACK_S = 1.5
"""What a busy machine adds."""

AFTER_S = 1.0
"""Calls that were in flight at a kill are accepted up to so long after it."""

CALL_S = 5.0
"""How long a child waits for an answer."""

RECOVERS_S = 2.0
"""How soon after such a time an overdue checkpoint is taken."""

STORES_AGAIN = (
    *("kill receiver", "kill everything", "restart receiver"),
    *("wire kinesis in", "stop receiver", "stop everything"),
)
ARRIVED_SLACK_S = 2.0
"""Kinesis tells arrivals to the second."""

CHILD_ENDED = "child ended"
DAEMON_ENDS_S = 30.0
"""How long after a kill of one child its worker's other children may still be sending: until the daemon has ended."""

HAND_OFF_S = 30.0
"""How long a worker whose lease went to another may go on with what it has: 25 s as docs/delivery.md says, and some."""

GIVEN_UP_S = 0.9 + SLACK_S
"""How long after it was posted an event's last call may begin: the receiver answers within 900 ms."""

UNSETTLED_S = 1.0
"""An event that is unsettled for longer than this holds the checkpoint back noticeably."""


class Charged(NamedTuple):
    """An extra copy: its event, when it was accepted, what it is charged to; the act's place where it is one's."""

    event_id: str
    at: float
    cause: str
    act: int | None = None
    text: str = ""


class Copies:
    """Works over one run's evidence."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._stored: dict[str, list[tuple[str, int]]] = {}
        self._arrived: dict[str, list[float]] = {}
        for record in evidence.stream:
            for event_id in record.ids:
                self._stored.setdefault(event_id, []).append((record.shard, record.sequence))
                self._arrived.setdefault(event_id, []).append(record.arrived)
        self._ends: dict[str, list[Delivery | Letter]] = {}
        ends: list[Delivery | Letter] = [*evidence.deliveries, *evidence.letters]
        for end in sorted(ends, key=lambda item: item.at):
            self._ends.setdefault(end.event_id, []).append(end)
        self._unsettled = self._spans()
        self._holding = [(act.begun, act.ended + RECOVERS_S) for act in evidence.acts if _holds(act)]

    # --- stored again -------------------------------------------------------------------------------------------

    def stored_again(self) -> list[tuple[str, str]]:
        """Events that are in the stream more than once though nothing explains it."""
        result = []
        for event_id, places in self._stored.items():
            sent = self._evidence.sent.get(event_id)
            if len(places) > 1 and sent and not self._may_be_stored_again(event_id, sent.attempts):
                result.append((event_id, f"stored {len(places)} times"))
        return result

    def _may_be_stored_again(self, event_id: str, attempts: Sequence[float]) -> bool:
        """Between first posted and last stored the receiver died, was cut off from Kinesis or stopped in a call.

        Or the stream took or answered it later than a call may take: then it is sent again, by its sender, the receiver
        or the spill. On a busy machine the proxy need not see it: a call comes late to it, or its answer is read late.
        """
        arrived = self._arrived[event_id]
        first, last = attempts[0], max(arrived) + ARRIVED_SLACK_S
        if any(
            LATE_S <= at - max((attempt for attempt in attempts if attempt <= at), default=at) <= GIVEN_UP_S
            for at in arrived
        ):
            return True
        if any(first <= ended and begun <= last for begun, ended in self._evidence.late_stream):
            return True
        return any(
            act.family in STORES_AGAIN and first <= act.ended and act.begun <= last for act in self._evidence.acts
        )

    # --- came out again -----------------------------------------------------------------------------------------

    def charge(self) -> list[Charged]:
        """Every copy beyond the first, with its cause."""
        return [copy for event_id, ends in self._ends.items() for copy in self._copies(event_id, ends)]

    def _copies(self, event_id: str, ends: list[Delivery | Letter]) -> Iterator[Charged]:
        places, came, spare = len(self._stored.get(event_id, [])), 1, ""
        for before, copy in pairwise(ends):
            restarted, too_old = self._restart(event_id, before, copy)
            if restarted:
                came, spare = 1, ""  # a reader that begins anew gets every place of the event again
            if not before.is_answered:
                yield Charged(event_id, copy.at, "answer lost")
            elif restarted:
                yield restarted
            elif came < places:
                # Which of the places it is nobody knows: it may be the call again whose answer was lost.
                came, spare = came + 1, spare or self._unheard(before.at)
                yield Charged(event_id, copy.at, "stored twice")
            elif cause := self._unheard(before.at) or spare:
                spare = ""
                yield Charged(event_id, copy.at, cause)
            elif too_old:
                yield Charged(event_id, copy.at, "copy older than its kill allows", text=too_old)
            else:
                text = f"accepted again after {copy.at - before.at:.1f} s"
                yield Charged(event_id, copy.at, "copy without a cause", text=text)

    def _restart(self, event_id: str, before: Delivery | Letter, copy: Delivery | Letter) -> tuple[Charged | None, str]:
        """What made the reader begin anew in between, if it explains the copy; why it does not where it is too old."""
        places = self._stored.get(event_id, [])
        too_old = ""
        for act, cause, at in self._restarts(places, before.at, copy.at):
            over_s = self._over_s(places, before.at, at)
            if over_s <= 0:
                return Charged(event_id, copy.at, cause, act), ""
            too_old = f"{cause}: accepted {at - before.at:.1f} s before, {over_s:.1f} s more than is allowed"
        return None, too_old

    def _unheard(self, at: float) -> str:
        """Why the answer that was given then may have reached nobody, "" where nothing was in its way."""
        for act in self._evidence.acts:
            cut = act.family == "wire sink" and act.what in ("reset", "refuse", "blackhole")
            if cut and act.begun - SLACK_S <= at <= act.ended + SLACK_S:
                return "answer lost"
            if _stops_a_child(act) and act.begun - CALL_S <= at <= act.ended + SLACK_S:
                return "answer too late"
        return ""

    def _restarts(
        self, places: list[tuple[str, int]], before: float, copy: float
    ) -> list[tuple[int | None, str, float]]:
        """What made a shard's reader begin anew between the two, as (act's place, cause, when)."""
        shards = {shard for shard, _ in places}
        result: list[tuple[int | None, str, float]] = []
        for place, act in enumerate(self._evidence.acts):
            if act.workers and before <= act.ended + AFTER_S and act.begun <= copy and self._concerns(act, shards):
                result.append((*self._behind(place, act), act.begun))
        owner: dict[str, str] = {}
        for candidate in self._evidence.owners:
            if (
                candidate.shard in shards
                and owner.get(candidate.shard, candidate.worker) != candidate.worker
                and before - HAND_OFF_S <= candidate.at <= copy
            ):
                result.append((None, "lease move", candidate.at))
            owner[candidate.shard] = candidate.worker
        return sorted(result, key=lambda item: item[2])

    def _behind(self, place: int, act: Act) -> tuple[int | None, str]:
        """Of a child that was seen to end: what ended it, as far as it was one of our acts on its worker."""
        if act.family != CHILD_ENDED:
            return place, act.family.partition(" ")[0]
        for earlier in range(len(self._evidence.acts) - 1, -1, -1):
            item = self._evidence.acts[earlier]
            ours = item.family != CHILD_ENDED and set(item.workers) & set(act.workers)
            if ours and item.begun <= act.ended <= item.ended + DAEMON_ENDS_S:
                return earlier, item.family.partition(" ")[0]
        return None, "lease move"

    def _concerns(self, act: Act, shards: set[str]) -> bool:
        """Whether a worker of the act's had one of the shards then, as far as the lease table says."""
        owner: dict[str, str] = {}
        for item in self._evidence.owners:
            if item.at <= act.begun + AFTER_S:
                owner[item.shard] = item.worker
        return any(owner.get(shard, act.workers[0]) in act.workers for shard in shards)

    # --- how old a copy may be ----------------------------------------------------------------------------------

    def _over_s(self, places: list[tuple[str, int]], accepted: float, killed: float) -> float:
        """By how much a copy is older than is allowed: at most 0 where it is not."""
        held = list(self._holding)
        for shard, sequence in places:
            held += [(begun, ended) for begun, ended, earlier in self._unsettled.get(shard, []) if earlier <= sequence]
        return killed - accepted - _covered(held, accepted, killed) - CHECKPOINT_S - SLACK_S

    def _spans(self) -> dict[str, list[tuple[float, float, int]]]:
        """By shard: from when to when an event was in trouble, and its sequence number. Trouble may come again."""
        troubles: dict[str, list[float]] = {}
        for at, event_id, _ in self._evidence.refusals:
            troubles.setdefault(event_id, []).append(at)
        for event_id, ends in self._ends.items():
            troubles.setdefault(event_id, []).extend(end.at for end in ends if not end.is_answered)
        result: dict[str, list[tuple[float, float, int]]] = {}
        for event_id, times in troubles.items():
            ended = 0.0
            for begun in sorted(times):
                if begun < ended:
                    continue
                is_answered = [
                    item.at for item in self._ends.get(event_id, []) if item.is_answered and item.at >= begun
                ]
                ended = min(is_answered, default=float("inf"))
                if ended - begun >= UNSETTLED_S:
                    for shard, sequence in self._stored.get(event_id, []):
                        result.setdefault(shard, []).append((begun, ended, sequence))
        return result


def _stops_a_child(act: Act) -> bool:
    return act.family.startswith("stop ") and act.family != "stop receiver"


def _holds(act: Act) -> bool:
    """Whether the checkpoint may stand still meanwhile. Latency and a narrow line only slow it down."""
    silent = act.family in ("wire dynamodb", "wire sink") and act.what in ("blackhole", "refuse")
    return silent or act.family == "sqs down" or _stops_a_child(act)


def _covered(spans: list[tuple[float, float]], begun: float, ended: float) -> float:
    """How much of a time these spans cover together."""
    covered, upto = 0.0, begun
    for first, last in sorted(spans):
        length = min(last, ended) - max(first, upto)
        if length > 0:
            covered += length
            upto = min(last, ended)
    return covered
