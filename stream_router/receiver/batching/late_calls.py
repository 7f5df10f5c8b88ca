"""A call that is given up in time may end later: its connection then opens all the same, and is kept for the next one.

libcurl closes a connection with the call that opens it. Where that takes longer than a call has (a far region over
TLS), each call would open one anew and none would ever be sent. With a spill this is not needed: what is sent from
there has time, and opens connections for the others.
"""

import asyncio
from collections.abc import Callable

from stream_router.errors import Answer
from stream_router.receiver.batching.putrecords_calls import PATIENT_TIMEOUT_S, Send

MAX_LATE = 16
"""So many at once, begun or given up: a stream that hangs must not take all sockets."""
MAX_LATE_BYTES = 256 * 1024
"""Of a larger body there is no room for copies that nobody waits for."""
GIVEN_UP = "curl 28: given up, and left to open its connection"


class LateCalls:
    """Sends as `send` does; a call is told as given up at its own time, and has five seconds to end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Send) -> None:
        self._loop = loop
        self._send = send
        self._late = 0

    def start(self, body: bytes, timeout_s: float, done: Callable[[Answer], None]) -> None:
        """Begin one call; `done` is called with its answer, at the latest after `timeout_s`, once."""
        if timeout_s >= PATIENT_TIMEOUT_S or len(body) > MAX_LATE_BYTES or self._late >= MAX_LATE:
            self._send(body, timeout_s, done)
            return
        self._late += 1
        waits = True

        def tell(answer: Answer) -> None:
            nonlocal waits
            waits, told_before = False, not waits
            if not told_before:
                done(answer)

        def end(answer: Answer) -> None:
            self._late -= 1
            timer.cancel()
            tell(answer)

        timer = self._loop.call_later(timeout_s, tell, Answer(0, b"", {}, GIVEN_UP))
        self._send(body, PATIENT_TIMEOUT_S, end)
