"""Crash isolation: what kills its process is buried unread and alone, and nobody else is blamed or buried for it."""

import base64
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.consumer.child.crash_guard import WHOLE_RECORD, CrashGuard, Life
from stream_router.envelope import Resubmitted, seal, seal_line
from stream_router.model import Reason, Record, event_id
from stream_router.pipeline.masking.policy import MaskingPolicy
from stream_router.pipeline.route import SLICE_EVENTS
from stream_router.pipeline.transform import Transform
from tests.events import BODY, NOW_MS, RECEIVED_MS, config_of
from tests.fakes import Rig, rig

START = "TRIM_HORIZON:0"
POLICY = 'base = "default"\ndead_letters = true\n'
WITHHELD = {"withheld": "the policy masks dead letters, and this event could not be masked", "code": "ProcessKilled"}
GOOD, DEADLY = orjson.dumps(BODY), orjson.dumps({**BODY, "payload": {"KILL": 1}})


class KilledError(BaseException):
    """Stands for the death of the process: no `except Exception` sees it."""


@pytest.fixture(autouse=True)
def deadly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masking an event with the key KILL kills."""
    mask = MaskingPolicy._object

    def killing(self: MaskingPolicy, value: dict[str, Any], *rest: Any) -> dict[str, Any]:
        if "KILL" in value:
            raise KilledError
        return mask(self, value, *rest)

    monkeypatch.setattr(MaskingPolicy, "_object", killing)


def record(at: int, *bodies: bytes) -> Record:
    """A record of so many events."""
    ids = [event_id("s", str(at), line, body) for line, body in enumerate(bodies)]
    return Record(
        b"\n".join(seal(one, "delivery", RECEIVED_MS, body) for one, body in zip(ids, bodies, strict=True)), at
    )


def put_back(at: int, body: bytes, *, crashed: bool = True) -> Record:
    """The record in which an operator puts the event of `record(at, body)` back, for whatever reason it was buried."""
    line, run = record(at, body).data, Resubmitted("redrive", "app", "1234", 1)
    return Record(seal_line(line, "0" * 32, "delivery", RECEIVED_MS, run, crashed=crashed), at)


def records() -> list[Record]:
    """A good one, one of which the middle line is deadly, another good one."""
    return [record(100, GOOD), record(101, GOOD, DEADLY, GOOD), record(102, GOOD)]


def pipeline(folder: Path) -> Rig:
    (folder / "policy.toml").write_text(POLICY)
    transform = Transform(config_of(masking=str(folder / "policy.toml"), application="app"), lambda: NOW_MS)
    return rig(transform=transform, raw_of=transform.dead_letter_raw)


def born(folder: Path, start: str = START) -> CrashGuard:
    return CrashGuard(folder, "shard-1", start)


def life_of(folder: Path) -> Life:
    return Life.model_validate_json((folder / "shard-1.json").read_bytes())


def live(folder: Path, of: list[Record], drain: Callable[[Rig], None] = Rig.drain) -> Rig:
    """One life of the child, over these records; raises KilledError where it dies."""
    made, guard = pipeline(folder), born(folder)
    last = of[-1]
    guard.took_charge(last.sequence_number, last.sub_sequence_number)
    guard.route(of, made.router, lambda: drain(made), lambda: drain(made))
    guard.ended_well()
    return made


def dies(folder: Path, of: list[Record], drain: Callable[[Rig], None] = Rig.drain) -> None:
    with pytest.raises(KilledError):
        live(folder, of, drain)


def killed_at(folder: Path, one: Record, *lines: int) -> None:
    """A child that was killed from outside while this event was at work; of each of `lines` in turn."""
    for line in lines:
        born(folder)._begin(one, line, once=False)


def convicted(folder: Path) -> list[tuple[int, int]]:
    return [(place.sequence_number, place.line) for place in born(folder)._life.culprits]


@pytest.fixture
def careful(tmp_path: Path) -> Path:
    """The folder of a shard whose child died three times at one checkpoint, with many records in its charge."""
    for _ in range(3):
        born(tmp_path).took_charge(1_000, 0)
    return tmp_path


def test_three_deaths_at_one_checkpoint_call_for_care(tmp_path: Path) -> None:
    """The fourth child is careful, not the third; a child that ended well counts for nothing."""
    assert not born(tmp_path).careful
    assert not born(tmp_path).careful
    guard = born(tmp_path)
    assert not guard.careful
    guard.ended_well()
    assert not born(tmp_path).careful
    assert born(tmp_path).careful
    assert not born(tmp_path, "100:0").careful


def test_the_deadly_event_alone_is_buried_though_dead_letters_are_masked(tmp_path: Path) -> None:
    """Three deaths, and two that convict it; its letter is written unread, its neighbours are delivered."""
    for _ in range(5):
        dies(tmp_path, records())
    made = live(tmp_path, records())
    (letter,) = made.tally.dead
    assert (letter.reason, letter.event.record.sequence_number, letter.event.line) == (Reason.CRASHED, 101, 1)
    assert [entry.event.record.sequence_number for entry in made.tally.delivered] == [100, 101, 101, 102]
    assert kept(made) == [WITHHELD]


def kept(made: Rig) -> list[object]:
    """What the stored letters keep of their events."""
    return [
        orjson.loads(base64.b64decode(orjson.loads(str(m["MessageBody"]))["record"]["data"]))
        for m in made.queue.messages
    ]


def test_a_crashed_letter_that_was_put_back_is_buried_at_its_first_death(tmp_path: Path) -> None:
    """No care was needed before: the events ahead of it go as they came, it dies once, and all others get through."""

    def back() -> list[Record]:
        return [record(100, GOOD), put_back(101, DEADLY), record(102, GOOD)]

    dies(tmp_path, back())
    made = live(tmp_path, back())
    assert [(one.reason, one.event.record.sequence_number) for one in made.tally.dead] == [(Reason.CRASHED, 101)]
    assert [entry.event.record.sequence_number for entry in made.tally.delivered] == [100, 102]


def test_what_was_put_back_for_another_reason_needs_no_care(tmp_path: Path) -> None:
    """A death is no word against it: neither is a sender's body that says what only an operator may say."""
    said = orjson.dumps({**BODY, "payload": {"kind": "line", "reason": "crashed", "resubmitted": "redrive/app/1/1"}})
    for one in (put_back(100, GOOD, crashed=False), record(100, said)):
        born(tmp_path).route([one], pipeline(tmp_path).router, lambda: pytest.fail("with care"), lambda: None)
        assert life_of(tmp_path).at_work is None


