"""The dead-letter queue's side of the engine: an event is settled only by a proven message."""

import random

import orjson
import pytest

from stream_router.errors import Answer
from stream_router.model import DeadLetter, Reason
from stream_router.pipeline.sinks.dead_letters import reader
from tests.fakes import NO_ANSWER, Rig, event, ok, refused, rig


def letters(count: int, raw: bytes | None = None) -> list[DeadLetter]:
    events = [event(n) for n in range(count)]
    if raw is not None:
        events = [one._replace(raw=raw) for one in events]
    return [DeadLetter(one, Reason.SCHEMA_MISMATCH, "X", "why", raw=one.raw) for one in events]


def bury(pipeline: Rig, made: list[DeadLetter]) -> None:
    pipeline.router.bury(made)


def test_letters_go_in_batches_of_ten_and_settle_their_events() -> None:
    """Twenty-five letters are three calls; each event is settled and reported once."""
    pipeline = rig()
    calls: list[int] = []
    pipeline.queue.judge = lambda messages: calls.append(len(messages))
    made = letters(25)
    bury(pipeline, made)
    pipeline.drain()
    assert calls == [10, 10, 5]
    assert pipeline.tally.dead == made
    assert all(not one.event.record.unsettled for one in made)


def test_a_message_that_failed_is_sent_again_alone() -> None:
    """A partial failure costs one more call with that message only."""
    pipeline = rig()
    seen: list[int] = []

    def judge(messages: list[dict[str, object]]) -> Answer | None:
        seen.append(len(messages))
        if len(seen) > 1:
            return None
        stored = pipeline.queue.store(messages[1:])
        failed = [{"Id": messages[0]["Id"], "Code": "InternalError", "SenderFault": False}]
        body = stored.body[:-1] + b',"Failed":' + ok(failed).body + b"}"
        return stored._replace(body=body)

    pipeline.queue.judge = judge
    bury(pipeline, letters(3))
    pipeline.drain()
    assert seen == [3, 1]
    assert len(pipeline.queue.bodies) == 3


def test_a_wrong_md5_settles_nothing() -> None:
    """A MessageId whose MD5 does not match is no proof: the message is sent again."""
    pipeline = rig()
    answers = iter([ok({"Successful": [{"Id": "0", "MessageId": "m", "MD5OfMessageBody": "0" * 32}]})])
    pipeline.queue.judge = lambda _: next(answers, None)
    made = letters(1)
    bury(pipeline, made)
    pipeline.drain(limit_s=60)
    assert pipeline.tally.dead == made
    assert len(pipeline.queue.bodies) == 1


def test_while_the_queue_is_down_the_shard_holds() -> None:
    """An hour without SQS buries nothing, settles nothing and loses nothing."""
    pipeline = rig()
    until = pipeline.world.now + 3600
    pipeline.queue.judge = lambda _: NO_ANSWER if pipeline.world.now < until else None
    made = letters(12)
    bury(pipeline, made)
    pipeline.run_for(3599)
    assert all(one.event.record.unsettled for one in made)
    assert pipeline.router.holding
    pipeline.drain(limit_s=20)
    assert len(pipeline.tally.dead) == 12
    assert set(pipeline.tally.dead) == set(made)


def partly(pipeline: Rig, stored: list[dict[str, object]], failed: list[dict[str, object]], **how: object) -> Answer:
    """Some messages are stored, of others SQS says `how` they failed."""
    taken = orjson.loads(pipeline.queue.store(stored).body)
    return ok({**taken, "Failed": [{"Id": message["Id"], **how} for message in failed]})


BLAMED = {"Code": "InvalidMessageContents", "SenderFault": True}


def test_the_parts_of_a_blamed_letter_settle_only_together() -> None:
    """Its minimal form goes over several messages of 200 KiB; until the last of them is stored nothing is settled."""
    pipeline = rig()
    unsettled: list[int] = []

    def judge(messages: list[dict[str, object]]) -> Answer | None:
        if any("MessageAttributes" in message for message in messages):
            return partly(pipeline, [], messages, **BLAMED)
        unsettled.append(one.event.record.unsettled)
        return partly(pipeline, messages[:1], messages[1:], Code="InternalError")

    pipeline.queue.judge = judge
    (one,) = made = letters(1, raw=random.Random(1).randbytes(500_000))
    bury(pipeline, made)
    pipeline.drain(limit_s=60)
    bodies = sorted(pipeline.queue.bodies, key=lambda body: str(body["part"]))
    parts = [reader.read(body).part for body in bodies]
    assert [(part.n, part.of) for part in parts if part] == [(n, 4) for n in range(1, 5)]
    assert unsettled == [1] * 4
    assert pipeline.tally.dead == made
    assert not one.event.record.unsettled
    whole = reader.join(map(reader.read, bodies))
    assert whole
    assert reader.original(whole) == one.event.raw


@pytest.mark.parametrize("refusal", ["ValidationException", "BatchRequestTooLong", "InvalidMessageContents"])
def test_a_minimal_letter_that_is_refused_for_its_content_is_held(
    refusal: str, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no smaller form, so it waits, alone or blamed by name, while other letters go through; then it goes."""
    pipeline = rig()
    (bad,) = letters(1)
    tries: list[bool] = []
    healed = False

    def judge(messages: list[dict[str, object]]) -> Answer | None:
        poison = [message for message in messages if bad.event.event_id in str(message["MessageBody"])]
        if healed or not poison:
            return None
        minimal = "MessageAttributes" not in poison[0]
        tries.append(minimal)
        if minimal and not refusal.startswith("Invalid"):
            return refused(refusal)
        return partly(pipeline, [message for message in messages if message not in poison], poison, **BLAMED)

    pipeline.queue.judge = judge
    bury(pipeline, [bad])
    for number in range(1, 600):
        bury(pipeline, [DeadLetter(event(number), Reason.UNROUTABLE, "X", "why")])
        pipeline.run_for(1)
    assert len(pipeline.tally.dead) >= 598
    assert bad.event.record.unsettled
    assert tries.count(False) == caplog.text.count("sending its minimal form") == 1
    assert 60 < tries.count(True) < 5 * 600
    healed = True
    pipeline.drain(limit_s=60)
    assert len(pipeline.tally.dead) == 600
    assert bad in pipeline.tally.dead
    assert not bad.event.record.unsettled
