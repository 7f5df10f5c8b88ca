"""Crash isolation: what kills its process is buried unread, and nobody else is blamed or buried for it."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.consumer.child.progress.crash_guard import WHOLE_RECORD, CrashGuard
from stream_router.consumer.child.progress.one_at_a_time import route_carefully
from stream_router.envelope import seal
from stream_router.model import Reason, Record, event_id
from stream_router.pipeline.masking.policy import MaskingPolicy
from stream_router.pipeline.route import SLICE_EVENTS
from stream_router.pipeline.transform import Transform
from tests.events import BODY, NOW_MS, RECEIVED_MS, config_of
from tests.fakes import Rig, rig

POLICY = 'base = "default"\ndead_letters = true\n'


WITHHELD = {"withheld": "the policy masks dead letters, and this event could not be masked", "code": "ProcessKilled"}


class KilledError(BaseException):
    """Stands for the death of the process: no `except Exception` sees it."""


def records() -> list[Record]:
    """A good one, one of which the middle line is deadly, another good one."""
    good, deadly = orjson.dumps(BODY), orjson.dumps({**BODY, "payload": {"KILL": 1}})
    lines = [[good], [good, deadly, good], [good]]
    return [
        Record(
            b"\n".join(
                seal(event_id("s", str(at), n, body), "delivery", RECEIVED_MS, body) for n, body in enumerate(of)
            ),
            at,
        )
        for at, of in enumerate(lines, 100)
    ]


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masking an event with the key KILL kills."""
    mask = MaskingPolicy._object

    def killing(self: MaskingPolicy, value: dict[str, Any], *rest: Any) -> dict[str, Any]:
        if "KILL" in value:
            raise KilledError
        return mask(self, value, *rest)

    monkeypatch.setattr(MaskingPolicy, "_object", killing)


def pipeline(folder: Path) -> Rig:
    (folder / "policy.toml").write_text(POLICY)
    transform = Transform(config_of(masking=str(folder / "policy.toml")), lambda: NOW_MS)
    return rig(transform=transform, raw_of=transform.dead_letter_raw)


def kept(made: Rig) -> list[object]:
    """What the stored letters keep of their events."""
    return [
        orjson.loads(base64.b64decode(orjson.loads(str(m["MessageBody"]))["record"]["data"]))
        for m in made.queue.messages
    ]


def live(folder: Path, drain: Callable[[Rig], None]) -> Rig:
    """One careful life of the child, over all records; raises KilledError where it dies."""
    made = pipeline(folder)
    guard = CrashGuard(folder, "shard-1", "TRIM_HORIZON:0")
    assert guard.careful
    route_carefully(records(), made.router, guard, lambda: drain(made))
    guard.ended_well()
    return made


@pytest.fixture
def died_three_times(tmp_path: Path) -> Path:
    """At one checkpoint, each with all of the records in its charge."""
    for _ in range(3):
        CrashGuard(tmp_path, "shard-1", "TRIM_HORIZON:0").took_charge(1_000, 0)
    return tmp_path


@pytest.mark.usefixtures("deadly")
def test_the_deadly_event_alone_is_buried_though_dead_letters_are_masked(died_three_times: Path) -> None:
    """Two more deaths convict it; its letter is written without reading or masking it, its neighbours are delivered."""
    for _ in range(2):
        with pytest.raises(KilledError):
            live(died_three_times, Rig.drain)
    made = live(died_three_times, Rig.drain)
    (letter,) = made.books.dead
    assert (letter.reason, letter.event.record.sequence_number, letter.event.line) == (Reason.CRASHED, 101, 1)
    assert len(made.books.delivered) == 4
    assert kept(made) == [WITHHELD]


@pytest.mark.parametrize("line", [WHOLE_RECORD, 1])
def test_a_death_at_a_burial_is_charged_to_what_is_buried(died_three_times: Path, line: int) -> None:
    """Whatever ends the process while a culprit's letter is under way, the good record before it is not blamed."""
    poison = records()[1]
    for _ in range(2):
        CrashGuard(died_three_times, "shard-1", "TRIM_HORIZON:0").begin(poison, line)

    def dying(made: Rig) -> None:
        if made.router.dead_letters.backlog:
            raise KilledError
        made.drain()

    for _ in range(4):
        with pytest.raises(KilledError):
            live(died_three_times, dying)
    guard = CrashGuard(died_three_times, "shard-1", "TRIM_HORIZON:0")
    convicted = [(one.sequence_number, n) for one in records() for n in range(-1, 3) if guard.is_culprit(one, n)]
    assert convicted == [(101, line)]


def test_a_record_that_cannot_be_opened_is_buried_line_by_line(died_three_times: Path) -> None:
    """Each of its lines is a letter of its own, unread; with masked dead letters nothing of it is shown."""
    for _ in range(2):
        CrashGuard(died_three_times, "shard-1", "TRIM_HORIZON:0").begin(records()[1], WHOLE_RECORD)
    made = live(died_three_times, Rig.drain)
    assert [(one.reason, one.event.line) for one in made.books.dead] == [(Reason.CRASHED, n) for n in range(3)]
    assert len(made.books.delivered) == 2
    assert kept(made) == [WITHHELD] * 3


def test_a_record_of_very_many_lines_is_buried_in_slices(died_three_times: Path) -> None:
    """Half a million letters at once would take memory out of all proportion, and kill the process once more."""
    many = Record(b"1\n" * 1_234, 7)
    for _ in range(2):
        CrashGuard(died_three_times, "shard-1", "TRIM_HORIZON:0").begin(many, WHOLE_RECORD)
    made, backlogs = pipeline(died_three_times), []

    def drain() -> None:
        backlogs.append(made.router.backlog)
        made.drain()

    route_carefully([many], made.router, CrashGuard(died_three_times, "shard-1", "TRIM_HORIZON:0"), drain)
    assert max(backlogs) <= SLICE_EVENTS
    assert [letter.event.line for letter in made.books.dead] == list(range(1_234))
    assert not many.unsettled
