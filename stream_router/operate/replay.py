"""`stream-router replay`: events of the stream put on the stream again, which the consumer then publishes once more.

Each goes back as its line stood, under the same id, marked with this run (`metadata.replayed`); the consumer's mapping,
masking and settings apply. A run takes what was there when it began, and passes over what a replay put there.
"""

import secrets
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stream_router.aws.clients import Clients
from stream_router.envelope import Resubmitted, conversation_of, open_record, read_resubmitted, seal_line
from stream_router.log import plain
from stream_router.model import PROBE_TYPE, DeadLetter, Event, Record, event_id_as_typed
from stream_router.operate.console import Stop, count_of, say, stopping, write_line
from stream_router.operate.dry_run import counted, transform_of, type_of, would_be
from stream_router.operate.stream import LATE_MS, Piece, Span, Stream, UnreadableError, describe, read, span_of
from stream_router.operate.stream_writer import MOST_LINE_BYTES, Outgoing, StreamRefusesError, StreamWriter
from stream_router.process import iso, now_ms
from stream_router.settings import types
from stream_router.settings.common import NO_RULE
from stream_router.settings.operators import DeadLetters

DONE, NOT_ALL = 0, 1


class Wish(NamedTuple):
    """What the operator typed. `rate` is events a second, 0 for no bound."""

    since: str
    until: str | None
    event_types: Sequence[str]
    ids: Sequence[str]
    rate: float
    dry_run: bool
    yes: bool

    def again(self, span: Span, ids: Sequence[str]) -> str:
        """The command that replays the same over another span, to be pasted into a shell."""
        words = ["stream-router", "replay", "--since", iso(span.since_ms), "--until", iso(span.until_ms)]
        words += [word for name in self.event_types for word in ("--event-type", name)]
        words += [word for event_id in ids for word in ("--id", event_id)]
        return shlex.join([*words, "--rate", f"{self.rate:g}", *["--yes"] * self.yes])


def run(settings: DeadLetters, wish: Wish) -> int:
    """The command: 0, or 1 where something was refused, or is left. Raises SettingsError."""
    begun_ms = int(now_ms())
    span = span_of(wish.since, wish.until, begun_ms)
    if settings.rule == NO_RULE and not wish.yes and not wish.dry_run:
        say(
            "stream-router replay: STREAM_ROUTER_RULE is none: every rule on the bus that matches gets these events "
            "once more, and whether the one that missed them takes them now is not known here; add --yes to go on"
        )
        return NOT_ALL
    unknown = [name for name in wish.event_types if name not in settings.event_type_list]
    if unknown and settings.unroutable != "publish":
        say(
            f"stream-router replay: {', '.join(unknown)}: not in STREAM_ROUTER_EVENT_TYPES, so no event of it would be "
            "published; correct --event-type, or add it there"
        )
        return NOT_ALL
    clients = Clients(settings.aws_region)
    with stopping() as stop:
        try:
            stream = describe(clients.kinesis, settings.stream, span.since_ms, begun_ms)
        except UnreadableError as error:
            say(f"stream-router replay: {error}")
            return NOT_ALL
        return Replay(settings, wish, span, stream).run(clients, stop)


