"""`stream-router replay`, from the settings to the last line."""

import sys
import time
from collections.abc import Callable, Sequence

from stream_router import limits
from stream_router.aws.clients import Clients
from stream_router.control.lines import write_line
from stream_router.control.replay import replay_report
from stream_router.control.replay.choice import Choice
from stream_router.control.replay.dry_run import DryRun
from stream_router.control.replay.publishing import Publishing
from stream_router.control.replay.wish import Wish
from stream_router.control.republish import preconditions
from stream_router.control.republish.connection import Connection
from stream_router.control.republish.fitting import fitting
from stream_router.control.republish.patience import patience_at
from stream_router.control.republish.republisher import SECOND_COPIES, Republisher
from stream_router.control.stream import session
from stream_router.control.stream import shards as shards_
from stream_router.control.stream.positions import AT_TIMESTAMP, LATEST, TRIM_HORIZON, Position
from stream_router.control.stream.progress import Progress
from stream_router.control.stream.reader import LATE_MS, Piece, Span
from stream_router.control.stream.session import Stops, say
from stream_router.control.stream.shards import Stream, UnreadableError
from stream_router.log import start_logging
from stream_router.model import event_id_as_typed
from stream_router.process import iso, now_ms
from stream_router.settings.consumer import Consumer

DONE, NOT_ALL = 0, 1


class RefusedError(Exception):
    """Nothing was published; the text says why."""


def run(settings: Consumer, wish: Wish) -> int:
    """The command. 0, or 1 where something was refused, failed, or is left. Raises SettingsError."""
    start_logging("WARNING", settings.log_format)
    begun_ms = int(now_ms())
    span = session.span_of(wish.since, wish.until, begun_ms)
    clients, stops = Clients(settings.aws_region), Stops()
    with stops.listening():
        try:
            stream = shards_.describe(clients.kinesis, settings.stream, span.since_ms, begun_ms)
            bounds = bounds_of(settings, clients, stream)
            replay = Replay(settings, wish, span, stream, f"replay/{iso(begun_ms)}")
            return replay.run(clients, stops, bounds)
        except (UnreadableError, RefusedError) as error:
            say(f"stream-router replay: {error}")
            return NOT_ALL


def bounds_of(settings: Consumer, clients: Clients, stream: Stream) -> dict[str, Position]:
    """Up to where each shard is replayed: its checkpoint as it stands now. What is behind it comes anyway.

    Raises RefusedError where the checkpoints are not known.
    """
    checkpoints = session.checkpoints_of(settings, clients, stream)
    if checkpoints.of_shard is None:
        raise RefusedError(f"{checkpoints.missing}; without checkpoints it is not known what was published")
    untold = [name for name, at in checkpoints.of_shard.items() if at in (LATEST, AT_TIMESTAMP, TRIM_HORIZON)]
    if untold:
        say(f"note: the consumer has taken no checkpoint yet in {', '.join(untold)}: nothing of it is replayed")
    return {name: TRIM_HORIZON if name in untold else at for name, at in checkpoints.of_shard.items()}


