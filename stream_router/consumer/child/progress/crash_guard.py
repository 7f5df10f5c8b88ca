"""Crash isolation: a record that kills its process is found by a marker on disk and buried, alone.

A child that dies takes the JVM and so every shard of the host with it, and the record comes again. A shard whose child
died three times at one checkpoint is handled carefully: one event at a time, each noted on disk while it is at work.
The one that was at work at two deaths in a row is the culprit: one death alone may have come from outside. What kills
is reading, changing or encoding an event; a death while it only waits for a destination that is down is no word
against it.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, PlainSerializer, ValidationError

from stream_router.log import Seldom
from stream_router.model import Place, Record
from stream_router.process import Rewritten

log = logging.getLogger(__name__)

CAREFUL_AFTER = 3
WHOLE_RECORD = -1
"""The line of a marker that was set while a record was opened, before its events were known."""


def _as_runs(batches: list[int]) -> list[int | list[int]]:
    """Batches that follow each other as the first and the last of them: so the file stays within a page.

    One of a page is written in place, on a full disk too.
    """
    runs: list[list[int]] = []
    for batch in batches:
        if runs and runs[-1][1] == batch - 1:
            runs[-1][1] = batch
        else:
            runs.append([batch, batch])
    return [run if run[0] < run[1] else run[0] for run in runs]


def _of_runs(told: Any) -> Any:
    """The batches, each by itself; what is no run is left to be refused."""
    if not isinstance(told, list):
        return told
    runs = (range(one[0], one[1] + 1) if _is_run(one) else (one,) for one in told)
    return [batch for run in runs for batch in run]


def _is_run(told: Any) -> bool:
    return isinstance(told, list) and list(map(type, told)) == [int, int]


Batches = Annotated[list[int], BeforeValidator(_of_runs), PlainSerializer(_as_runs, when_used="json")]


class Life(BaseModel):
    """What a shard's file says: at which checkpoint its child started, how often it died there, what was at work.

    `held`: what is at work only waits for its destination. `taken`: the newest record that a child took charge of;
    `careful_until`: the same of the children that died. `batch`: the number of the latest batch; `open_batches`: those
    without an audit record; `unclosed`: the same of earlier processes, until a record has named them.
    """

    checkpoint: str
    deaths: int = 0
    alive: bool = True
    at_work: Place | None = None
    held: bool = False
    suspect: Place | None = None
    culprits: list[Place] = []
    taken: tuple[int, int] = (0, 0)
    careful_until: tuple[int, int] = (0, 0)
    batch: int = 0
    open_batches: Batches = []
    unclosed: Batches = []


def _life_of(text: bytes) -> Life | None:
    """The life that a file tells, but for fields that another version writes in another form; None where it tells none.

    Forgotten whole, a culprit would kill five processes more, and the audit log's batches would begin anew at 1.
    """
    try:
        return Life.model_validate_json(text)
    except ValidationError as error:
        strange = {str(problem["loc"][0]) for problem in error.errors(include_input=False) if problem["loc"]}
    life = None
    with contextlib.suppress(ValueError, AttributeError):  # no JSON, no object, or still none of ours
        told = {name: value for name, value in orjson.loads(text).items() if name not in strange}
        life = Life.model_validate_json(orjson.dumps(told))
    lost = ", ".join(sorted(strange)) if life else "all of it"
    log.warning(
        "the shard's crash marker is not as this version writes it: %s begins anew",
        lost,
        extra={"event": "crash-marker-of-another-form"},
    )
    return life


class CrashGuard:
    """Keeps one shard's life on disk, in `folder`. Created as the child takes the shard up at `checkpoint`.

    Without `audited` nobody asks for the batches of earlier processes, and none are kept. A disk that cannot be written
    is logged once a minute; only `begin` needs it.
    """

    def __init__(
        self,
        folder: Path,
        shard_id: str,
        checkpoint: str,
        clock: Callable[[], float] = time.monotonic,
        rewritten: Callable[[Path], Rewritten] = Rewritten,
        *,
        audited: bool = True,
    ) -> None:
        self._path = folder / f"{shard_id}.json"
        self._file = rewritten(self._path)
        self._to_be_logged = Seldom(clock)
        self._life = self._born(checkpoint)
        if not audited:
            self._life.unclosed = []
        self._save()

    @property
    def careful(self) -> bool:
        """Whether there may be records that are to be handled one event at a time."""
        return self._life.deaths >= CAREFUL_AFTER

    def needs_care(self, record: Record) -> bool:
        """Whether this record is to be handled so: a child that died had taken charge of it, or of a newer one."""
        return self.careful and (record.sequence_number, record.sub_sequence_number) <= self._life.careful_until

    def is_culprit(self, record: Record, line: int) -> bool:
        """Whether this event (or, with WHOLE_RECORD, opening this record) killed a process before."""
        return Place(record.sequence_number, record.sub_sequence_number, line) in self._life.culprits

    def begin(self, record: Record, line: int) -> None:
        """Note on disk what is at work from now on. The file outlives the process, which is all that is needed.

        Raises OSError where it cannot be noted.
        """
        self._life.at_work = Place(record.sequence_number, record.sub_sequence_number, line)
        self._life.held = False
        try:
            self._file.write(self._life.model_dump_json())
        except OSError as error:
            log.error(  # noqa: TRY400 - one line
                "a careful shard stands without its crash marker: %s; the child ends",
                error.strerror,
                extra={"event": "careful-without-marker"},
            )
            # Nor may the event before be charged with the death that comes of this: a full disk still lets files go.
            with contextlib.suppress(OSError):
                self._file.remove()
            raise

    def holds(self) -> None:
        """What is at work was tried, and waits for a destination that is down: a death comes from outside now."""
        if self._life.at_work and not self._life.held:
            self._life.held = True
            self._save()

    def goes_on(self) -> None:
        """What is at work may be worked on again."""
        if self._life.held:
            self._life.held = False
            self._save()

    def progressed(self, sequence_number: int, sub_sequence_number: int) -> None:
        """The shard is checkpointed here: deaths before it are past, and so are culprits.

        Care ends when this has passed the newest record that any child which died had taken charge of.
        """
        life, reached = self._life, (sequence_number, sub_sequence_number)
        life.checkpoint = f"{sequence_number}:{sub_sequence_number}"
        life.culprits = [place for place in life.culprits if place[:2] > reached]
        if not self.careful or reached >= life.careful_until:
            life.deaths = 0
            life.at_work = None
        self._save()

    def took_charge(self, sequence_number: int, sub_sequence_number: int) -> int:
        """A batch that ends with this record is the child's now. The batch's number."""
        life = self._life
        life.taken = (sequence_number, sub_sequence_number)
        life.batch += 1
        life.open_batches.append(life.batch)
        self._save()
        return life.batch

    def batch_closed(self, number: int) -> None:
        """Every event of this batch is settled, and its audit record, where there is one, written."""
        self._life.open_batches.remove(number)
        self._save()

    @property
    def unclosed(self) -> list[int]:
        """Batches that were open when the processes before this one ended, and that no audit record has named."""
        return self._life.unclosed

    def unclosed_is_said(self) -> None:
        """An audit record names them now."""
        if self._life.unclosed:
            self._life.unclosed = []
            self._save()

    def rests(self) -> None:
        """Nothing is at work: what was begun has been sent."""
        if self._life.at_work:
            self._life.at_work = None
            self._save()

    def ended_well(self) -> None:
        """The child ends by its own will, or because its JVM did: this end is no death."""
        self._life.alive = False
        self._life.at_work = None
        self._save()

    def _born(self, checkpoint: str) -> Life:
        before = self._read()
        if before is None:
            return Life(checkpoint=checkpoint)
        life = Life(checkpoint=checkpoint, culprits=before.culprits, taken=before.taken, batch=before.batch)
        life.careful_until = max(before.careful_until, before.taken) if before.alive else before.careful_until
        life.unclosed = [*before.unclosed, *before.open_batches]
        if before.alive and before.at_work:
            life.deaths = before.deaths
            if before.held:
                life.suspect = before.suspect
            elif before.at_work == before.suspect:
                life.culprits.append(before.at_work)
            else:
                life.suspect = before.at_work
        elif before.checkpoint == checkpoint:
            life.deaths = before.deaths + before.alive
        return life

    def _read(self) -> Life | None:
        try:
            return _life_of(self._path.read_bytes())
        except OSError:
            return None

    def _save(self) -> None:
        try:
            self._file.write(self._life.model_dump_json())
        except OSError as error:
            if self._to_be_logged():
                log.warning(
                    "the shard's crash marker was not written: %s",
                    error.strerror,
                    extra={"event": "crash-marker-not-written"},
                )
