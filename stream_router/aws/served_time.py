"""What time it is by AWS's clock, as its answers told it, whatever becomes of ours."""

import time
from typing import Any

from botocore.session import Session

from stream_router.core.aws_answers import epoch_of


class ServedTime:
    """Kept beside a clock that nobody sets and that goes on while a machine sleeps."""

    __slots__ = ("_ahead_s",)

    def __init__(self) -> None:
        self._ahead_s: float | None = None

    @property
    def now_s(self) -> float | None:
        """Epoch seconds; None where nobody told."""
        return None if self._ahead_s is None else self._ahead_s + time.clock_gettime(time.CLOCK_BOOTTIME)

    def hear(self, date: str) -> None:
        """The Date of an answer that just came."""
        if served_s := epoch_of(date):
            self._ahead_s = served_s - time.clock_gettime(time.CLOCK_BOOTTIME)

    def listen(self, session: Session) -> None:
        """Hear every answer that comes to clients which this session makes from now on."""
        session.register("response-received", self._answered)

    def _answered(self, response_dict: Any = None, **_: object) -> None:
        if response_dict:
            self.hear(str(response_dict["headers"].get("date", "")))