class Replay:
    """One replay. `replay_id` is what every event of it carries in `metadata.replayed`."""

    def __init__(self, settings: Consumer, wish: Wish, span: Span, stream: Stream, replay_id: str) -> None:
        self._settings, self._wish, self._span, self._stream = settings, wish, span, stream
        self._replay_id = replay_id
        self._read_to_ms: dict[str, int] = {}
        self._newest_ms: dict[str, int] = {}
        self._is_read = False

    def run(self, clients: Clients, stops: Stops, bounds: dict[str, Position]) -> int:
        """Everything, to the summary."""
        connection = Connection(self._settings)
        transform = fitting(connection.transform(self._replay_id), self._settings)
        choice = Choice(transform, frozenset(self._wish.event_types), frozenset(map(event_id_as_typed, self._wish.ids)))
        self._see_first()
        if self._wish.dry_run:
            return self._tried(clients, stops, bounds, choice)
        say(f"this is {self._replay_id}; if it is killed, say again: {self._wish.again(*self._span)}")
        progress = Progress(
            self._span, len(self._stream.shards), time.monotonic, more=lambda: f", {publishing.published:,} published"
        )
        publishing = self._publishing(connection.republisher(self._wish.rate), stops, progress.tell)
        try:
            self._read(
                clients,
                stops,
                bounds,
                lambda piece: publishing.take(choice.chosen(piece)),
                progress,
                lambda: publishing.turn(0.05),
                lambda: publishing.ended,
            )
        except UnreadableError as error:
            publishing.stop(str(error))
        except Exception as error:
            publishing.stop(f"{type(error).__name__}: {error}")
            raise
        finally:  # whatever it ends by: only the summary says what was published, and how to go on
            publishing.finish()
            progress.end()
            if stops.asked.is_set():
                publishing.stop("broken off")
            go_on = self._go_on(publishing, choice)
            _tell(replay_report.lines(publishing, choice.left_out, self._replay_id, go_on))
        if go_on:
            return NOT_ALL
        return NOT_ALL if _unmet(choice) or publishing.failed else DONE

    def _publishing(self, republisher: Republisher, stops: Stops, tell: Callable[[], None]) -> Publishing:
        patience_s = patience_at(self._wish.rate, self._settings.event_bus)
        return Publishing(republisher, stops.asked.is_set, self._why_not, patience_s=patience_s, tell=tell)

    def _tried(self, clients: Clients, stops: Stops, bounds: dict[str, Position], choice: Choice) -> int:
        """The same, but that nothing is sent."""
        dry, cut_short = DryRun(self._settings, self._replay_id), ""
        try:
            self._read(clients, stops, bounds, lambda piece: dry.note(choice.chosen(piece)))
        except UnreadableError as error:
            cut_short = str(error)
        if not self._is_read:
            cut_short = cut_short or "broken off"
        _tell(dry.lines(self._span, choice.left_out))
        if cut_short:
            _tell([f"not all of the span was read: {cut_short}"])
            return NOT_ALL
        return NOT_ALL if _unmet(choice) or dry.failed else DONE

    def _see_first(self) -> None:
        """Bus and rule, before the first event is read: for every type of the settings, or those that are asked for."""
        types = self._wish.event_types or self._settings.event_type_list
        unknown = [name for name in types if name not in self._settings.event_type_list]
        if unknown and self._settings.unroutable != "publish":
            raise RefusedError(
                f"{', '.join(unknown)}: not in STREAM_ROUTER_EVENT_TYPES, so no event of it would be published; "
                "correct --event-type, or add it there"
            )
        if why := self._refusal(types):
            raise RefusedError(why)
        if limits.is_v2_bus(self._settings.event_bus):
            say(f"note: {SECOND_COPIES}")
        if self._settings.masking == "off":
            say("note: STREAM_ROUTER_MASKING is off here: events go out unmasked")

    def _why_not(self, event_type: str) -> str:
        """Why events of a type may not be published; types of the settings were seen to before."""
        if event_type in (self._wish.event_types or self._settings.event_type_list):
            return ""
        return self._refusal([event_type])

    def _refusal(self, types: Sequence[str]) -> str:
        verdict = preconditions.look(self._settings, types)
        for line in verdict.unjudged:
            say(f"note: {line}")
        if verdict.refusals:
            return "; ".join(verdict.refusals)
        needs_word = verdict.unjudged and not self._wish.yes and not self._wish.dry_run
        return "see the note above; add --yes to go on all the same" if needs_word else ""

    def _read(
        self,
        clients: Clients,
        stops: Stops,
        bounds: dict[str, Position],
        take: Callable[[Piece], None],
        progress: Progress | None = None,
        meanwhile: Callable[[], None] | None = None,
        ended: Callable[[], bool] = lambda: False,
    ) -> None:
        with session.reading(
            clients,
            self._stream,
            self._span,
            stops,
            bounds=bounds,
            progress=progress,
            meanwhile=meanwhile,
        ) as pieces:
            for piece in pieces:
                take(piece)
                self._read_to_ms[piece.shard.shard_id] = piece.read_to_ms
                if piece.records:
                    self._newest_ms[piece.shard.shard_id] = piece.records[-1].arrived_at_ms
                if ended():
                    return
            self._is_read = not stops.asked.is_set()

    def _go_on(self, publishing: Publishing, choice: Choice) -> str:
        """The command that goes on where a replay ended early, up to the same end; "" where nothing is left."""
        open_ms, open_ids = publishing.oldest_open_ms, publishing.open_ids
        if not publishing.ended or (self._is_read and open_ms is None):
            return ""
        # An id that is published may lie before the span that is left, and would be called missing there.
        left = [one for one in map(event_id_as_typed, self._wish.ids) if one in choice.unmet | open_ids]
        if self._wish.ids and not left:
            return ""
        since_ms, until_ms = self._span
        unread = () if self._is_read else self._stream.shards
        found = min([*map(self._surely_ms, unread), open_ms or until_ms])
        return self._wish._replace(ids=left).again(max(since_ms, found - LATE_MS), until_ms)

    def _surely_ms(self, shard_id: str) -> int:
        """How far a shard is read; one that was not begun has nothing older than the newest of its parents."""
        if shard_id in self._read_to_ms:
            return self._read_to_ms[shard_id]
        parents = self._stream.shards[shard_id].parents
        return max([self._span.since_ms, *(self._newest_ms.get(parent, 0) for parent in parents)])


def _tell(lines: Sequence[str]) -> None:
    for line in lines:
        write_line(sys.stdout, line)


def _unmet(choice: Choice) -> bool:
    """Whether of an id that was asked for nothing is taken; each is said."""
    _tell(said := replay_report.unmet(choice))
    return bool(said)
