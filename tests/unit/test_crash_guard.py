"""Crash isolation: what kills its process is buried unread and alone, and nobody else is blamed or buried for it."""

import base64
import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
import pytest

from stream_router.consumer.child.crash_guard import WHOLE_RECORD_LINE, CrashGuard, CrashMarker
from stream_router.dead_letter_reasons import Reason
from stream_router.envelope import Resubmitted, seal, seal_line
from stream_router.event_id import event_id
from stream_router.model import EventPlace, Record
from stream_router.pipeline.route import SLICE_EVENTS
from stream_router.pipeline.transform import Transform
from tests.events import BODY, NOW_MS, RECEIVED_MS, config_of
from tests.fakes import Rig, rig

START = "TRIM_HORIZON:0"
POLICY = 'base = "default"\ndead_letters = true\n'
WITHHELD = {"withheld": "the policy masks dead letters, and this event could not be masked", "code": "ProcessKilled"}
GOOD = orjson.dumps(BODY)

Drain = Callable[[Rig], None]


class KilledError(BaseException):
    """Stands for the death of the process: no `except Exception` sees it."""


def record(at: int, *bodies: bytes) -> Record:
    """A record of so many events."""
    ids = [event_id("s", str(at), line, body) for line, body in enumerate(bodies)]
    return Record(
        b"\n".join(seal(item, "delivery", RECEIVED_MS, body) for item, body in zip(ids, bodies, strict=True)), at
    )


def put_back(at: int, *, crashed: bool = True) -> Record:
    """The record in which an operator puts an event back, for whatever reason it was buried."""
    run = Resubmitted("redrive", "app", "1234", 1)
    return Record(seal_line(record(at, GOOD).data, "0" * 32, "delivery", RECEIVED_MS, run, crashed=crashed), at)


def three() -> list[Record]:
    return [record(100, GOOD), record(101, GOOD, GOOD, GOOD), record(102, GOOD)]


def born(folder: Path, start: str = START) -> CrashGuard:
    return CrashGuard(folder, "shard-1", start)


def life_of(folder: Path) -> CrashMarker:
    return CrashMarker.model_validate_json((folder / "shard-1.json").read_bytes())


def pipeline(folder: Path) -> Rig:
    (folder / "policy.toml").write_text(POLICY)
    transform = Transform(config_of(masking=str(folder / "policy.toml"), application="app"), lambda: NOW_MS)
    return rig(transform=transform, raw_of=transform.dead_letter_raw)


def live(folder: Path, records: Sequence[Record] = (), drain: Drain = Rig.drain) -> Rig:
    """One life of the child, over these records or three; raises KilledError where it dies."""
    records = records or three()
    result, guard = pipeline(folder), born(folder)
    guard.record_accepted_batch(records[-1].sequence_number, 0)
    guard.route(records, result.router, lambda: drain(result), lambda: drain(result))
    guard.record_clean_exit()
    return result


def dies_at(folder: Path, at: int, line: int, records: Sequence[Record] = ()) -> None:
    """A life that ends while this event is at work."""

    def drain(created: Rig) -> None:
        if life_of(folder).at_work == EventPlace(at, 0, line):
            raise KilledError
        created.drain()

    with pytest.raises(KilledError):
        live(folder, records, drain)


def convicted(folder: Path) -> list[tuple[int, int]]:
    """What the next child would bury unread."""
    was = (folder / "shard-1.json").read_bytes()
    result = [(place.sequence_number, place.line) for place in born(folder)._marker.culprits]
    (folder / "shard-1.json").write_bytes(was)
    return result


def outcome(created: Rig) -> tuple[list[tuple[Reason, int, int]], list[int]]:
    """The letters, and the records of what was delivered."""
    dead = [(letter.reason, letter.event.record.sequence_number, letter.event.line) for letter in created.tally.dead]
    return dead, [entry.event.record.sequence_number for entry in created.tally.delivered]


def kept(created: Rig) -> list[object]:
    """What the stored letters keep of their events."""
    letters = [orjson.loads(str(message["MessageBody"])) for message in created.queue.messages]
    return [orjson.loads(base64.b64decode(letter["record"]["data"])) for letter in letters]


@pytest.fixture
def careful(tmp_path: Path) -> Path:
    """The folder of a shard whose child died three times at one checkpoint, with many records in its charge."""
    for _ in range(3):
        born(tmp_path).record_accepted_batch(1_000, 0)
    return tmp_path


def test_three_deaths_at_one_checkpoint_call_for_care(tmp_path: Path) -> None:
    """The fourth child is careful, not the third; a child that ended well counts for nothing."""
    assert not born(tmp_path).is_careful
    assert not born(tmp_path).is_careful
    guard = born(tmp_path)
    assert not guard.is_careful
    guard.record_clean_exit()
    assert not born(tmp_path).is_careful
    assert born(tmp_path).is_careful
    assert not born(tmp_path, "100:0").is_careful


def test_the_deadly_event_alone_is_buried_though_dead_letters_are_masked(careful: Path) -> None:
    """Two deaths convict it; its letter is written unread, its neighbours are delivered."""
    for _ in range(2):
        dies_at(careful, 101, 1)
    result = live(careful)
    assert outcome(result) == ([(Reason.CRASHED, 101, 1)], [100, 101, 101, 102])
    assert kept(result) == [WITHHELD]


def test_a_crashed_letter_that_was_put_back_is_buried_at_its_first_death(tmp_path: Path) -> None:
    """No care was needed before: the events ahead of it go as they came, it dies once, and all others get through."""
    dies_at(tmp_path, 101, 0, [record(100, GOOD), put_back(101), record(102, GOOD)])
    result = live(tmp_path, [record(100, GOOD), put_back(101), record(102, GOOD)])
    assert outcome(result) == ([(Reason.CRASHED, 101, 0)], [100, 102])


