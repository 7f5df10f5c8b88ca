"""Selection, run and summary of records that are resubmitted, for `dlq redrive` and `replay`."""

import re
import secrets
import shlex
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from stream_router.aws.clients import Clients
from stream_router.envelope import holds_crashed, open_record
from stream_router.errors import SettingsError
from stream_router.event_id import event_id_as_typed
from stream_router.model import Record
from stream_router.operate.console import Stop, check_span, parse_time_ms, print_line, print_tally
from stream_router.operate.dry_run import build_transform, describe_outcome
from stream_router.operate.stream_writer import MAX_LINE_BYTES, OutgoingLine, StreamWriter
from stream_router.process import iso, now_ms
from stream_router.settings.operators import DeadLetters


class Selection(NamedTuple):
    """Filters by which an operator selects events or dead letters.

    An event must match all filters; an empty filter (0, (), "") matches everything. Times are epoch ms: from `since_ms`
    until before `until_ms`.
    """

    since_ms: int = 0
    until_ms: int = 0
    event_types: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    reason: str = ""

    def matches(self, event_id: str, event_type: str, at_ms: int, reason: str) -> bool:
        """Return whether an event matches.

        `at_ms` is its arrival in the stream or the queue (epoch ms).
        """
        return (
            (not self.ids or event_id in self.ids)
            and (not self.event_types or event_type in self.event_types)
            and self.since_ms <= at_ms < (self.until_ms or at_ms + 1)  # without an `until_ms` always true
            and self.reason in ("", reason)
        )

    def as_command(self, *words: str) -> str:
        """Return a command line of these words with the same filters, quoted for a shell."""
        since, until = (iso(at) if at else "" for at in (self.since_ms, self.until_ms))
        pairs = [("--since", since), ("--until", until), ("--reason", self.reason)]
        pairs += [("--event-type", value) for value in self.event_types] + [("--id", value) for value in self.ids]
        options = [word for name, value in pairs if value for word in (name, value)]
        return shlex.join(["stream-router", *words, *options])


def parse_selection(
    since: str, until: str, event_types: Sequence[str], ids: Sequence[str], reason: str = ""
) -> Selection:
    """Return the selection that was typed.

    Raises SettingsError for an invalid time or an empty span.
    """
    now = int(now_ms())
    since_ms = parse_time_ms(since, "--since", now) if since else 0
    until_ms = parse_time_ms(until, "--until", now) if until else 0
    check_span(since_ms, until_ms or now)
    return Selection(since_ms, until_ms, tuple(event_types), tuple(map(event_id_as_typed, ids)), reason)


_RUN = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}")
_RUN_TIME = "%Y%m%dT%H%M%S"

PROGRESS_INTERVAL_S = 5.0
"""Seconds between two lines of progress, which has the run's id.

A killed command prints no summary, so the last line of progress is all that an operator has of it.
"""


def new_run_id() -> str:
    """Return a new run id: the time (UTC), and eight random hex digits."""
    return f"{datetime.fromtimestamp(now_ms() / 1000, UTC):{_RUN_TIME}}-{secrets.token_hex(4)}"


def run_began_ms(run: str) -> int:
    """Return the beginning of a run (epoch ms) from its id.

    Raises SettingsError if the text is not a run id.
    """
    refusal = SettingsError(
        "--run", f"{run[:40]!r} is not the id of a run", "copy it from the output of the interrupted run"
    )
    if not _RUN.fullmatch(run):
        raise refusal
    try:
        return round(datetime.strptime(run[:15], _RUN_TIME).replace(tzinfo=UTC).timestamp() * 1000)
    except ValueError:  # digits that are no date
        raise refusal from None


class ResubmitRun:
    """A run that puts lines on the stream, at most `rate_s` per second (0.0: no limit).

    A dry run puts nothing there. It maps and masks the lines here, and counts the outcomes. `run` is the id of an
    interrupted run that this one continues, "" for a new run. `name` is the id of this run, which is `run` if given.
    """

    def __init__(
        self, settings: DeadLetters, clients: Clients, rate_s: float, stop: Stop, *, dry_run: bool, run: str = ""
    ) -> None:
        self.name = run or new_run_id()
        self.dry_run = dry_run
        self.count = 0
        """Number of lines that are on the stream, or would be after a dry run."""
        self.skipped, self._outcomes = Counter[str](), Counter[str]()
        self._transform = build_transform(settings)
        self._settings, self._stop = settings, stop
        self._progress_due_s = time.monotonic() + PROGRESS_INTERVAL_S
        self._writer = StreamWriter(clients.kinesis_without_retries, settings.stream, settings.buckets, rate_s, stop)

    def announce(self, continue_command: str) -> None:
        """Print the run's id and the command that continues it, at the start: a killed command can print nothing later.

        A dry run needs no continuation, and prints nothing.
        """
        if not self.dry_run:
            print_line(f"run {self.name}; if it is killed, go on with: {continue_command}")

    def store(self, outgoing: Iterable[OutgoingLine]) -> Iterator[OutgoingLine]:
        """Store the lines, and yield each once it is stored.

        A dry run yields none. Raises StreamRefusesError.
        """
        fitting = self._select_fitting(outgoing)
        if self.dry_run:
            for line in fitting:
                self.count += 1
                self._outcomes.update(self._try_out(line.line))
            return
        for line in self._writer.put(fitting):
            self.count += 1
            yield line
            if time.monotonic() >= self._progress_due_s:
                self._progress_due_s = time.monotonic() + PROGRESS_INTERVAL_S
                print_line(f"resubmitted so far {self.count:,}; run {self.name}")

    def _select_fitting(self, outgoing: Iterable[OutgoingLine]) -> Iterator[OutgoingLine]:
        """Yield the lines that fit a record, and count the others as skipped. End at a stop."""
        for line in outgoing:
            if self._stop.requested:
                return
            if len(line.line) <= MAX_LINE_BYTES:
                yield line
            else:
                self.skipped[f"fits no record of the stream ({MAX_LINE_BYTES:,} bytes)"] += 1

    def _try_out(self, line: bytes) -> list[str]:
        """Return the outcomes that the consumer would reach for a line with the settings of this shell."""
        if holds_crashed(line):
            return ["not tried, since it killed a process"]
        return [describe_outcome(self._transform(opened)) for opened in open_record(Record(line, 1, 0, int(now_ms())))]

    def report(self, end_reason: str, continue_command: str) -> None:
        """Print the summary.

        `end_reason` is why the run ended early, "" if it did not; `continue_command` continues it.
        """
        print_tally("skipped", self.skipped)
        if self.dry_run:
            print_line(f"would resubmit {self.count:,}; masking here is {self._settings.masking}")
            print_tally("would be", self._outcomes)
        else:
            print_line(f"resubmitted {self.count:,}; run {self.name}")
        if end_reason:
            print_line(f"not all: {end_reason}")
        if continue_command and not self.dry_run:
            print_line(f"go on with: {continue_command}")
