"""A model of the receiver's store, and a world in which a test decides when each call and each job of the disk ends."""

import base64
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import orjson

from stream_router.aws_answers import Answer
from stream_router.envelope import CONVERSATION_BITS
from stream_router.receiver.batcher import Batcher
from stream_router.receiver.events import ACCEPTED
from stream_router.receiver.intake import SealedEvent
from stream_router.receiver.putrecords import CALL_TIMEOUT_S
from stream_router.receiver.spill import Spill, iter_rows
from stream_router.receiver.stats import Stats
from tests.receiver_kit import FakeLoop

BUCKETS = 2
LATEST_S = 0.88
POISON = b"poison"
"""A line with this is refused by the stream for its content."""
SPILL_BYTES = 10**9


def hash_of(conversation: int) -> int:
    """The hash of a conversation that belongs to the bucket of its number, modulo their count."""
    return ((conversation % BUCKETS) << CONVERSATION_BITS) // BUCKETS + conversation


class Post:
    """A delivery, and what the sender was answered for each try."""

    def __init__(self, number: int, life: int, conversations: Sequence[int], poison: int | None) -> None:
        self.life = life
        self.events = [
            SealedEvent(
                f"{number:028x}{at:04x}",
                hash_of(conversation),
                b"%06d-%d-%d%s" % (number, at, conversation, POISON if at == poison else b""),
            )
            for at, conversation in enumerate(conversations)
        ]
        self.asked_s: list[float] = []
        """Times of the tries without an answer."""
        self.answers: list[str] = []

    @property
    def accepted(self) -> bool:
        return any(outcome in ACCEPTED for outcome in self.answers)


class OpenCall:
    """A PutRecords call that has no answer yet."""

    def __init__(self, records: list[dict[str, Any]], done: Callable[[Answer], None], life: int) -> None:
        self.records = records
        self.lines = [base64.b64decode(record["Data"]).split(b"\n") for record in records]
        self.done = done
        self.life = life
        self.is_answered = False


class SteppedSpill(Spill):
    """The spill on its real files; each job of its thread is done when the test says so."""

    def _run_jobs(self) -> None:
        """Do nothing: `step` takes the thread's place."""

    def step(self, *, fails: bool) -> None:
        """Do the oldest job, or let the disk refuse it. To remove files is never refused: what fails is logged."""
        job = self._jobs.get_nowait()
        assert job is not None
        work, done, refused = job

        def refuse() -> None:
            raise OSError(28, "as scripted")

        result = self._run_job(refuse if fails and work.__name__ != "settle" else work, refused)
        self.size_bytes = self._files.size_bytes
        done(result)

    @property
    def has_jobs(self) -> bool:
        return not self._jobs.empty()

    def abandon(self) -> None:
        """Leave the folder as a kill does: nothing is finished, only the kernel frees the lock."""
        self._files.close()


