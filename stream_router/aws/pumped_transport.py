"""The transport that its owner pumps: the child, between the stages of its pipeline."""

import time

from stream_router.aws.signed_calls import Done, SignedCalls
from stream_router.core.aws_answers import Answer

__all__ = ["Answer", "Done", "Transport"]

LINGER_S = 0.0005
"""How long `pump` lets further answers gather once the first is there: each wake-up asks every call in flight, and
answers taken one by one cost twice the CPU (benchmarks/child.py)."""


class Transport(SignedCalls):
    """Calls that move on when `pump` is called."""

    def pump(self, wait_s: float = 0.0) -> int:
        """Move every call on and deliver what is answered; the number of answers delivered.

        Waits up to `wait_s`, and half a millisecond for company, where nothing is answered yet; returns at once where
        nothing is in flight.
        """
        self._multi.perform()
        delivered = self._deliver()
        if not delivered and wait_s > 0 and self._busy:
            if self._multi.select(wait_s) > 0 and len(self._busy) > 1:
                time.sleep(LINGER_S)
            self._multi.perform()
            delivered = self._deliver()
        return delivered