class Replay:
    """One run."""

    def __init__(self, settings: DeadLetters, wish: Wish, span: Span, stream: Stream) -> None:
        self._settings = settings
        self._wish = wish
        self._span = span
        self._stream = stream
        self._made = transform_of(settings)
        self._paths = types.paths(settings.partition_path)
        self._run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
        self._mark = Resubmitted("replay", settings.application, self._run, 1)
        self._ids = frozenset(map(event_id_as_typed, wish.ids))
        self._unmet = set(self._ids)
        self._why_unmet: dict[str, str] = {}
        self._taken = 0
        self._would, self._left_out = Counter[str](), Counter[str]()
        self._in_hand: dict[int, tuple[int, str]] = {}
        """Of the piece in hand what is not put: when each arrived (epoch ms), and its id."""
        self._read_to_ms: dict[str, int] = {}
        self._newest_ms: dict[str, int] = {}

    def run(self, clients: Clients, stop: Stop) -> int:
        """Everything, to the summary."""
        wish, why = self._wish, ""
        if not wish.dry_run:
            say(f"this is run {self._run}; if it is killed, say again: {wish.again(self._span, sorted(self._ids))}")
        settings = self._settings
        writer = StreamWriter(clients.kinesis_once, settings.stream, settings.buckets, wish.rate, stop)
        try:
            for piece in read(clients, self._stream, self._span, stop, lambda: f", {self._taken:,} put"):
                self._take(piece, writer)
                if stop.asked:
                    break
            why = "broken off" if stop.asked else ""
        except (UnreadableError, StreamRefusesError) as error:
            why = str(error)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise
        finally:  # whatever it ends by: only the summary says what was put, and how to go on
            status = self._tell(why)
        return status

    def _take(self, piece: Piece, writer: StreamWriter) -> None:
        """Put what is asked for of a piece back; what is not put when this ends stays in hand."""
        self._read_to_ms[piece.shard.shard_id] = piece.read_to_ms
        if piece.records:
            self._newest_ms[piece.shard.shard_id] = piece.records[-1].arrived_at_ms
        if self._wish.dry_run:
            for _ in self._outgoing(piece):
                self._taken += 1
            return
        for outgoing, _ in writer.put(list(self._outgoing(piece))):
            self._taken += 1
            assert isinstance(outgoing.token, int)
            del self._in_hand[outgoing.token]

    def _outgoing(self, piece: Piece) -> Iterator[Outgoing]:
        for record in piece.records:
            opened = Record(record.data, *record.position, record.arrived_at_ms)
            for found in open_record(opened):
                event = found.event if isinstance(found, DeadLetter) else found
                if self._ids and event.event_id not in self._ids:
                    continue
                if self._is_left_out(found, event):
                    continue
                line = seal_line(event.raw, event.event_id, event.id_from, event.received_at_ms, self._mark)
                if len(line) > MOST_LINE_BYTES:
                    self._leave_out(event, f"too large to be put back: a record has {MOST_LINE_BYTES:,} bytes")
                    continue
                token = len(self._in_hand)
                if self._wish.dry_run:
                    self._would[would_be(self._made(event))] += 1
                else:
                    self._in_hand[token] = (record.arrived_at_ms, event.event_id)
                self._unmet.discard(event.event_id)
                body = event.body if isinstance(event.body, dict) else {}
                yield Outgoing(line, conversation_of(body, event.event_id, self._paths), token)

    def _is_left_out(self, found: Event | DeadLetter, event: Event) -> bool:
        """Whether it is not to be put back; why not is counted, unless it is of a type that is not asked for."""
        told = read_resubmitted(event.resubmitted)
        why = ""
        if told and told.application != self._settings.application:
            why = f"put back for application {told.application}"
        elif told and told.way == "replay":
            why = "put there by a replay"
        elif isinstance(found, DeadLetter):
            why = f"no event, but a dead letter: {found.reason.value} ({found.code})"
        elif isinstance(event.body, dict) and event.body.get("eventType") == PROBE_TYPE:
            why = "a probe of `stream-router doctor --end-to-end`, which is nobody's event"
        elif self._wish.event_types and (name := type_of(self._made(found))) not in self._wish.event_types:
            self._why_unmet[event.event_id] = f"it is of type {name}, which is not asked for"
            return True
        if why:
            self._leave_out(event, why)
        return bool(why)

    def _leave_out(self, event: Event, why: str) -> None:
        self._left_out[why] += 1
        self._why_unmet[event.event_id] = why

    def _tell(self, why: str) -> int:
        """The summary; the command's exit status. `why` it ended early, "" where it did not."""
        wish, span = self._wish, self._span
        if wish.dry_run:
            of = f"{count_of(self._taken, 'event')} of {iso(span.since_ms)} to {iso(span.until_ms)}"
            here = f"by the settings of this shell (masking {self._settings.masking}) they would be"
            lines = [f"would put {of} on the stream again; {here}"]
            lines += [f"  {count:>10,}  {what}" for what, count in self._would.most_common()]
        else:
            lines = [f"put {count_of(self._taken, 'event')} on the stream again, as run {self._run}"]
        lines += counted("left out", self._left_out)
        for one in sorted(self._unmet):
            said = self._why_unmet.get(one)
            lost = f"not in this span: {one}; see stream-router find {one}"
            lines.append(plain(f"left out though asked for: {one}: {said}") if said else lost)
        go_on = self._go_on() if why else ""
        if why:
            lines.append(f"not all: {why}")
        if go_on and not wish.dry_run:
            lines.append(f"go on with: {go_on}")
        for line in lines:
            write_line(sys.stdout, line)
        nothing_of_type = bool(wish.event_types) and not self._taken
        return NOT_ALL if (go_on or self._unmet or nothing_of_type) else DONE

    def _go_on(self) -> str:
        """The command that goes on with what is left, up to the same end; "" where nothing is left."""
        # An id that was put may lie before the span that is left, and would be called missing there.
        left = sorted(self._unmet | {event_id for _, event_id in self._in_hand.values() if self._ids})
        if self._ids and not left:
            return ""
        open_ms = min((arrived_ms for arrived_ms, _ in self._in_hand.values()), default=self._span.until_ms)
        since_ms = min([open_ms, *map(self._surely_ms, self._stream.shards)]) - LATE_MS
        return self._wish.again(self._span._replace(since_ms=max(self._span.since_ms, since_ms)), left)

    def _surely_ms(self, shard_id: str) -> int:
        """How far a shard is read; one that was not begun has nothing older than the newest of its parents."""
        if shard_id in self._read_to_ms:
            return self._read_to_ms[shard_id]
        parents = self._stream.shards[shard_id].parents
        return max([self._span.since_ms, *(self._newest_ms.get(parent, 0) for parent in parents)])
