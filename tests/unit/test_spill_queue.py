"""The spill in an SQS queue: stored by its MD5, drained by any receiver, hidden while at work, deleted once stored."""

import base64
import hashlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_router.aws_answers import Answer
from stream_router.aws_error_codes import find_cure
from stream_router.receiver import spill_queue
from stream_router.receiver.batcher import Batcher
from stream_router.receiver.events import NOT_STORED, TO_SPILL, TO_STREAM, PendingEvent
from stream_router.receiver.intake import SealedEvent
from stream_router.receiver.spill_queue import (
    GIVE_BACK_AFTER_S,
    VISIBILITY_TIMEOUT_S,
    QueueBacklog,
    decode,
    encode,
)
from stream_router.receiver.states import States
from stream_router.receiver.stats import Stats
from tests.receiver_kit import FakeLoop, FakeStream

URL = "https://sqs.test/1/spill"


class FakeQueue:
    """An SQS queue on the fake loop. `fault` is "", "down" (no answer) or "md5" (the answer has another MD5)."""

    def __init__(self, loop: FakeLoop) -> None:
        self._loop = loop
        self._numbers = itertools.count()
        self.bodies: dict[str, str] = {}
        self.visible_s: dict[str, float] = {}
        self.fault = ""
        self.deletes_fail = False
        self.refused: set[str] = set()
        """Operations that the queue's policy denies."""
        self.odd_messages: list[Any] = []
        """Messages that the next answer to ReceiveMessage holds before all others."""
        self.odd_answer = b""
        """Body of the next answer to ReceiveMessage."""

    def call(self, operation: str, body: bytes, timeout_s: float, done: Callable[[Answer], None]) -> None:
        request = orjson.loads(body)
        assert request["QueueUrl"] == URL
        if operation in self.refused:
            self._loop.call_later(0.02, done, Answer(400, b'{"__type":"AccessDeniedException"}', {}, ""))
        elif self.fault == "down":
            self._loop.call_later(timeout_s, done, Answer(0, b"", {}, "curl 28: timed out", timed_out=True))
        elif operation == "ReceiveMessage":
            self._receive(request, self._loop.time() + request["WaitTimeSeconds"], done)
        else:
            self._loop.call_later(0.02, self._do, operation, request["Entries"], done)

    def _receive(self, request: dict[str, Any], until_s: float, done: Callable[[Answer], None]) -> None:
        if self.odd_answer:
            body, self.odd_answer = self.odd_answer, b""
            done(Answer(200, body, {}, ""))
            return
        now_s = self._loop.time()
        names = [name for name, at_s in self.visible_s.items() if at_s <= now_s][: request["MaxNumberOfMessages"]]
        if not names and now_s < until_s:
            self._loop.call_later(0.1, self._receive, request, until_s, done)
            return
        messages, self.odd_messages = self.odd_messages, []
        for name in names:
            self.visible_s[name] = now_s + request["VisibilityTimeout"]
            text = self.bodies[name]
            messages.append({"MessageId": name, "ReceiptHandle": name, "Body": text, "MD5OfBody": md5(text)})
        done(Answer(200, orjson.dumps({"Messages": messages} if messages else {}), {}, ""))

    def _do(self, operation: str, entries: list[dict[str, Any]], done: Callable[[Answer], None]) -> None:
        results = []
        for entry in entries:
            if operation == "SendMessageBatch":
                name = f"m{next(self._numbers)}"
                self.bodies[name] = entry["MessageBody"]
                self.visible_s[name] = self._loop.time() + entry["DelaySeconds"]
                digest = "wrong" if self.fault == "md5" else md5(entry["MessageBody"])
                results.append({"Id": entry["Id"], "MessageId": name, "MD5OfMessageBody": digest})
            elif operation == "DeleteMessageBatch" and not self.deletes_fail:
                del self.bodies[entry["ReceiptHandle"]], self.visible_s[entry["ReceiptHandle"]]
                results.append({"Id": entry["Id"]})
            elif operation == "ChangeMessageVisibilityBatch" and entry["ReceiptHandle"] in self.visible_s:
                self.visible_s[entry["ReceiptHandle"]] = self._loop.time() + entry["VisibilityTimeout"]
                results.append({"Id": entry["Id"]})
        failed = [] if results else [{"Id": entry["Id"], "Code": "InternalError"} for entry in entries]
        done(Answer(200, orjson.dumps({"Successful": results, "Failed": failed}), {}, ""))


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class Receiver:
    """A batcher with the queue as its spill."""

    def __init__(self, loop: FakeLoop, queue: FakeQueue, stream: FakeStream) -> None:
        self.loop = loop
        self.batcher = Batcher(cast("Any", loop), stream.send, "s", 2, Stats(), jitter=lambda: 0.5)
        batcher = self.batcher
        self.letters: list[bytes] = []
        self.store = QueueBacklog(
            queue.call,
            URL,
            cast("Any", loop),
            batcher.groups,
            batcher.stats,
            batcher.drained,
            lambda: not (batcher.stream.down or batcher.calls.is_silent),
            self.dead_letter,
        )
        batcher.use_store(self.store)

    def dead_letter(self, line: bytes, done: Callable[[bool], None]) -> None:
        self.letters.append(line)
        self.loop.call_later(0.02, done, True)

    def post(self, number: int, mark: bytes = b"") -> list[str]:
        outcomes: list[str] = []
        event = SealedEvent(f"{number:032x}", number, b"%06d" % number + mark)
        self.batcher.submit([event], self.loop.time(), outcomes.append, has_delivery_id=True)
        return outcomes


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.text(min_size=1)), min_size=1))
def test_a_message_holds_its_events_byte_for_byte(events: list[tuple[int, str]]) -> None:
    """Whatever their characters: what SQS cannot carry as text is base64."""
    pairs = [(conversation, text.replace("\n", " ").encode()) for conversation, text in events]
    body = encode(pairs)
    assert decode(body) == pairs
    assert not any(ord(char) < 0x20 and char not in "\t\n\r" for char in body)
    assert "\ufffe" not in body
    assert "\uffff" not in body


