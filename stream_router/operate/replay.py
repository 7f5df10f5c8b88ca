"""`stream-router replay`: resubmits events of the stream, so that the consumer publishes them once more.

Each event is put on the stream again, unchanged and with its id. A mark names the run (`metadata.replayed`). The
consumer maps and masks the event with its present settings. A run takes the events that were on the stream when it
began, except those that a replay put there.
"""

from collections import Counter
from collections.abc import Iterator

from stream_router.aws.clients import Clients
from stream_router.envelope import Resubmitted, find_conversation, open_record, read_resubmitted, seal_line
from stream_router.model import PROBE_TYPE, DeadLetter, Event, Record
from stream_router.operate.console import Stop, print_line, stopping, warn
from stream_router.operate.dry_run import build_transform, event_type_of
from stream_router.operate.resubmit import ResubmitRun, Selection, run_began_ms
from stream_router.operate.stream import (
    ARRIVAL_TOLERANCE_MS,
    Piece,
    Span,
    StreamDescription,
    UnreadableError,
    describe,
    read,
)
from stream_router.operate.stream_writer import OutgoingLine, StreamRefusesError
from stream_router.process import now_ms
from stream_router.settings import types
from stream_router.settings.common import NO_RULE
from stream_router.settings.operators import DeadLetters

DONE, INCOMPLETE = 0, 1


CLOCK_DIFFERENCE_MAX_MS = 300_000
"""Largest possible difference in ms of this host's clock from AWS's: beyond it AWS refuses our signatures."""


def run(
    settings: DeadLetters, selection: Selection, rate_s: float, *, dry_run: bool, yes: bool, earlier_run: str = ""
) -> int:
    """Replay the selected events, at most `rate_s` per second (0.0: no limit).

    Return DONE, or INCOMPLETE if the run ended early or a selected event was not found. `earlier_run` is the id of an
    interrupted run that this one continues: the events that it put on the stream are not resubmitted again; "" for a
    new run. `yes` confirms a replay whose rule cannot be checked. Raises SettingsError.
    """
    started_ms = int(now_ms())
    earlier_began_ms = run_began_ms(earlier_run) if earlier_run else started_ms
    if settings.rule == NO_RULE and not yes and not dry_run:
        warn(
            "stream-router replay: STREAM_ROUTER_RULE is none. Every matching rule on the bus will get these events "
            "once more, and it cannot be checked here whether the rule that missed them takes them now. "
            "Add --yes to go on"
        )
        return INCOMPLETE
    # The run's own events arrive after its beginning. Without this bound it would read them, too.
    selection = selection._replace(until_ms=min(selection.until_ms or earlier_began_ms, earlier_began_ms))
    clients = Clients(settings.aws_region)
    with stopping() as stop:
        try:
            stream = describe(clients.kinesis, settings.stream, selection.since_ms, started_ms)
        except UnreadableError as error:
            warn(f"stream-router replay: {error}")
            return INCOMPLETE
        resubmit_run = ResubmitRun(settings, clients, rate_s, stop, dry_run=dry_run, run=earlier_run)
        options = ("--rate", f"{rate_s:g}", *(["--yes"] if yes else []))
        return Replay(settings, selection, options, stream, resubmit_run, is_continued=bool(earlier_run)).run(
            clients, stop
        )


