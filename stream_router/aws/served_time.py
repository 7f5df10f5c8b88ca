"""What time it is by AWS's clock, as its answers told it, whatever becomes of ours."""

import mmap
import time
from collections.abc import Mapping
from typing import Any

from botocore.session import Session

from stream_router.errors import epoch_of


class ServedTime:
    """Kept beside a clock that nobody sets and that goes on while a machine sleeps. Processes share it that are forked.

    A machine that is paused from outside does not count its pause: each worker would have to hear of it by itself, and
    one to which every delivery is stale asks the stream nothing.
    """

    __slots__ = ("_ahead",)

    def __init__(self) -> None:
        self._ahead = memoryview(mmap.mmap(-1, 8)).cast("d")
        """By how many seconds AWS's clock is ahead of that one; 0 before anybody told."""

    @property
    def now_s(self) -> float | None:
        """Epoch seconds; None where nobody told."""
        ahead_s = self._ahead[0]
        return ahead_s + time.clock_gettime(time.CLOCK_BOOTTIME) if ahead_s else None

    def hear(self, date: str) -> None:
        """The Date of an answer that just came."""
        if served_s := epoch_of(date):
            self._ahead[0] = served_s - time.clock_gettime(time.CLOCK_BOOTTIME)

    def listen(self, session: Session) -> None:
        """Hear every answer that comes to clients which this session makes from now on."""
        session.register("response-received", self._answered)

    def _answered(self, response_dict: Any = None, **_: object) -> None:
        if response_dict:
            self.hear(str(response_dict["headers"].get("date", "")))


def of_answer(answer: Mapping[str, Any]) -> float:
    """What time it was by an answer of boto3's, or a refusal (epoch seconds); 0.0 where it bears none."""
    return epoch_of(str(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")))
