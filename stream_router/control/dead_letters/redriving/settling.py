"""Redrives letters that are in hand: publishes, deletes what is settled, puts back what failed again.

A message is deleted only once its event is settled (accepted, and the bus proven after it), or once a letter that says
how it failed again is stored in its place. Whatever happens in between, a kill included, the message is still there.
"""

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple, Self

from stream_router.control.dead_letters.queue import put_back
from stream_router.control.dead_letters.queue.messages import Messages
from stream_router.control.dead_letters.redriving.trial import Trial, Tries
from stream_router.control.republish.patience import PATIENCE_S
from stream_router.control.republish.republisher import Outcome, Republisher, why_nothing_ends, why_refused
from stream_router.model import DeadLetter, Reason
from stream_router.pipeline.sinks.dead_letters.queue import DeadLetters
from stream_router.process import failpoint

END_WITHIN_S = 40.0
"""How long letters that go back may take at the end, and at most the next of the deletes."""

MARGIN_S = 20.0
"""A message that is hidden for less than this is not begun with: another reader may have it before its call ends."""


class Tally:
    """What became of the letters. `unproven` events were accepted by a bus that was not seen to exist after it."""

    def __init__(self) -> None:
        self.redriven = self.left = self.unproven = 0
        self.failed_again: Counter[str] = Counter()
        self.ended_because = ""


class _Job:
    """One letter that is being published. `pending` is how many of its events have no outcome yet."""

    __slots__ = ("failure", "pending", "trial")

    def __init__(self, trial: Trial, pending: int) -> None:
        self.trial = trial
        self.pending = pending
        self.failure: DeadLetter | None = None


class Means(NamedTuple):
    """With what letters are redriven. `again` sends letters back; without it one that failed again stays as it is."""

    messages: Messages
    trials: Tries
    republisher: Republisher
    again: DeadLetters | None


class Redriving:
    """Redrives rounds of letters. `asked_to_stop` is looked at all the time; `progress` gets each letter that ended.

    Use it with `with`: whatever ends it gives back what is held, but for a second Ctrl-C, which ends at once: what is
    held then is hidden for some minutes more.
    """

    def __init__(
        self,
        means: Means,
        asked_to_stop: Callable[[], bool],
        progress: Callable[[Tally], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._to = means
        self._asked_to_stop = asked_to_stop
        self._progress = progress
        self._clock = clock
        self._jobs: dict[int, _Job] = {}
        self._going_back: dict[int, _Job] = {}
        self._moved_at = clock()
        self.tally = Tally()
        self.patience_s = PATIENCE_S

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not KeyboardInterrupt:
            self.close()

    @property
    def ended(self) -> bool:
        """Whether no further round makes sense."""
        return bool(self.tally.ended_because)

    def round(self, eligible: list[Trial]) -> None:
        """Redrive these, in order. Returns once all have ended, or it was stopped: what is left then is left."""
        waiting, self._moved_at = deque(eligible), self._clock()
        while waiting or self._jobs or self._going_back:
            if not self.ended and (why := self._why_stop()):
                self._stop(why)
            if self.ended:
                self.tally.left += len(waiting)
                waiting.clear()
                if self._is_quiet():
                    break
            # What cannot be deleted would go out again with the next redrive.
            while waiting and self._to.republisher.has_room and not self._to.messages.deletes_nothing:
                self._begin(waiting.popleft())
            for outcome in self._to.republisher.turn(0.25):
                self._hear(outcome)
            self._move_letters()
            self._progress(self.tally)
        self.tally.left += len(self._jobs) + len(self._going_back)
        self.tally.unproven = 0 if self._to.republisher.bus_gone else self._to.republisher.unproven
        self._jobs.clear()
        self._going_back.clear()

    def close(self) -> None:
        """See deletes through, and give back everything that is still held."""
        self._to.messages.give_back_all()
        self._to.messages.see_through(END_WITHIN_S)

    def _why_stop(self) -> str:
        republisher = self._to.republisher
        if self._asked_to_stop():
            return "broken off: what was in flight has ended, the rest stays in the queue"
        if republisher.bus_gone:
            return "the event bus is gone: what is not settled stays in the queue; run `stream-router setup`"
        if self._clock() - self._moved_at > self.patience_s:
            return f"nothing more ends ({self._why_nothing_ends()}): the rest stays in the queue; try again later"
        return ""

    def _why_nothing_ends(self) -> str:
        again, messages = self._to.again, self._to.messages
        if messages.deletes_nothing:
            return f"SQS deletes nothing: {messages.trouble}"
        back = again.trouble if again and self._going_back else ""
        return back or why_nothing_ends(self._to.republisher) or messages.trouble or "no answer"

    def _stop(self, why: str) -> None:
        self.tally.ended_because = why
        self._to.republisher.stop()
        self._moved_at = self._clock()

    def _is_quiet(self) -> bool:
        """After a stop: nothing in flight, nothing that waits for the bus's proof, no letter on its way back."""
        republisher = self._to.republisher
        waits = republisher.unproven and not republisher.bus_gone
        over = self._clock() - self._moved_at > END_WITHIN_S
        return over or not (republisher.in_flight or waits or self._going_back)

    def _begin(self, trial: Trial) -> None:
        now = self._clock()
        if any(held.lost or held.hidden_until - now < MARGIN_S for held in trial.whole.messages):
            self.tally.left += 1
            return
        entries = self._to.trials.entries(trial)
        if not entries:
            self.tally.left += 1
            return
        self._jobs[trial.number] = _Job(trial, len(entries))
        self._to.republisher.publish(entries)

    def _hear(self, outcome: Outcome) -> None:
        number = outcome.event.record.sequence_number
        job = self._jobs[number]
        job.pending -= 1
        job.failure = job.failure or outcome.failure
        self._moved_at = self._clock()
        if job.pending:
            return
        del self._jobs[number]
        if job.failure is None:
            self.tally.redriven += 1
            failpoint("redrive_settled_before_deleted")
            self._to.messages.delete(job.trial.whole.messages)
        elif job.failure.reason is Reason.OUTAGE:
            self.tally.left += 1
            if not self.ended:
                self._stop(f"{why_refused(job.failure.code)}; the rest stays in the queue")
        else:
            self._failed_again(job, job.failure)

    def _failed_again(self, job: _Job, failure: DeadLetter) -> None:
        if self._to.again is None:
            self.tally.failed_again[_why(failure)] += 1
            return
        trial = job.trial
        self._going_back[trial.number] = job
        self._to.again.submit([put_back.failed_again(failure, trial.whole.letter, trial.raw, trial.number)])

    def _move_letters(self) -> None:
        if self._to.again is not None:
            self._to.again.dispatcher.advance(flush=True)
        for stored in self._to.again.collect() if self._to.again else ():
            failpoint("failed_again_stored_before_deleted")
            job = self._going_back.pop(stored.event.record.sequence_number)
            assert job.failure
            self.tally.failed_again[_why(job.failure)] += 1
            self._to.messages.delete(job.trial.whole.messages)
            self._moved_at = self._clock()
        self._to.messages.advance()


def _why(failure: DeadLetter) -> str:
    return f"{failure.reason.value} ({failure.code})"