def test_deaths_at_different_events_convict_none(careful: Path) -> None:
    """Someone who kills the child from outside hits it at a new place each time: no event is blamed."""
    killed_at(careful, records()[1], *range(9))
    assert convicted(careful) == []


def test_a_culprit_stays_one_until_the_checkpoint_is_past_it(careful: Path) -> None:
    """A further crash does not forget it; a checkpoint beyond it does."""
    killed_at(careful, records()[1], 1, 1)
    killed_at(careful, records()[2], 0)
    assert convicted(careful) == [(101, 1)]
    guard = born(careful)
    guard.progressed(100, 0)
    assert guard._life.culprits
    guard.progressed(101, 0)
    assert not guard._life.culprits


def test_care_ends_once_the_checkpoint_has_passed_what_a_dead_child_had_taken_charge_of(tmp_path: Path) -> None:
    """Care costs speed; yet before that the deadly event may still come, in whatever batch."""
    for newest in (500, 700, 600):
        born(tmp_path).took_charge(newest, 2)
    well = born(tmp_path)
    well.took_charge(900, 0)
    well.ended_well()  # prolongs no care
    guard = born(tmp_path)
    for reached in [(400, 0), (600, 9), (700, 1)]:
        guard.progressed(*reached)
        assert guard.careful, reached
    guard.progressed(700, 2)
    assert not guard.careful