class Replay:
    """A run of `replay`.

    `options` are those beside the selection, for the command that continues the run.

    `is_continued`: the run was interrupted before, so the events that it put on the stream are
    counted there first.
    """

    def __init__(
        self,
        settings: DeadLetters,
        selection: Selection,
        options: tuple[str, ...],
        stream: StreamDescription,
        resubmit_run: ResubmitRun,
        *,
        is_continued: bool = False,
    ) -> None:
        self._settings, self._selection, self._options = settings, selection, options
        self._stream, self._run = stream, resubmit_run
        self._span = Span(selection.since_ms, selection.until_ms)
        self._mark = Resubmitted("replay", settings.application, resubmit_run.name, 1)
        self._transform = build_transform(settings)
        self._paths = types.parse_paths(settings.partition_path)
        self._not_found_ids = set(selection.ids)
        self._is_continued = is_continued
        self._stored_before = Counter[str]()
        """Number of copies by event id that this run put on the stream before it was interrupted.

        Each one that is met in the selection is subtracted, since the selection may have several copies of an event.
        """
        self._already_stored_count = 0

    def run(self, clients: Clients, stop: Stop) -> int:
        """Replay the selection and print the summary. Return the exit status."""
        end_reason = "an unforeseen error"
        self._run.announce(self._continue_command())
        try:
            if self._is_continued:
                self._count_stored(clients, stop)
            for piece in read(clients, self._stream, self._span, stop) if not stop.requested else ():
                for _ in self._run.store(self._outgoing(piece)):
                    pass
                if stop.requested:
                    break
            end_reason = "interrupted" if stop.requested else ""
        except (UnreadableError, StreamRefusesError) as error:
            end_reason = str(error)
        finally:  # after any exception as well: only the summary says what was resubmitted, and how to continue
            status = self._report(end_reason)
        return status

    def _count_stored(self, clients: Clients, stop: Stop) -> None:
        """Count the copies that this run put on the stream before it was interrupted. Raises UnreadableError.

        The stream itself shows how far the run came. So the count is right after a kill as well, and no file is needed.
        """
        warn("reading the events that this run put on the stream before")
        began_ms = run_began_ms(self._run.name) - CLOCK_DIFFERENCE_MAX_MS
        for piece in read(clients, self._stream, Span(began_ms, int(now_ms()) + ARRIVAL_TOLERANCE_MS), stop):
            for record in piece.records:
                for opened in open_record(Record(record.data, *record.position, record.arrived_at_ms)):
                    event = opened.event if isinstance(opened, DeadLetter) else opened
                    if read_resubmitted(event.resubmitted) == self._mark:
                        self._stored_before[event.event_id] += 1

    def _outgoing(self, piece: Piece) -> Iterator[OutgoingLine]:
        """Yield the line of each selected event of a piece, except those that this run has resubmitted before."""
        for record in piece.records:
            stream_record = Record(record.data, *record.position, record.arrived_at_ms)
            for opened in open_record(stream_record):
                event = opened.event if isinstance(opened, DeadLetter) else opened
                if self._selection.ids and event.event_id not in self._selection.ids:
                    continue
                if skip_reason := self._explain_skipping(opened, event):
                    self._run.skipped[skip_reason] += 1
                    continue
                if (
                    self._selection.event_types
                    and event_type_of(self._transform(opened)) not in self._selection.event_types
                ):
                    continue
                self._not_found_ids.discard(event.event_id)
                if self._stored_before[event.event_id]:
                    self._stored_before[event.event_id] -= 1
                    self._already_stored_count += 1
                    continue
                line = seal_line(event.raw, event.event_id, event.id_from, event.received_at_ms, self._mark)
                body = event.body if isinstance(event.body, dict) else {}
                yield OutgoingLine(line, find_conversation(body, event.event_id, self._paths), None)

    def _explain_skipping(self, opened: Event | DeadLetter, event: Event) -> str:
        """Return why an event is not resubmitted; "" if it is."""
        mark = read_resubmitted(event.resubmitted)
        if mark and mark.application != self._settings.application:
            return f"resubmitted for application {mark.application}"
        if mark and mark.command == "replay":
            return "resubmitted by a replay"
        if isinstance(opened, DeadLetter):
            return f"no event, but a dead letter: {opened.reason.value} ({opened.code})"
        if isinstance(event.body, dict) and event.body.get("eventType") == PROBE_TYPE:
            return "a test event of `stream-router doctor --end-to-end`"
        return ""

    def _report(self, end_reason: str) -> int:
        """Print the summary and return the exit status.

        `end_reason` is why the run ended early, "" if it did not.
        """
        if self._already_stored_count:
            print_line(f"resubmitted earlier by this run {self._already_stored_count:,}")
        self._run.report(end_reason, self._continue_command() if end_reason else "")
        if end_reason:
            return INCOMPLETE
        for event_id in sorted(self._not_found_ids):
            print_line(f"not resubmitted: {event_id}; see stream-router find {event_id}")
        chosen = self._selection.ids or self._selection.event_types
        is_empty = not self._run.count and not self._already_stored_count
        return INCOMPLETE if self._not_found_ids or (chosen and is_empty) else DONE

    def _continue_command(self) -> str:
        """Return the command that continues this run, with the same span.

        The continued run does not resubmit the events that this one has put on the stream.
        """
        return self._selection.as_command("replay", "--run", self._run.name, *self._options)
