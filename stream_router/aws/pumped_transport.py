"""The transport that its owner pumps: the child, between the stages of its pipeline."""

import select
import time
from collections.abc import Sequence

from stream_router.aws.signed_calls import SignedCalls

LINGER_S = 0.0005
"""How long `pump` lets further answers gather once the first is there: each wake-up asks every call in flight, and
answers taken one by one cost twice the CPU (benchmarks/child.py)."""


class Transport(SignedCalls):
    """Calls that move on when `pump` is called."""

    def pump(self, wait_s: float = 0.0, others: Sequence[int] = ()) -> Sequence[int]:
        """Move every call on and deliver what is answered, once; those of `others` that can be read.

        Where nothing is answered yet it waits up to `wait_s`, for an answer or for one of `others` (file descriptors),
        and half a millisecond more for company.
        """
        if self._busy or self._unanswered:
            self._multi.perform()
            if self._deliver():
                wait_s = 0.0
        if wait_s <= 0:
            return ()
        return self._wait(wait_s, others)

    def _wait(self, wait_s: float, others: Sequence[int]) -> Sequence[int]:
        if not self._busy:
            return select.select(others, (), (), wait_s)[0]
        reading, writing, failing = self._multi.fdset()
        soonest_ms = self._multi.timeout()
        if soonest_ms >= 0:
            wait_s = min(wait_s, soonest_ms / 1000)
        readable, writable, failed = select.select([*reading, *others], writing, failing, wait_s)
        answered = len(readable) + len(writable) + len(failed)
        ready = [fd for fd in others if fd in readable] if answered else []
        if answered > len(ready) and len(self._busy) > 1:
            time.sleep(LINGER_S)
        self._multi.perform()
        self._deliver()
        return ready