@pytest.mark.parametrize("body", ["", "x", "{}\n{}", '{"spill":2,"encoding":"text","conversations":[1]}\nx'])
def test_a_body_that_is_not_ours_holds_no_events(body: str) -> None:
    """Nothing of it is sent."""
    assert decode(body) == []


def test_through_an_outage_the_queue_takes_events_and_any_receiver_drains_them(loop: FakeLoop) -> None:
    """202 once the queue has them; three receivers on one queue store each of them once it is back, and it is empty."""
    queue, stream = FakeQueue(loop), FakeStream(loop, ["down"] * 60)
    receivers = [Receiver(loop, queue, stream) for _ in range(3)]
    outcomes = []
    for number in range(90):
        outcomes.append(receivers[number % 3].post(number))
        loop.move(0.05)
    loop.move(60.0)
    assert {outcome[0] for outcome in outcomes} <= {TO_SPILL, TO_STREAM}
    lines = [line for _, line in stream.stored]
    assert set(lines) == {b"%06d" % number for number in range(90)}
    assert len(lines) <= 1.05 * 90
    assert not queue.bodies
    assert all(receiver.store.size == 0 for receiver in receivers)


@pytest.mark.parametrize("fault", ["down", "md5"])
def test_while_the_queue_fails_too_it_is_503(loop: FakeLoop, fault: str) -> None:
    """No answer, or a wrong MD5, is no 202."""
    queue, stream = FakeQueue(loop), FakeStream(loop, ["down"] * 10_000)
    receiver = Receiver(loop, queue, stream)
    queue.fault = fault
    outcome = receiver.post(1)
    loop.move(1.0)
    assert outcome == [NOT_STORED]
    loop.move(5.0)
    assert receiver.store.error


def test_what_a_killed_receiver_had_in_hand_another_drains(loop: FakeLoop) -> None:
    """SQS shows it again after VISIBILITY_TIMEOUT_S; while the first one lives it keeps the message hidden."""
    queue, stream = FakeQueue(loop), FakeStream(loop, ["down"] * 10_000)
    first = Receiver(loop, queue, stream)
    assert first.post(1) == []
    loop.move(2 * VISIBILITY_TIMEOUT_S)
    assert first.store.size == 1
    assert min(queue.visible_s.values()) > loop.time()
    first.store.begin_close()
    first.batcher.calls._send = lambda *_: None
    healthy = FakeStream(loop)
    second = Receiver(loop, queue, healthy)
    loop.move(2 * VISIBILITY_TIMEOUT_S)
    assert [line for _, line in healthy.stored] == [b"000001"]
    assert second.store.size == len(queue.bodies) == 0


