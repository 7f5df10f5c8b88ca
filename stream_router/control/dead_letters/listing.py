"""`stream-router dlq list`: what is in the queue, counted; each message is looked at once and given back."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple

from stream_router.control.dead_letters import telling
from stream_router.control.dead_letters.desk import Depth, Desk, tell_still_hidden
from stream_router.control.dead_letters.queue.gathering import Patience
from stream_router.control.dead_letters.queue.held import Held
from stream_router.control.dead_letters.queue.messages import Messages
from stream_router.control.dead_letters.queue.selection import Selection
from stream_router.control.dead_letters.telling import Bar, Interrupt, say
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.reader import Letter, UnreadableLetterError
from stream_router.process import iso

AGES = ((60, "under a minute"), (3600, "under an hour"), (86_400, "under a day"), (604_800, "under a week"))
SIZES = ((1024, "under 1 KiB"), (65_536, "under 64 KiB"), (1_048_577, "up to 1 MiB"))
GIVE_BACK_WITHIN_S = 30.0

SAMPLE = 1_000
"""Messages that `list` looks at: a thousand dead letters are mostly one mistake, and a look hides them from others."""


class Counts:
    """The counts of a look; `oldest_ms` and `newest_ms` are when the message was sent (epoch ms)."""

    def __init__(self) -> None:
        self.by: dict[str, Counter[str]] = {}
        self.oldest_ms = self.newest_ms = 0
        self.taken = self.unselected = 0

    def add(self, sent_ms: int, now_ms: float, **values: str) -> None:
        """One message that is meant."""
        self.taken += 1
        age_s = max(0.0, now_ms - sent_ms) / 1000
        for name, value in {**values, "age": _step(age_s, AGES, "a week and more")}.items():
            self.by.setdefault(name, Counter())[value] += 1
        self.oldest_ms = min(self.oldest_ms or sent_ms, sent_ms)
        self.newest_ms = max(self.newest_ms, sent_ms)

    def unread(self, selection: Selection, sent_ms: int, **why: str) -> None:
        """One message that cannot be read."""
        if selection.takes_unread(sent_ms):
            self.add(sent_ms, time.time() * 1000, **why)
        else:
            self.unselected += 1

    def tell(self, selection: Selection) -> None:
        """By reason first, then the rest."""
        if selection != Selection():
            say(f"{self.taken:,} of them are meant, {self.unselected:,} are not")
        for name, counts in self.by.items():
            telling.counted(f"by {name.replace('_', ' ')}:", counts)
        if self.taken:
            say(f"oldest {iso(self.oldest_ms)}\nnewest {iso(self.newest_ms)}")


class Seen(NamedTuple):
    """How a look at a queue went: so many of about so many."""

    messages: int
    depth: Depth

    def tell(self, queue: str) -> None:
        """What nobody can know better, since SQS shows a part and hides what others hold."""
        about = max(self.depth.visible, self.messages)
        say(f"{queue}: sampled {self.messages:,} of about {about:,}" + (
            f"; {self.depth.hidden:,} more are held by another reader at present" if self.depth.hidden else ""
        ))  # fmt: skip


def look(desk: Desk, most: int, take: Callable[[Held], bool], asked: Callable[[], bool]) -> Seen:
    """Show each message of the queue to `take` once, up to `most` or until it says that it has seen enough.

    Everything is given back after it. Raises QueueUnreadableError.
    """
    depth, messages = desk.depth(), desk.messages
    seen, enough, patience = 0, False, Patience(messages)
    try:
        with giving_back(messages), Bar("looked at") as bar:
            while not (enough or messages.dry or seen >= most or asked()):
                messages.keep_receiving()
                messages.turn(0.25)
                for held in messages.take()[: most - seen]:
                    seen += 1
                    enough = take(held) or enough
                    held.body = ""
                bar.at(seen, max(depth.visible, seen))
                patience.look()
    finally:
        tell_still_hidden(messages)
    return Seen(seen, depth)


def look_and_tell(desk: Desk, take: Callable[[Held], bool], counts: Counts, selection: Selection) -> int:
    """Look at a sample of the queue, and say what `take` has counted. 0, or 1 if it was broken off.

    Raises QueueUnreadableError.
    """
    asked = Interrupt()
    look(desk, SAMPLE, take, asked).tell(desk.messages.name)
    counts.tell(selection)
    return 1 if asked() else 0


@contextlib.contextmanager
def giving_back(messages: Messages) -> Iterator[None]:
    """Whatever ends the block gives back what is held, but for a second Ctrl-C, which ends at once."""
    try:
        yield
    except Exception:
        give_back(messages)
        raise
    give_back(messages)


def give_back(messages: Messages) -> None:
    """Whatever is held, or still on its way to us, is shown to others again."""
    until = messages.now() + GIVE_BACK_WITHIN_S
    while messages.receiving and messages.now() < until:
        messages.turn(0.25)
    messages.take()
    messages.give_back_all()
    messages.see_through(GIVE_BACK_WITHIN_S)


def run(desk: Desk, selection: Selection) -> int:
    """The command. 0, or 1 where the queue cannot be read."""
    counts = Counts()

    def take(held: Held) -> bool:
        try:
            letter = reader.read(held.body, held.attributes)
        except UnreadableLetterError as error:
            counts.unread(selection, held.sent_ms, reason=f"unreadable: {error}")
            return False
        if selection.takes(letter, held.sent_ms):
            _count(counts, letter, held)
        else:
            counts.unselected += 1
        return False

    return look_and_tell(desk, take, counts, selection)


def _count(counts: Counts, letter: Letter, held: Held) -> None:
    part = f", part {letter.part.n} of {letter.part.of}" if letter.part else ""
    counts.add(
        held.sent_ms,
        time.time() * 1000,
        reason=letter.reason,
        reason_and_code=f"{letter.reason}  {letter.error.code}",
        event_type=letter.event_type or "(not known)",
        shard=letter.origin.shard_id or "(not known)",
        form=letter.record.encoding + part,
        size=_step(held.size_bytes, SIZES, "larger"),
        generation=str(letter.generation),
    )


def _step(value: float, steps: tuple[tuple[int, str], ...], beyond: str) -> str:
    return next((name for top, name in steps if value < top), beyond)


def age_of(iso_text: str, now_ms: float) -> str:
    """`3 h 20 min ago`; "" where the time is not known."""
    try:
        age_s = now_ms / 1000 - datetime.fromisoformat(iso_text).timestamp()
    except ValueError:
        return ""
    days, rest = divmod(int(max(0.0, age_s)), 86_400)
    hours, minutes = rest // 3600, rest % 3600 // 60
    return f"{days} d {hours} h ago" if days else f"{hours} h {minutes} min ago"
