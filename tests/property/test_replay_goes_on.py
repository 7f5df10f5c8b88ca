"""A replay over shards that split and merge: broken off anywhere and continued, it puts each event back once."""

import random
import shlex
import threading
from typing import Any

import orjson
import pytest

from stream_router.envelope import Resubmitted, read_resubmitted, seal, seal_line
from stream_router.operate import replay, resubmit, stream_writer
from stream_router.operate.console import Stop, parse_time_ms
from stream_router.operate.resubmit import ResubmitRun, Selection
from stream_router.operate.stream import Span
from stream_router.settings.operators import DeadLetters
from stream_router.settings.reading import load
from tests.kinesis_shelf import Kept, Puts, Shelf, quick, refusal

NOW_MS = 1_764_000_000_000
MINUTE_MS = 60_000
PASSING = ("ProvisionedThroughputExceededException", "ExpiredIteratorException")


def kept(number: int, arrived_at_ms: int, resubmitted: Resubmitted | None) -> Kept:
    line = seal(f"{number:032x}", "content", 1, b'{"eventType":"t"}')
    if resubmitted:
        line = seal_line(line, f"{number:032x}", "content", 1, resubmitted)
    return Kept(number, arrived_at_ms, line)


class Kinesis(Shelf):
    """An hour of a stream, mostly resharded by chance; it throttles, lets iterators expire, and may refuse all.

    At its call `breaks_at` somebody asks for a stop, or it refuses everything from then on (0: never).
    """

    def __init__(self, dice: random.Random) -> None:
        reshards = 0.08 if dice.random() < 0.7 else 0.0
        names = ["0", "1"] if reshards else ["0"]
        super().__init__(dict.fromkeys(names, ()), set(names))
        self.dice, self.puts = dice, Puts(self._judged)
        self.wanted: dict[int, int] = {}
        """What a replay is to put back, and when it arrived."""
        at_ms, number = NOW_MS - 60 * MINUTE_MS, 0
        while (at_ms := at_ms + dice.randint(500, 30_000)) < NOW_MS - MINUTE_MS:
            if dice.random() < reshards:
                self._reshard(merge=len(self.open) > 2 and dice.random() < 0.5)
            number += dice.randint(1, 5)
            arrived_ms, way = at_ms + dice.randint(-3_000, 3_000), dice.choice(["", "", "", "redrive", "replay"])
            resubmitted = Resubmitted(way, "cxone-event-router", "r", 1) if way else None
            self.kept[dice.choice(sorted(self.open))].append(kept(number, arrived_ms, resubmitted))
            if way != "replay":
                self.wanted[number] = arrived_ms
        self.last_number = number
        self.most = lambda limit: dice.randint(0, min(limit, 7))
        self.says_end_late = lambda: dice.random() < 0.5
        self.refuse = lambda *_: self._refused()
        self.breaks_at, self.stop, self.refuses, self.by_ctrl_c = 0, Stop(), False, True

    def _reshard(self, *, merge: bool) -> None:
        ended = tuple(self.dice.sample(sorted(self.open), 1 + merge))
        self.open -= set(ended)
        for _ in range(1 if merge else 2):
            name = str(len(self.parents))
            self.parents[name], self.kept[name] = ended, []
            self.open.add(name)

    def _breaks(self) -> bool:
        self.breaks_at -= 1
        if self.breaks_at == 0 and self.by_ctrl_c:
            self.stop.request()
        self.refuses |= self.breaks_at == 0 and not self.by_ctrl_c
        return self.refuses

    def _refused(self) -> Exception | None:
        chance = self.dice.random()
        if self._breaks():
            return refusal("ExpiredTokenException")
        return refusal(PASSING[chance < 0.05]) if chance < 0.1 else None

    def _store(self, line: bytes) -> None:
        """Show a line that was put back to later readers of the stream, as Kinesis does."""
        self.last_number += 1
        self.kept[self.dice.choice(sorted(self.open))].append(Kept(self.last_number, NOW_MS + 1, line))

    def _judged(self, _: int) -> str:
        return "ProvisionedThroughputExceededException" if self.dice.random() < 0.2 else ""

    def put_records(self, **asked: Any) -> dict[str, Any]:
        if self._breaks():
            raise refusal("ExpiredTokenException", operation="PutRecords")
        before = len(self.puts.stored)
        answer = self.puts.put_records(**asked)
        for line in self.puts.stored[before:]:
            self._store(line)
        return answer