def test_a_message_that_keeps_failing_goes_back_to_a_receiver_that_reaches_the_stream(loop: FakeLoop) -> None:
    """After GIVE_BACK_AFTER_S, although the first receiver lives: it is stored once, and no receiver holds it."""
    queue = FakeQueue(loop)
    first = Receiver(loop, queue, FakeStream(loop, ["down"] * 10_000))
    first.post(1)
    loop.move(GIVE_BACK_AFTER_S / 2)
    assert first.store.size == 1
    healthy = FakeStream(loop)
    second = Receiver(loop, queue, healthy)
    loop.move(GIVE_BACK_AFTER_S / 3)
    assert not healthy.stored
    loop.move(GIVE_BACK_AFTER_S)
    assert [line for _, line in healthy.stored] == [b"000001"]
    assert first.store.size == second.store.size == len(queue.bodies) == first.store._read_bytes == 0
    assert not any(bucket.suspects for bucket in first.batcher.groups)


def test_a_message_of_which_a_part_is_stored_stays_hidden(loop: FakeLoop) -> None:
    """Its stored events would be sent again each time that it is drained."""
    queue, stream = FakeQueue(loop), FakeStream(loop)
    receiver = Receiver(loop, queue, stream)
    plain_send = stream.send
    bad = base64.b64encode(b"000002")

    def send(body: bytes, timeout_s: float, done: Callable[[Answer], None]) -> None:
        is_down = loop.time() < 5.0 or bad in body
        answer = Answer(503, b"", {}, "")
        loop.call_later(0.01, done, answer) if is_down else plain_send(body, timeout_s, done)

    receiver.batcher.calls._send = send
    receiver.store.store([pending(receiver, 1), pending(receiver, 2)], lambda *_: None)
    loop.move(3 * GIVE_BACK_AFTER_S)
    assert [line for _, line in stream.stored] == [b"000001"]
    assert receiver.store.size == 1
    assert min(queue.visible_s.values()) > loop.time()


def pending(receiver: Receiver, number: int) -> PendingEvent:
    bucket = receiver.batcher.groups[number % 2]
    conversation = (number % 2) << 31
    return PendingEvent(bucket, conversation, b"%06d" % number, None)


def test_a_message_whose_delete_failed_comes_again(loop: FakeLoop) -> None:
    """With the same line; it is not lost, and goes once it can be deleted."""
    queue, stream = FakeQueue(loop), FakeStream(loop, ["down"] * 20)
    receiver = Receiver(loop, queue, stream)
    receiver.post(1)
    queue.deletes_fail = True
    loop.move(30.0)
    assert len(queue.bodies) == 1
    queue.deletes_fail = False
    loop.move(2 * VISIBILITY_TIMEOUT_S)
    assert {line for _, line in stream.stored} == {b"000001"}
    assert not queue.bodies


def test_an_event_that_the_stream_refuses_for_good_becomes_a_dead_letter(loop: FakeLoop) -> None:
    """Alone and while others are taken; its message is deleted afterwards."""
    queue, stream = FakeQueue(loop), FakeStream(loop)
    receiver = Receiver(loop, queue, stream)
    plain_send = stream.send

    def send(body: bytes, timeout_s: float, done: Callable[[Answer], None]) -> None:
        if base64.b64encode(b"000001poison")[:14] in body:
            loop.call_later(0.01, done, Answer(400, b'{"__type":"ValidationException"}', {}, ""))
        else:
            plain_send(body, timeout_s, done)

    receiver.batcher.calls._send = send
    receiver.post(1, b"poison")
    for number in range(2, 200):
        loop.move(0.2)
        receiver.post(number)
    loop.move(10.0)
    assert receiver.letters == [b"000001poison"]
    assert receiver.store.size == len(queue.bodies) == 0


@pytest.mark.parametrize("conversation", [1 << 32, -1])
def test_a_message_with_a_foreign_hash_is_unreadable(conversation: int) -> None:
    """It would have no partition group, and the error would end the draining of all messages."""
    assert decode(encode([(conversation, b"{}")])) == []
    assert decode(encode([((1 << 32) - 1, b"{}")])) == [((1 << 32) - 1, b"{}")]


ODD_MESSAGES = [
    {},
    {"MessageId": "m", "ReceiptHandle": "r", "Body": "x"},
    {"MessageId": "m", "ReceiptHandle": "r", "Body": None, "MD5OfBody": "x"},
    {"ReceiptHandle": "r", "Body": encode([(1, b"{}")]), "MD5OfBody": md5(encode([(1, b"{}")]))},
    "text",
    None,
]