class World:
    """Lives of one receiver on one folder, before one stream. The model is `posts`, `stored` and the folder itself."""

    def __init__(self, *, ordered: bool, has_spill: bool = True) -> None:
        self.ordered = ordered
        in_memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(prefix="store-", dir=in_memory if in_memory.is_dir() else None))
        self.has_spill = has_spill
        self.loop = FakeLoop()
        self.posts: list[Post] = []
        self.stored: list[bytes] = []
        self.calls: list[OpenCall] = []
        self.unanswered: list[OpenCall] = []
        """Calls that ended without an answer, and that the stream may still do."""
        self.copies_allowed = Counter[bytes]()
        self.life = 0
        self.is_well = False
        self._begin_life()

    def _begin_life(self) -> None:
        loop = FakeLoop()
        loop.move(self.loop.time())
        self.loop = loop
        self.batcher = Batcher(
            cast("Any", loop), self._send, "s", BUCKETS, Stats(), ordered=self.ordered, jitter=lambda: 0.7
        )
        self.disk: SteppedSpill | None = None
        if self.has_spill:
            self.disk = SteppedSpill(self.folder, cast("Any", loop))
            self.batcher.use_spill(self.disk, SPILL_BYTES)

    # --- the sender

    def post(self, conversations: Sequence[int], poison: int | None = None) -> Post:
        new = Post(len(self.posts), self.life, conversations, poison)
        self.posts.append(new)
        self.submit(new)
        return new

    def post_again(self, back: int) -> None:
        """Post one of the latest deliveries again. What an earlier life knew of it is forgotten: none of those."""
        known = [post for post in self.posts if post.life == self.life]
        if known:
            self.submit(known[-min(back, len(known))])

    def submit(self, post: Post) -> None:
        """Post a delivery, perhaps again."""
        asked_s, life = self.loop.time(), self.life
        post.asked_s.append(asked_s)

        def answered(outcome: str) -> None:
            assert life == self.life
            assert self.loop.time() - asked_s < LATEST_S, "no answer in time"
            post.asked_s.remove(asked_s)
            post.answers.append(outcome)
            if outcome in ACCEPTED:
                self.check_safe([post])

        self.batcher.submit(post.events, asked_s, answered, has_delivery_id=True)

    # --- the stream

    def _send(self, body: bytes, timeout_s: float, done: Callable[[Answer], None]) -> None:
        assert timeout_s == CALL_TIMEOUT_S
        call = OpenCall(orjson.loads(body)["Records"], done, self.life)
        open_lines = {line for other in self.calls for lines in other.lines for line in lines}
        for lines in call.lines:
            for line in lines:
                assert line, "an empty line is sent"
                assert line not in open_lines, "sent while an open call carries it"
                open_lines.add(line)
        self.calls.append(call)
        self.loop.call_later(timeout_s, self._time_out, call)
        if self.is_well:
            self.loop.call_later(0.01, self.answer, call)

    def _time_out(self, call: OpenCall) -> None:
        if call in self.calls:
            self.end_unanswered(call, "curl 28: timed out", timed_out=True)

    def end_unanswered(self, call: OpenCall, error: str = "curl 56: reset", *, timed_out: bool = False) -> None:
        """The receiver learns nothing, and the stream may still do what the call asks for."""
        self.calls.remove(call)
        self.unanswered.append(call)
        call.done(Answer(0, b"", {}, error, timed_out=timed_out))

    def store_unanswered(self, call: OpenCall) -> None:
        """The stream does a call whose caller has given it up."""
        self.unanswered.remove(call)
        if not any(POISON in line for lines in call.lines for line in lines):
            for lines in call.lines:
                self._store(lines)
                self.copies_allowed.update(lines)

    def _store(self, lines: Sequence[bytes]) -> None:
        self.stored += lines

    def answer(self, call: OpenCall, failing: int | None = None, status: int = 200) -> None:
        """The stream does the call, all of it or all but one record, and says so; or refuses it."""
        if call not in self.calls:
            return
        self.calls.remove(call)
        if status != 200:
            call.done(Answer(status, b'{"__type":"ServiceUnavailableException"}', {}, ""))
        elif any(POISON in line for lines in call.lines for line in lines):
            call.done(Answer(400, b'{"__type":"ValidationException"}', {}, ""))
        else:
            results: list[dict[str, str]] = []
            for at, lines in enumerate(call.lines):
                if failing is not None and at == failing % len(call.lines):
                    results.append({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": ""})
                    continue
                self._store(lines)
                results.append({"SequenceNumber": str(len(self.stored)), "ShardId": "shardId-000000000000"})
            failed = sum("ErrorCode" in result for result in results)
            call.done(Answer(200, orjson.dumps({"FailedRecordCount": failed, "Records": results}), {}, ""))

    # --- the disk

    def step_disk(self, *, fails: bool = False) -> None:
        if self.disk is not None and self.disk.has_jobs:
            self.disk.step(fails=fails)
            self.check_safe(self.posts)

    def lines_on_disk(self) -> list[bytes]:
        files = [*self.folder.glob("*.seg"), *self.folder.glob("*.damaged")]
        lines = [row.line for path in files for row in iter_rows(path.read_bytes())]
        refused = self.folder / "spill-0.refused.damaged"
        return lines + (refused.read_bytes().split(b"\n") if refused.exists() else [])

    def check_safe(self, posts: Sequence[Post]) -> None:
        """An acknowledged event is stored or on disk."""
        wanted = {event.line for post in posts if post.accepted for event in post.events}
        missing = wanted.difference(self.stored)
        if missing:
            missing -= set(self.lines_on_disk())
        assert not missing, f"acknowledged, and nowhere: {missing}"

    # --- the process

    def kill(self) -> None:
        """End the receiver as kill -9 does, and start it on the same folder; its open calls may still be done."""
        self.life += 1
        self.unanswered += self.calls
        for call in self.calls:
            self.copies_allowed.update(line for lines in call.lines for line in lines)
        self.calls.clear()
        for post in self.posts:
            post.asked_s.clear()
        if self.disk is not None:
            self.disk.abandon()
        # What is in the files comes again.
        self.copies_allowed.update(self.lines_on_disk())
        self._begin_life()
        self.check_safe(self.posts)

    def move(self, seconds: float, *, disk_works: bool = True) -> None:
        """Let time pass, in steps in which the disk does what it is asked for."""
        until_s = self.loop.time() + seconds
        while True:
            while disk_works and self.disk is not None and self.disk.has_jobs:
                self.step_disk()
            left_s = until_s - self.loop.time()
            if left_s <= 1e-9:
                return
            self.loop.move(min(left_s, 0.02 if disk_works else 1.0))

    def check_end(self, within_s: float = 90.0) -> None:
        """With the stream well and no new request everything leaves memory and disk."""
        self.is_well = True
        for call in list(self.calls):
            self.answer(call)
        self.move(6.0)  # hanging jobs are done, and every request is answered
        while not self._is_empty() and within_s > 0:
            if any(POISON in line for line in self.lines_on_disk()):
                # Only beside events that the stream takes a line counts as refused for good. Those of its own
                # conversation wait for it where order is asked for.
                for bucket in range(BUCKETS):
                    self.post([100 * BUCKETS + bucket])
            self.move(1.0)
            within_s -= 1.0
        self.move(6.0)
        assert not any(post.asked_s for post in self.posts), "a request has no answer"
        stats, backlog = self.batcher.stats, self.batcher.backlog
        if backlog is not None:
            assert backlog.snapshot()["spilled_events"] == 0, "events stay in the spill"
            assert not list(self.folder.glob("*.seg")), "files of the spill stay"
        assert stats.events_in_flight == stats.bytes_in_flight == self.batcher.calls.in_flight == 0
        self.check_safe(self.posts)
        for post in self.posts:
            if post.accepted:
                wanted = [event.line for event in post.events if POISON not in event.line]
                assert set(self.stored).issuperset(wanted), "acknowledged, and not in the stream"
        over = Counter(self.stored) - Counter(dict.fromkeys(self.stored, 1)) - self.copies_allowed
        assert not over, f"stored again without a reason: {over}"
        if self.ordered:
            self.check_order()

    def _is_empty(self) -> bool:
        backlog = self.batcher.backlog
        spilled = backlog is not None and (backlog.snapshot()["spilled_events"] or list(self.folder.glob("*.seg")))
        return not spilled and not self.batcher.stats.events_in_flight

    def check_order(self) -> None:
        """First copies of deliveries that were accepted at their first try stand in the order of the sending."""
        place = {line: at for at, line in reversed(list(enumerate(self.stored)))}
        last: dict[int, int] = {}
        for post in self.posts:
            if len(post.answers) == 1 and post.accepted:
                for event in post.events:
                    at = place.get(event.line)
                    if at is not None:
                        assert last.get(event.conversation, -1) < at, "out of order"
                        last[event.conversation] = at

    def close(self) -> None:
        if self.disk is not None:
            self.disk.abandon()
        shutil.rmtree(self.folder)
