"""Publishes entries: full PutEvents calls, many in flight, each conversation in order where that is asked for.

What sends a call's bytes (`ClassicBus`, `V2Bus`) stands with the clients, in `consumer/destinations.py`.
"""

from collections.abc import Callable, Iterable

from stream_router.model import Entry, Reason
from stream_router.pipeline.delivery.dispatcher import Dispatcher
from stream_router.pipeline.delivery.dispatcher_contract import Ended, GivenUp, Policy
from stream_router.pipeline.delivery.health import Health
from stream_router.pipeline.delivery.retry_budget import Memory
from stream_router.pipeline.sinks.eventbridge.conversation_lanes import Lanes
from stream_router.pipeline.sinks.eventbridge.packer import fits
from stream_router.pipeline.sinks.eventbridge.putevents_calls import PutEventsCalls
from stream_router.process import failpoint

TOO_LARGE = GivenUp(Reason.OVERSIZE, "EntryTooLarge", "no PutEvents call can carry this entry", 0)


class Publisher:
    """Takes charge of entries until `collect` hands each back.

    An entry that is handed back as given up keeps its place in its conversation until it is said to be `ended`, or
    comes back by `again`.
    """

    def __init__(
        self,
        calls: PutEventsCalls,
        lanes: Lanes,
        policy: Policy,
        clock: Callable[[], float],
        random: Callable[[], float],
        health: Health | None = None,
        memory: Memory[Entry] | None = None,
    ) -> None:
        self.limits = calls.limits
        self._lanes = lanes
        self.dispatcher: Dispatcher[Entry] = Dispatcher(calls, policy, clock, random, health, memory)
        self._given_up: list[tuple[Entry, GivenUp]] = []

    @property
    def backlog(self) -> int:
        """Entries not yet collected as accepted, nor said to be ended."""
        return self.dispatcher.backlog + len(self._lanes) + len(self._given_up)

    @property
    def only_sick(self) -> bool:
        """Whether all that is under way is in trouble of its own, or suspected, or waits behind such an entry."""
        return 0 < self.dispatcher.backlog <= self.dispatcher.budgets.sick + len(self.dispatcher.suspects)

    def submit(self, entries: Iterable[Entry]) -> None:
        """Take charge of `entries`; full calls start at once where the gate allows."""
        self._admit(self._lanes.enter(entries))
        self.dispatcher.advance(flush=False)

    def again(self, entry: Entry) -> None:
        """An entry that was given up comes back in a form that a call can carry."""
        self.dispatcher.submit([entry])

    def ended(self, entry: Entry, why: GivenUp) -> None:
        """An entry that was given up found its end elsewhere: the next of its conversation may go.

        In an outage that is given up for, it is given up too: it waited as long.
        """
        freed = self._lanes.leave((entry,))
        if why.reason is Reason.OUTAGE:
            self._given_up += [(one, why._replace(attempts=0)) for one in freed]
        else:
            self._admit(freed)

    def shut(self, entry: Entry) -> None:
        """An entry that was given up stays unsettled: nothing of its conversation is sent any more, nor waited for."""
        self._lanes.shut(entry)

    def collect(self) -> Ended[Entry]:
        """What came back since the last time. What follows accepted entries in their conversations may go now."""
        accepted, given_up, retried, took_s = self.dispatcher.collect()
        if accepted:
            failpoint("after_accept_before_settle")
        for entries in accepted:
            self._admit(self._lanes.leave(entries))
        here, self._given_up = self._given_up, []
        return Ended(accepted, [*given_up, *here], retried, took_s)

    @property
    def collectable(self) -> bool:
        """Whether `collect` has anything to hand back."""
        return self.dispatcher.collectable or bool(self._given_up)

    def _admit(self, entries: list[Entry]) -> None:
        """Entries whose turn it is: what a call can carry waits for the next one, the rest is given up."""
        if entries:
            fitting, oversize = fits(entries, self.limits)
            self.dispatcher.enqueue(fitting)
            self._given_up += [(entry, TOO_LARGE) for entry in oversize]
