"""Takes dead letters out of the queue into our hands: decoded, selected, parts put together."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from stream_router.control.dead_letters.queue.held import Held
from stream_router.control.dead_letters.queue.messages import Messages
from stream_router.control.dead_letters.queue.selection import Selection
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.parts import PartsKey, join, parts_key
from stream_router.pipeline.sinks.dead_letters.reader import Letter, UnreadableLetterError

MAX_BYTES = 128 * 1024 * 1024
MAX_LETTERS = 10_000
"""What is in hand at once; the rest comes in further rounds."""

PATIENCE_S = 30.0
"""A queue that refuses every call for so long is not waited for."""


Read = Callable[[str, Mapping[str, str]], Letter]
"""What makes a letter of a message's body and attributes, or raises UnreadableLetterError."""


class QueueUnreadableError(Exception):
    """The queue cannot be read; the text says why and what to do."""


class QueueAbsentError(QueueUnreadableError):
    """There is no such queue."""


class Whole(NamedTuple):
    """One whole letter and the messages that carry it: one, or one for each part (copies of a part too)."""

    letter: Letter
    messages: list[Held]

    @property
    def sent_ms(self) -> int:
        """When it was sent (epoch ms), by the queue's own stamp."""
        return min(held.sent_ms for held in self.messages)

    @property
    def order(self) -> tuple[int, int, int]:
        """Oldest first: by the place in the stream, where sequence numbers grow with time."""
        at = self.letter.origin
        return at.sequence or 0, at.sub_sequence_number, at.line


class Gathering:
    """What is in hand. `skipped` counts messages that were not taken, by why; `unavailable` letters that are not whole.

    What failed again after `started_at` (ISO 8601) is not taken: one redrive would else wear out all its tries. Nor is,
    with `old_only`, what was sent since the command began: `came_later` counts it.
    """

    def __init__(
        self,
        messages: Messages,
        selection: Selection,
        started_at: str = "",
        read: Read = reader.read,
        *,
        old_only: bool = False,
    ) -> None:
        self._messages = messages
        self._selection = selection
        self._read = read
        self._started_at = started_at
        self._old_only = old_only
        self._parts: dict[PartsKey, list[tuple[Letter, Held]]] = {}
        self._places: dict[tuple[object, ...], int] = {}
        self.copies = 0
        """Messages that carry a copy of a letter that was in hand."""
        self.whole: list[Whole] = []
        self.skipped: Counter[str] = Counter()
        self.unavailable: Counter[str] = Counter()
        self.unselected = 0
        self.failed_since = 0
        """Letters that failed again after `started_at`: put back by us, by another redrive, or under a clock ahead."""
        self.came_later = 0
        self.seen = 0
        """Messages that were looked at, each once."""
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether no more should be taken in hand in this round."""
        return len(self.whole) >= MAX_LETTERS or self._bytes >= MAX_BYTES

    def gather(self, on: Callable[[], bool], most: int = 0, *, limit_seen: int = 0) -> None:
        """Receive until nothing more comes, `most` whole letters are in hand, or `on` says no.

        `limit_seen` ends it after so many messages. Raises QueueUnreadableError.
        """
        patience = Patience(self._messages)
        while on() and not self.is_full and not self._messages.dry:
            if (most and len(self.whole) >= most) or (limit_seen and self.seen >= limit_seen):
                break
            self._messages.keep_receiving()
            self._messages.turn(0.25)
            self._sort(self._messages.take())
            patience.look()
        # What is still under way is held too, as soon as it comes.
        while self._messages.receiving:
            self._messages.turn(0.25)
            self._sort(self._messages.take())

    def end(self) -> None:
        """Letters of which a part is missing, which others may have in hand, are not whole: if nothing more comes."""
        if self._parts and self._messages.dry:  # else a limit or a stop came before the part
            self.unavailable["a part of it is missing"] += len(self._parts)
        self._parts.clear()

    def take_round(self) -> list[Whole]:
        """What is in hand now, oldest first, and room for the next round."""
        self._settle_parts()
        taken, self.whole = sorted(self.whole, key=lambda one: one.order), []
        self._bytes = 0
        self._places.clear()
        return taken

    def _sort(self, received: list[Held]) -> None:
        for held in received:
            self.seen += 1
            try:
                letter = self._read(held.body, held.attributes)
            except UnreadableLetterError as error:
                if self._selection.takes_time(held.sent_ms):  # by all else it may be anybody's
                    self.skipped[f"unreadable: {error}"] += 1
                else:
                    self.unselected += 1
            else:
                self._take(letter, held)
            held.body = ""

    def _take(self, letter: Letter, held: Held) -> None:
        just_now = self._started_at and letter.generation and letter.failed_at >= self._started_at
        if not self._selection.takes(letter, held.sent_ms):
            self.unselected += 1
            return
        if just_now:
            self.failed_since += letter.part is None or letter.part.n == 1
            return
        if self._old_only and held.came_later:
            self.came_later += 1
            return
        self._bytes += held.size_bytes
        if letter.part is None or letter.part.of == 1:
            self._add(Whole(letter, [held]))
            return
        key = parts_key(letter)
        parts = self._parts.setdefault(key, [])
        parts.append((letter, held))
        if (joined := join(part for part, _ in parts)) is not None:
            del self._parts[key]
            self._add(Whole(joined, [one for _, one in parts]))
            self.copies += len(parts) - letter.part.of

    def _settle_parts(self) -> None:
        """Parts of what is whole and in hand: of a form of it that was sent twice, or not to its end.

        Of what was edited two may differ: there it is a part of its very data.
        """
        for key, parts in [*self._parts.items()]:
            letter = parts[0][0]
            at = self._places.get(letter.copy_key) if letter.copy_key else None
            if at is None:
                continue
            before = self.whole[at]
            data = before.letter.record.data
            if letter.edited and not all(part.record.data in data for part, _ in parts):
                continue
            del self._parts[key]
            self.whole[at] = before._replace(messages=[*before.messages, *(one for _, one in parts)])
            self.copies += len(parts)

    def _add(self, new: Whole) -> None:
        """One letter more, or messages more of one that is in hand: sent twice, imported beside itself."""
        key = new.letter.copy_key
        at = self._places.get(key) if key else None
        if at is None or not reader.is_copy(self.whole[at].letter, new.letter):
            if key:
                self._places[key] = len(self.whole)
            self.whole.append(new)
            return
        before = self.whole[at]
        newest = max(before.letter, new.letter, key=lambda letter: letter.generation)
        self.whole[at] = Whole(newest, [*before.messages, *new.messages])
        self.copies += len(new.messages)


class Patience:
    """Knows for how long a queue refuses every call. One who receives from it looks after each turn."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._refused_since: float | None = None

    def look(self) -> None:
        """Raises QueueUnreadableError once that is longer than PATIENCE_S."""
        messages, now = self._messages, self._messages.now()
        self._refused_since = (self._refused_since or now) if messages.refused else None
        if self._refused_since is not None and now - self._refused_since > PATIENCE_S:
            raise QueueUnreadableError(
                f"the queue {messages.name} cannot be read ({messages.trouble}): "
                "allow sqs:ReceiveMessage, sqs:DeleteMessage and sqs:ChangeMessageVisibility on it, or try again later"
            )
