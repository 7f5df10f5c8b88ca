"""Says where a lease is lost that the lease table still gives to this worker: then another worker has its name.

Two workers of one name both read each shard. Nothing is lost, events go out two and three times, and all looks well.
"""

import logging
from collections.abc import Callable

from stream_router.consumer.child.progress.shard_end import LEASE, Ask, of_lease
from stream_router.errors import Answer, Refusal, of_read

log = logging.getLogger(__name__)

SHARED = (
    "the lease is lost, and the lease table still names this worker: another one has its name, or DynamoDB did not "
    "hear of this one in time"
)

ANSWERED_WITHIN_S = 2.0
LOOK_S = 0.25


class LostLease:
    """Call it with the shard whose lease is lost. `worker` is our own name, `table` the lease table.

    `wait` moves the call on; monotonic seconds.
    """

    def __init__(
        self, ask: Ask, table: str, worker: str, wait: Callable[[float], None], clock: Callable[[], float]
    ) -> None:
        self._ask = ask
        self._table = table
        self._worker = worker
        self._wait = wait
        self._clock = clock
        self._answers: list[Answer] = []

    def __call__(self, shard_id: str) -> None:
        """Ask whose the lease is now; where that is not told within two seconds, nothing is said."""
        self._ask(LEASE, of_lease(self._table, shard_id), self._answers.append)
        until = self._clock() + ANSWERED_WITHIN_S
        while not self._answers and self._clock() < until:
            self._wait(LOOK_S)
        if self._worker and self._answers and _owner(self._answers[-1]) == self._worker:
            log.warning(SHARED, extra={"event": "lease-lost-to-its-name", "shard": shard_id, "worker": self._worker})


def _owner(answer: Answer) -> str:
    """The lease's owner; "" where it has none, or AWS does not tell."""
    found = of_read(answer, "")
    return "" if isinstance(found, Refusal) else str(found.get("Item", {}).get("leaseOwner", {}).get("S", ""))
