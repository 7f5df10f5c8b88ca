"""When the event bus was last proven to exist: by the supervisor, or, where a child runs alone, by its own question.

A bus that was gone and is there again proves nothing of what was sent in between: a classic bus that is gone answers
success to everything. So the first word that it is gone is the last word. Between two questions its time of creation
tells.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

from stream_router.errors import ABSENT, Answer, Refusal, of_describe_event_bus
from stream_router.process import write_whole

log = logging.getLogger(__name__)

BUS_PROOF, BUS_UNASKED, BUS_GONE = "bus-proof", "bus-unasked", "bus-gone"

ASK_EVERY_S = 10.0
ASK_AGAIN_S = 1.0
STALE_S = 15.0
"""The supervisor proves every 10 s; a proof older than this means that it does not, or cannot."""

UNASKED_SPAN_S = 1800.0
"""How long events go on to a bus that accepts them while it cannot be asked: a shorter outage of the control plane
alone stops nothing."""

SAME_WITHIN_S = 1.0
"""Answers are read by two libraries, which round differently."""


class SeenBus:
    """Tells a bus that was deleted and made again from the one before, by its time of creation (epoch seconds)."""

    def __init__(self) -> None:
        self._made_s = 0.0

    def is_another(self, made_s: float) -> bool:
        """Whether this answer is of another bus than the last one; 0.0 (an emulator that does not tell) is of any."""
        known_s, self._made_s = self._made_s, made_s or self._made_s
        return bool(known_s and made_s) and abs(made_s - known_s) >= SAME_WITHIN_S


class BusProof:
    """The latest proof, as the monotonic time (seconds) before which whatever was accepted had a bus to go to.

    It never moves again once `gone`: the process has to end, so that what is not proven comes again. `ask` sends one
    DescribeEventBus and calls back with the answer.
    """

    def __init__(
        self,
        state_dir: Path | None,
        ask: Callable[[Callable[[Answer], None]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = state_dir / BUS_PROOF if state_dir else None
        self._ask = ask
        self._clock = clock
        self._own = self._latest = -STALE_S
        self._asked = -ASK_EVERY_S
        self._asking = self._unanswered = False
        self._seen = SeenBus()
        self.gone = False
        """Whether the bus was found gone, by this child or by anybody who shares its state folder."""

    @property
    def supervised(self) -> bool:
        """Whether the supervisor asks for the bus, and has its answers."""
        return self._clock() - self._supervisors()[0] <= STALE_S

    @property
    def unasked(self) -> bool:
        """Whether the bus cannot be asked at present, by whoever asks it: the supervisor, or this child alone."""
        if self.supervised:
            return False
        return self._unanswered or self._is_marked(BUS_UNASKED) is True

    def latest(self) -> float:
        """The time of the latest proof; asks the bus itself, in the background, where nobody else does."""
        now, (word, made_s) = self._clock(), self._supervisors()
        if self.gone or self._may_be_gone() or self._remade(made_s):
            return self._latest
        if now - word > STALE_S and now - self._asked >= ASK_EVERY_S and not self._is_marked(BUS_UNASKED):
            # Not where the supervisor says that it has no answer: all children of all hosts would then ask, and keep a
            # control plane throttled that answers an account some 50 times a second.
            self.renew()
        self._latest = max(self._latest, word, self._own)
        return self._latest

    def renew(self) -> None:
        """Ask the bus now; the answer moves `latest` when it comes. One question at a time, and one a second."""
        if self._asking or self._clock() - self._asked < ASK_AGAIN_S:
            return
        self._asking = True
        asked = self._asked = self._clock()

        def answered(answer: Answer) -> None:
            self._asking = False
            found = of_describe_event_bus(answer)
            self._unanswered = isinstance(found, Refusal) and found.code not in ABSENT
            if isinstance(found, Refusal):
                if found.code in ABSENT:
                    self._lost()
                    self._mark_gone()
            elif not self._remade(found):
                self._own = asked

        self._ask(answered)

    def _lost(self) -> None:
        if not self.gone:
            self.gone = True
            log.error(
                "the event bus is gone: leaving; what was sent since it was last seen comes again",
                extra={"event": "child-left-bus-gone"},
            )

    def _remade(self, made_s: float) -> bool:
        if self._seen.is_another(made_s):
            self._lost()
            self._mark_gone()
        return self.gone

    def _may_be_gone(self) -> bool:
        """Whether anybody found it gone, or a disk in trouble does not tell: while nobody knows, nothing is proven."""
        marked = self._is_marked(BUS_GONE)
        if marked:
            self._lost()
        return self.gone or marked is None

    def _is_marked(self, name: str) -> bool | None:
        """Whether the supervisor, or another child, has set this marker; None where the disk does not tell."""
        with contextlib.suppress(OSError):
            return self._file is not None and self._file.with_name(name).exists()
        return None

    def _mark_gone(self) -> None:
        """Tell the other children: they must not take a bus that is made anew for the old one. Alone, none is there."""
        with contextlib.suppress(OSError):  # a disk in trouble: the supervisor asks and tells by itself
            if self._file and self._file.exists():
                write_whole(self._file.with_name(BUS_GONE), "gone\n")

    def _supervisors(self) -> tuple[float, float]:
        """The supervisor's proof, and when the bus of it was made (epoch seconds, 0.0 where that is not known)."""
        if self._file is None:
            return -STALE_S, 0.0
        try:
            proven, *made_s = map(float, self._file.read_text("utf-8").split())
        except (OSError, ValueError):
            return -STALE_S, 0.0
        return proven, made_s[0] if made_s else 0.0
