"""What `dlq redrive` was asked for, and what it says at its end: what was done, what was not, its exit status."""

from collections import Counter
from typing import NamedTuple

from stream_router.control.dead_letters import telling
from stream_router.control.dead_letters.queue.gathering import Gathering
from stream_router.control.dead_letters.queue.messages import Messages
from stream_router.control.dead_letters.redriving.settling import Tally
from stream_router.control.dead_letters.telling import say, warn
from stream_router.control.lines import count_of


class How(NamedTuple):
    """How to redrive, an option each; `--undelivered` gets the same.

    `rate` is events a second, 0 for no bound; `limit` letters, 0 for no limit; `take_all`: those too that came back
    from five redrives.
    """

    rate: float
    limit: int
    dry_run: bool
    take_all: bool
    yes: bool


class Words(NamedTuple):
    """What is said of an event that was settled, and of one that was refused."""

    done: str
    failed: str


class Summary(NamedTuple):
    """What one redrive saw. `types` are those that would go out, None where it was no dry run, or was refused.

    `left` letters were eligible, or not tried, when it ended; `ended`: why it did not go to its end.
    """

    words: Words
    gathering: Gathering
    skipped: Counter[str]
    unavailable: Counter[str]
    eligible: int
    types: Counter[str] | None
    left: int
    ended: str

    def tell(self, tally: Tally, messages: Messages, how: How, asked_for: str) -> int:
        """Say it all. 0, or 1 where something was not done; `asked_for` is the id of --id."""
        say(f"selected {self.eligible + (self.skipped + self.unavailable).total():,}, eligible {self.eligible:,}")
        telling.tell_copies(self.gathering.copies)
        telling.counted("skipped", self.skipped)
        if self.unavailable:
            telling.counted("could not be tried", self.unavailable)
        if not how.dry_run:
            say(f"{self.words.done} {tally.redriven:,}")
        if self.types is not None:
            telling.counted(f"would be {self.words.done}", self.types)
        if tally.failed_again:
            telling.counted(self.words.failed, tally.failed_again)
        if self.left:
            say(f"left in the queue {self.left:,}")
        if self.ended:
            warn(f"stream-router dlq: {self.ended}")
        if tally.unproven:
            warn(
                f"stream-router dlq: {count_of(tally.unproven, 'event')} of these EventBridge accepted, but the bus "
                "was not seen to exist after it: not settled, so the next redrive publishes them again"
            )
        self._warn_of_undeleted(messages)
        undone = tally.failed_again or self.left or self.ended or self.unavailable or self._warn_of_unmet(asked_for)
        undone = self._warn_of_others(tally.failed_again) or undone
        return 1 if undone or messages.undeleted or messages.unanswered else 0

    def _warn_of_unmet(self, asked_for: str) -> bool:
        """Whether of an event that was asked for by name no letter can be redriven."""
        if not asked_for or self.eligible:
            return False
        unseen = f"no dead letter of {asked_for} was seen that is meant; see stream-router find {asked_for}"
        tried = self.skipped - self.gathering.skipped  # what cannot be read may be anybody's
        warn(f"stream-router dlq: {f'of {asked_for} nothing can be redriven' if tried else unseen}")
        return True

    def _warn_of_others(self, put_back: Counter[str]) -> bool:
        """Whether letters were passed over for having failed again just now, and more of them than we `put_back`."""
        others = self.gathering.failed_since - put_back.total()
        if others > 0:
            warn(
                f"stream-router dlq: {count_of(others, 'dead letter')} failed again after this redrive began, in "
                "another redrive or by a clock that is ahead of this host's: not taken, so redrive again"
            )
        return others > 0

    def _warn_of_undeleted(self, messages: Messages) -> None:
        if messages.undeleted:
            warn(
                f"stream-router dlq: {count_of(messages.undeleted, 'message')} could not be deleted "
                f"({messages.trouble or 'no answer'}) though {self.words.done}: allow sqs:DeleteMessage, or the next "
                "redrive sends them again"
            )