def continued_by(output: str) -> tuple[Selection, str] | None:
    """Return what the printed command asks for, and its run; None if no command is printed."""
    lines = [line for line in output.splitlines() if line.startswith("go on with: stream-router replay ")]
    if not lines:
        return None
    words = shlex.split(lines[0])[5:]
    pairs = list(zip(words[::2], words[1::2], strict=True))
    since_ms, until_ms = (parse_time_ms(dict(pairs)[name], name, NOW_MS) for name in ("--since", "--until"))
    ids = tuple(value for name, value in pairs if name == "--id")
    return Selection(since_ms, until_ms, ids=ids), dict(pairs)["--run"]


def assert_parents_come_first(kinesis: Kinesis) -> None:
    """Of a split and of a merge: a child is read once its parents are read to their ends."""
    order = [name for name, _ in kinesis.reads]
    for at, name in enumerate(order):
        assert not any(parent in order[at:] for parent in kinesis.parents[name])


@pytest.mark.parametrize("seed", range(40))
def test_a_replay_that_is_broken_off_anywhere_is_continued_to_its_end(
    seed: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each event of the span is put back once, under one run, but for what a replay put there; 0 at the end."""
    quick(monkeypatch)
    monkeypatch.setattr(stream_writer, "MAX_LINES_AHEAD", 3)
    for module in (replay, resubmit):
        monkeypatch.setattr(module, "now_ms", lambda: NOW_MS)
    dice = random.Random(seed)
    kinesis = Kinesis(dice)
    settings = load(DeadLetters, aws_region="us-east-1", sqs_dlq_url="https://sqs/1/q", buckets=dice.randint(1, 5))
    since_ms = NOW_MS - dice.randint(10, 65) * MINUTE_MS
    span = Span(since_ms, min(NOW_MS, since_ms + dice.randint(1, 60) * MINUTE_MS))
    wanted = {f"{number:032x}" for number, arrived_ms in kinesis.wanted.items() if span.holds(arrived_ms)}
    selection, run = Selection(*span), ""
    if dice.random() < 0.3 and wanted:
        wanted = set(dice.sample(sorted(wanted), min(3, len(wanted))))
        selection = selection._replace(ids=tuple(sorted(wanted)))
    for breaks_at in [*(dice.randint(1, 60) for _ in range(8)), 0]:
        kinesis.breaks_at, kinesis.stop, kinesis.refuses, kinesis.reads = breaks_at, Stop(), False, []
        kinesis.by_ctrl_c = dice.random() < 0.5
        back = ResubmitRun(settings, kinesis.clients, 0.0, kinesis.stop, dry_run=False, run=run)
        command = replay.Replay(settings, selection, (), kinesis.stream, back, is_continued=bool(run))
        status = command.run(kinesis.clients, kinesis.stop)
        if not run:  # a run that goes on reads the stream twice
            assert_parents_come_first(kinesis)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("read")]
        if (continued := continued_by(capsys.readouterr().out)) is None:
            break
        assert status == replay.INCOMPLETE
        selection, run = continued
    assert status == replay.DONE
    put = [orjson.loads(line) for line in kinesis.puts.stored]
    assert sorted(item["id"] for item in put) == sorted(wanted)
    marks = {item["resubmitted"] for item in put}
    assert all((mark := read_resubmitted(text)) and mark.command == "replay" for text in marks)
    assert len(marks) <= 1
