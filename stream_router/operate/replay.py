"""`stream-router replay`: events of the stream put on the stream again, which the consumer then publishes once more.

Each goes back as its line stood, under the same id, marked with this run (`metadata.replayed`); the consumer's mapping,
masking and settings apply. A run takes what was there when it began, and passes over what a replay put there.
"""

from collections.abc import Iterator

from stream_router.aws.clients import Clients
from stream_router.envelope import Resubmitted, conversation_of, open_record, read_resubmitted, seal_line
from stream_router.model import PROBE_TYPE, DeadLetter, Event, Record
from stream_router.operate.console import Stop, say, stopping, tell
from stream_router.operate.dry_run import transform_of, type_of
from stream_router.operate.put_back import PutBack, Selection
from stream_router.operate.stream import LATE_MS, Piece, Span, Stream, UnreadableError, describe, read
from stream_router.operate.stream_writer import Outgoing, StreamRefusesError
from stream_router.process import now_ms
from stream_router.settings import types
from stream_router.settings.common import NO_RULE
from stream_router.settings.operators import DeadLetters

DONE, NOT_ALL = 0, 1


def run(settings: DeadLetters, wanted: Selection, rate_s: float, *, dry_run: bool, yes: bool) -> int:
    """The command: 0, or 1 where something is left, or nothing that was asked for was there. Raises SettingsError."""
    begun_ms = int(now_ms())
    if settings.rule == NO_RULE and not yes and not dry_run:
        say(
            "stream-router replay: STREAM_ROUTER_RULE is none: every rule on the bus that matches gets these events "
            "once more, and whether the one that missed them takes them now is not known here; add --yes to go on"
        )
        return NOT_ALL
    wanted = wanted._replace(until_ms=min(wanted.until_ms or begun_ms, begun_ms))
    clients = Clients(settings.aws_region)
    with stopping() as stop:
        try:
            stream = describe(clients.kinesis, settings.stream, wanted.since_ms, begun_ms)
        except UnreadableError as error:
            say(f"stream-router replay: {error}")
            return NOT_ALL
        back = PutBack(settings, clients, rate_s, stop, dry_run=dry_run)
        words = ("--rate", f"{rate_s:g}", *["--yes"] * yes)
        return Replay(settings, wanted, words, stream, back).run(clients, stop)


class Replay:
    """One run. `words` are the options that another one to go on with needs beside the choice."""

    def __init__(
        self, settings: DeadLetters, wanted: Selection, words: tuple[str, ...], stream: Stream, back: PutBack
    ) -> None:
        self._settings, self._wanted, self._words, self._stream, self._back = settings, wanted, words, stream, back
        self._span = Span(wanted.since_ms, wanted.until_ms)
        self._mark = Resubmitted("replay", settings.application, back.name, 1)
        self._made = transform_of(settings)
        self._paths = types.paths(settings.partition_path)
        self._unmet = set(wanted.ids)
        self._in_hand: dict[int, tuple[int, str]] = {}
        """Of the piece in hand what is not put: when each arrived (epoch ms), and its event's id."""
        self._newest_ms: dict[str, int] = {}
        self._read = set[str]()
        """Of each shard how far it was handed out, and the shards of which no more can come."""

    def run(self, clients: Clients, stop: Stop) -> int:
        """Everything, to the summary."""
        why = "an error that nobody foresaw"
        try:
            for piece in read(clients, self._stream, self._span, stop):
                self._take(piece)
                if stop.asked:
                    break
            why = "broken off" if stop.asked else ""
        except (UnreadableError, StreamRefusesError) as error:
            why = str(error)
        finally:  # whatever it ends by: only the summary says what was put, and how to go on
            status = self._report(why)
        return status

    def _take(self, piece: Piece) -> None:
        """Put what is asked for of a piece back; what is not put when this ends stays in hand."""
        shard_id = piece.shard.shard_id
        if piece.records:
            self._newest_ms[shard_id] = piece.records[-1].arrived_at_ms
        outgoing = list(self._outgoing(piece))
        self._in_hand = {id(one): one.token for one in outgoing}  # type: ignore[misc]
        for one in self._back.put(outgoing):
            del self._in_hand[id(one)]
        if piece.is_last:
            self._read.add(shard_id)

    def _outgoing(self, piece: Piece) -> Iterator[Outgoing]:
        for record in piece.records:
            opened = Record(record.data, *record.position, record.arrived_at_ms)
            for found in open_record(opened):
                event = found.event if isinstance(found, DeadLetter) else found
                if self._wanted.ids and event.event_id not in self._wanted.ids:
                    continue
                if why := self._why_not(found, event):
                    self._back.passed_over[why] += 1
                    continue
                if self._wanted.event_types and type_of(self._made(found)) not in self._wanted.event_types:
                    continue
                line = seal_line(event.raw, event.event_id, event.id_from, event.received_at_ms, self._mark)
                body = event.body if isinstance(event.body, dict) else {}
                self._unmet.discard(event.event_id)
                group = conversation_of(body, event.event_id, self._paths)
                yield Outgoing(line, group, (record.arrived_at_ms, event.event_id))

    def _why_not(self, found: Event | DeadLetter, event: Event) -> str:
        """Why it is not to be put back; "" where it is."""
        told = read_resubmitted(event.resubmitted)
        if told and told.application != self._settings.application:
            return f"put back for application {told.application}"
        if told and told.way == "replay":
            return "put there by a replay"
        if isinstance(found, DeadLetter):
            return f"no event, but a dead letter: {found.reason.value} ({found.code})"
        if isinstance(event.body, dict) and event.body.get("eventType") == PROBE_TYPE:
            return "a probe of `stream-router doctor --end-to-end`, which is nobody's event"
        return ""

    def _report(self, why: str) -> int:
        """The summary; the command's exit status. `why` it ended early, "" where it did not."""
        go_on = self._go_on() if why else ""
        self._back.report(why, go_on)
        for one in sorted(self._unmet):
            tell(f"not put back: {one}; see stream-router find {one}")
        chosen = self._wanted.ids or self._wanted.event_types
        return NOT_ALL if go_on or self._unmet or (chosen and not self._back.count) else DONE

    def _go_on(self) -> str:
        """The command that goes on with what is left, up to the same end; "" where nothing is left."""
        # An id that was put may lie before the span that is left, and would be called missing there.
        left = sorted(self._unmet | {event_id for _, event_id in self._in_hand.values() if self._wanted.ids})
        if self._wanted.ids and not left:
            return ""
        open_ms = min((arrived_ms for arrived_ms, _ in self._in_hand.values()), default=self._span.until_ms)
        since_ms = min([open_ms, *map(self._surely_ms, self._stream.shards)]) - LATE_MS
        rest = self._wanted._replace(since_ms=max(self._span.since_ms, since_ms), ids=tuple(left))
        return rest.command("replay", *self._words)

    def _surely_ms(self, shard_id: str) -> int:
        """How far a shard is read; one that was not begun has nothing older than the newest of its parents."""
        if shard_id in self._read:
            return self._span.until_ms
        known = (shard_id, *self._stream.shards[shard_id].parents)
        return max(self._newest_ms.get(name, self._span.since_ms) for name in known)
