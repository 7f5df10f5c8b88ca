"""The dead-letter queue's side of the engine: an event is settled only by a proven message."""

import random
from typing import Any

import orjson
import pytest

from stream_router.aws_answers import Answer
from stream_router.dead_letter_reasons import Reason
from stream_router.model import DeadLetter
from stream_router.pipeline.sinks.dead_letters import reader
from tests.fakes import NO_ANSWER, Rig, event, ok, refused, rig

Messages = list[dict[str, Any]]


def bury(pipeline: Rig, numbers: range, raw: bytes = b"") -> list[DeadLetter]:
    """Letters of so many events, handed to the engine."""
    events = [event(n)._replace(raw=raw) if raw else event(n) for n in numbers]
    dead_letters = [DeadLetter(item, Reason.SCHEMA_MISMATCH, "X", "why", raw=item.raw) for item in events]
    pipeline.router.send_dead_letters(dead_letters)
    return dead_letters


def partly(pipeline: Rig, stored: Messages, failed: Messages, **mode: object) -> Answer:
    """Some messages are stored. For the others SQS's answer has the members of `mode`."""
    taken = orjson.loads(pipeline.queue.store(stored).body)
    return ok({**taken, "Failed": [{"Id": message["Id"], **mode} for message in failed]})


BLAMED = {"Code": "InvalidMessageContents", "SenderFault": True}


def test_a_wrong_md5_settles_nothing() -> None:
    """A MessageId whose MD5 does not match is no proof: the message is sent again."""
    pipeline = rig()
    answers = iter([ok({"Successful": [{"Id": "0", "MessageId": "m", "MD5OfMessageBody": "0" * 32}]})])
    pipeline.queue.judge = lambda _: next(answers, None)
    result = bury(pipeline, range(1))
    pipeline.drain(limit_s=60)
    assert pipeline.tally.dead == result
    assert len(pipeline.queue.bodies) == 1


@pytest.mark.parametrize("answers", [False, True])
def test_while_the_queue_is_down_the_shard_holds(answers: bool) -> None:
    """An hour without SQS, or in which it fails each message, buries nothing, settles nothing and loses nothing."""
    pipeline = rig()
    until = pipeline.world.now + 3600

    def down(messages: Messages) -> Answer:
        return partly(pipeline, [], messages, Code="InternalError") if answers else NO_ANSWER

    pipeline.queue.judge = lambda messages: down(messages) if pipeline.world.now < until else None
    result = bury(pipeline, range(12))
    pipeline.run_for(3599)
    assert all(item.event.record.unsettled for item in result)
    assert pipeline.router.holding is not answers
    pipeline.drain(limit_s=20)
    assert len(pipeline.tally.dead) == 12
    assert set(pipeline.tally.dead) == set(result)


def test_the_parts_of_a_blamed_letter_settle_only_together() -> None:
    """Its minimal form goes over several messages of 200 KiB; until the last of them is stored nothing is settled."""
    pipeline = rig()
    unsettled: list[int] = []

    def judge(messages: Messages) -> Answer | None:
        if any("MessageAttributes" in message for message in messages):
            return partly(pipeline, [], messages, **BLAMED)
        unsettled.append(item.event.record.unsettled)
        return partly(pipeline, messages[:1], messages[1:], Code="InternalError")

    pipeline.queue.judge = judge
    (item,) = result = bury(pipeline, range(1), random.Random(1).randbytes(500_000))
    pipeline.drain(limit_s=60)
    assert unsettled == [1] * 4
    assert pipeline.tally.dead == result
    assert not item.event.record.unsettled
    whole = reader.join(map(reader.read, pipeline.queue.bodies))
    assert whole
    assert reader.original(whole) == item.event.raw


@pytest.mark.parametrize("refusal", ["ValidationException", "BatchRequestTooLong", "InvalidMessageContents"])
def test_a_minimal_letter_that_is_refused_for_its_content_is_held(refusal: str) -> None:
    """There is no smaller form, so it waits, alone or blamed by name, while other letters go through; then it goes."""
    pipeline = rig()
    tries: list[bool] = []
    healed = False

    def judge(messages: Messages) -> Answer | None:
        poison = [message for message in messages if event(0).event_id in message["MessageBody"]]
        if healed or not poison:
            return None
        minimal = "MessageAttributes" not in poison[0]
        tries.append(minimal)
        if minimal and not refusal.startswith("Invalid"):
            return refused(refusal)
        return partly(pipeline, [message for message in messages if message not in poison], poison, **BLAMED)

    pipeline.queue.judge = judge
    (bad,) = bury(pipeline, range(1))
    for number in range(1, 600):
        bury(pipeline, range(number, number + 1))
        pipeline.run_for(1)
    assert len(pipeline.tally.dead) >= 598
    assert bad.event.record.unsettled
    assert tries.count(False) == 1
    assert 60 < tries.count(True) < 5 * 600
    healed = True
    pipeline.drain(limit_s=60)
    assert len(pipeline.tally.dead) == 600
    assert not bad.event.record.unsettled