def test_a_death_while_an_event_is_only_held_is_not_charged_to_it(careful: Path) -> None:
    """An outage may last for hours, and a host be switched off in it many times: what was sent before is no killer."""
    for _ in range(9):
        guard = born(careful)
        guard._begin(records()[0], 0, once=False)
        guard.holds()
    assert convicted(careful) == []


def test_an_event_that_is_worked_on_again_is_suspected_again(careful: Path) -> None:
    """What comes after the wait (its dead letter, for example) may be what kills; a death in a wait forgets nothing."""
    killed_at(careful, records()[1], 1)
    guard = born(careful)
    guard._begin(records()[0], 0, once=False)
    guard.holds()
    guard = born(careful)
    guard._begin(records()[1], 1, once=False)
    guard.holds()
    guard.goes_on()
    assert convicted(careful) == [(101, 1)]


@pytest.mark.parametrize("line", [WHOLE_RECORD, 1])
def test_a_death_at_a_burial_is_charged_to_what_is_buried(careful: Path, line: int) -> None:
    """Whatever ends the process while a culprit's letter is under way, the good record before it is not blamed."""
    killed_at(careful, records()[1], line, line)

    def dying(made: Rig) -> None:
        if made.router.dead_letters.dispatcher.backlog:
            raise KilledError
        made.drain()

    for _ in range(4):
        dies(careful, records(), dying)
    assert set(convicted(careful)) == {(101, line)}


def test_a_record_that_cannot_be_opened_is_buried_line_by_line_in_slices(careful: Path) -> None:
    """Each line is an unread letter; half a million at once would take memory, and kill the process once more."""
    many = Record(b"1\n" * 1_234, 7)
    killed_at(careful, many, WHOLE_RECORD, WHOLE_RECORD)
    backlogs: list[int] = []

    def drain(made: Rig) -> None:
        backlogs.append(made.router.backlog)
        made.drain()

    made = live(careful, [many], drain)
    assert max(backlogs) <= SLICE_EVENTS
    assert [letter.event.line for letter in made.tally.dead] == list(range(1_234))
    assert kept(made) == [WITHHELD] * 1_234
    assert not many.unsettled


@pytest.mark.parametrize("text", ['{"checkpoint":', '{"checkpoint":"1:0","deaths":"many"}'])
def test_an_unreadable_file_is_a_new_life(tmp_path: Path, text: str) -> None:
    """What a power cut or another version left of the file stops nobody."""
    (tmp_path / "shard-1.json").write_text(text)
    assert not born(tmp_path).careful


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Called, it fills the disk."""

    def refused(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill() -> None:
        monkeypatch.setattr(Path, "write_bytes", refused)
        monkeypatch.setattr(os, "pwrite", refused)

    return fill


def test_a_full_disk_does_not_stop_a_healthy_shard(
    tmp_path: Path, full: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Where no care is needed the marker is not either: one line a minute, and the shard goes on."""
    now = 0
    guard = CrashGuard(tmp_path, "shard-1", START, lambda: now)
    full()
    for now in range(0, 119, 5):
        guard.progressed(now, 0)
    guard.ended_well()
    assert caplog.text.count("No space left on device") == 2


def test_without_its_marker_a_careful_shard_does_not_go_on(
    careful: Path, full: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    """What is not noted cannot be convicted; and the event before must not stand there for the death that follows."""
    killed_at(careful, records()[2], 0)
    guard = born(careful)
    guard._begin(records()[2], 0, once=False)
    full()
    with pytest.raises(OSError, match="No space left"):
        guard._begin(records()[1], 0, once=False)
    assert "a careful shard stands without its crash marker: No space left on device" in caplog.text
    assert not (careful / "shard-1.json").exists()