@pytest.mark.parametrize("odd", ODD_MESSAGES)
def test_a_malformed_message_costs_no_other_message(loop: FakeLoop, odd: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The other messages of its answer are drained, the log names it, and later messages are received too."""
    queue, stream = FakeQueue(loop), FakeStream(loop, ["down"] * 20)
    receiver = Receiver(loop, queue, stream)
    receiver.post(1)
    queue.odd_messages = [odd]
    loop.move(30.0)
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert vars(line)["event"] == "spill-message-unreadable"
    assert {line for _, line in stream.stored} == {b"000001"}
    receiver.store.store([pending(receiver, 2)], lambda *_: None)
    loop.move(30.0)
    assert {line for _, line in stream.stored} == {b"000001", b"000002"}
    assert receiver.store.size == len(queue.bodies) == 0


def test_an_answer_that_nobody_foresaw_ends_no_polling(loop: FakeLoop) -> None:
    """The loop asks again after a pause, whatever failed with one answer."""
    queue, stream = FakeQueue(loop), FakeStream(loop)
    receiver = Receiver(loop, queue, stream)
    queue.odd_answer = b'{"Messages":7}'
    receiver.store.store([pending(receiver, 1)], lambda *_: None)
    with pytest.raises(TypeError):
        loop.move(30.0)
    loop.move(30.0)
    assert [line for _, line in stream.stored] == [b"000001"]


def test_a_refused_receive_is_over_with_the_next_good_one(loop: FakeLoop) -> None:
    """Although nothing is sent meanwhile."""
    queue = FakeQueue(loop)
    receiver = Receiver(loop, queue, FakeStream(loop))
    queue.refused = {"ReceiveMessage"}
    loop.move(30.0)
    assert receiver.store.error == "AccessDeniedException"
    queue.refused = set()
    loop.move(30.0)
    assert receiver.store.error == ""
    assert receiver.store.snapshot()["spill_failing"] == 0


def test_a_refused_receive_outlasts_a_good_send(loop: FakeLoop) -> None:
    """What is stored cannot be drained: that stays in sight."""
    queue = FakeQueue(loop)
    receiver = Receiver(loop, queue, FakeStream(loop, ["down"] * 10_000))
    queue.refused = {"ReceiveMessage"}
    loop.move(30.0)
    outcome = receiver.post(1)
    loop.move(1.0)
    assert outcome == [TO_SPILL]
    assert receiver.store.error == "AccessDeniedException"


def test_a_refused_send_is_over_with_a_later_good_receive(loop: FakeLoop) -> None:
    """The queue answers again, and no event has to be spilled before that shows."""
    queue = FakeQueue(loop)
    receiver = Receiver(loop, queue, FakeStream(loop, ["down"] * 40))
    queue.refused = {"SendMessageBatch"}
    outcome = receiver.post(1)
    loop.move(1.0)
    assert outcome == [NOT_STORED]
    assert receiver.store.error == "AccessDeniedException"
    loop.move(60.0)
    assert receiver.store.error == ""


def test_what_other_receivers_drained_is_not_remembered_for_ever(
    loop: FakeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages of which a row was in a call when they were stored, and which never came back to this process."""
    monkeypatch.setattr(spill_queue, "MAX_SETTLED", 10)
    queue = FakeQueue(loop)
    receiver = Receiver(loop, queue, FakeStream(loop, ["down"] * 10_000))
    receiver.store.begin_close()

    def hold(events: Sequence[PendingEvent], first: int | None) -> None:
        assert first is not None
        for row in range(first, first + len(events)):
            receiver.store.hold(row)

    for number in range(25):
        receiver.store.store([pending(receiver, number)], hold)
        loop.move(0.1)
    assert 0 < len(receiver.store._own) <= 10


@pytest.mark.parametrize("operation", ["SendMessageBatch", "ReceiveMessage"])
def test_a_queue_that_refuses_is_logged_with_the_cure_of_its_code(
    loop: FakeLoop, caplog: pytest.LogCaptureFixture, operation: str
) -> None:
    """And not with one for a disk."""
    queue = FakeQueue(loop)
    queue.refused = {operation}
    receiver = Receiver(loop, queue, FakeStream(loop, ["down"] * 10_000))
    states = States(receiver.batcher, "s")
    receiver.post(1)
    loop.move(1.0)
    states.log_changes()
    (line,) = [record for record in caplog.records if vars(record)["event"] == "spill-down"]
    assert (vars(line)["code"], vars(line)["resource"]) == ("AccessDeniedException", URL)
    assert find_cure("AccessDeniedException") in line.getMessage()
    assert "disk" not in caplog.text