def test_what_was_put_back_for_another_reason_needs_no_care(tmp_path: Path) -> None:
    """A death is no word against it: neither is a sender's body that says what only an operator may say."""
    body = orjson.dumps({**BODY, "payload": {"kind": "line", "reason": "crashed", "resubmitted": "redrive/app/1/1"}})
    for item in (put_back(100, crashed=False), record(100, body)):
        born(tmp_path).route([item], pipeline(tmp_path).router, lambda: pytest.fail("with care"), lambda: None)
        assert life_of(tmp_path).at_work is None


@pytest.mark.parametrize(
    ("deaths", "culprits"),
    [
        # someone who kills the child from outside hits it at a new place each time
        ([(100, 0, ""), (101, 0, ""), (101, 1, ""), (101, 2, "")], []),
        # a further crash does not forget a culprit
        ([(101, 1, ""), (101, 1, ""), (102, 0, "")], [(101, 1)]),
        # an outage may last for hours, and a host be switched off in it many times
        ([(100, 0, "holds")] * 9, []),
        # what comes after the wait may kill, and a death in a wait forgets nothing
        ([(101, 1, ""), (100, 0, "holds"), (101, 1, "goes on")], [(101, 1)]),
    ],
)
def test_who_is_convicted_of_deaths(
    careful: Path, deaths: list[tuple[int, int, str]], culprits: list[tuple[int, int]]
) -> None:
    """Each is a child that died with this event at work, only held, or worked on again."""
    for at, line, then in deaths:
        guard = born(careful)
        guard._mark_in_work(three()[at - 100], line, crashed_before=False)
        if then:
            guard.suspend_marker()
        if then == "goes on":
            guard.resume_marker()
    assert convicted(careful) == culprits


def test_a_culprit_stays_one_until_the_checkpoint_is_past_it(careful: Path) -> None:
    """A checkpoint beyond it forgets it."""
    for _ in range(2):
        dies_at(careful, 101, 1)
    guard = born(careful)
    guard.record_checkpoint(100, 0)
    assert life_of(careful).culprits
    guard.record_checkpoint(101, 0)
    assert not life_of(careful).culprits


def test_care_ends_once_the_checkpoint_has_passed_what_a_dead_child_had_taken_charge_of(tmp_path: Path) -> None:
    """Care costs speed; yet before that the deadly event may still come, in whatever batch."""
    for newest in (500, 700, 600):
        born(tmp_path).record_accepted_batch(newest, 2)
    well = born(tmp_path)
    well.record_accepted_batch(900, 0)
    well.record_clean_exit()  # prolongs no care
    guard = born(tmp_path)
    for reached in [(400, 0), (600, 9), (700, 1)]:
        guard.record_checkpoint(*reached)
        assert guard.is_careful, reached
    guard.record_checkpoint(700, 2)
    assert not guard.is_careful


@pytest.mark.parametrize("line", [WHOLE_RECORD_LINE, 1])
def test_a_death_at_a_burial_is_charged_to_what_is_buried(careful: Path, line: int) -> None:
    """Whatever ends the process while a culprit's letter is under way, the good record before it is not blamed."""
    for _ in range(2):
        born(careful)._mark_in_work(three()[1], line, crashed_before=False)

    def dying(created: Rig) -> None:
        if created.router.dead_letters.dispatcher.backlog:
            raise KilledError
        created.drain()

    for _ in range(4):
        with pytest.raises(KilledError):
            live(careful, drain=dying)
    assert set(convicted(careful)) == {(101, line)}


def test_a_record_that_cannot_be_opened_is_buried_line_by_line_in_slices(careful: Path) -> None:
    """Each line is an unread letter; half a million at once would take memory, and kill the process once more."""
    many = Record(b"1\n" * 1_234, 7)
    for _ in range(2):
        born(careful)._mark_in_work(many, WHOLE_RECORD_LINE, crashed_before=False)
    backlogs: list[int] = []

    def drain(created: Rig) -> None:
        backlogs.append(created.router.backlog)
        created.drain()

    created = live(careful, [many], drain)
    assert max(backlogs) <= SLICE_EVENTS
    assert [letter.event.line for letter in created.tally.dead] == list(range(1_234))
    assert kept(created) == [WITHHELD] * 1_234
    assert not many.unsettled


@pytest.mark.parametrize("text", ['{"checkpoint":', '{"checkpoint":"1:0","deaths":"many"}'])
def test_an_unreadable_file_is_a_new_life(tmp_path: Path, text: str) -> None:
    """What a power cut or another version left of the file stops nobody."""
    (tmp_path / "shard-1.json").write_text(text)
    assert not born(tmp_path).is_careful


def test_a_full_disk_stops_a_careful_shard_alone(
    careful: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no care is needed the marker is not either: a line a minute. What is not noted cannot be convicted; and the
    event before must not stand there for the death that follows."""
    now = 0
    healthy = CrashGuard(careful, "shard-2", START, lambda: now)
    guard = born(careful)
    guard._mark_in_work(three()[2], 0, crashed_before=False)

    def refused(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refused)
    monkeypatch.setattr(os, "pwrite", refused)
    for now in range(0, 119, 5):
        healthy.record_checkpoint(now, 0)
    healthy.record_clean_exit()
    assert caplog.text.count("No space left on device") == 2
    with pytest.raises(OSError, match="No space left"):
        guard._mark_in_work(three()[1], 0, crashed_before=False)
    assert not (careful / "shard-1.json").exists()
