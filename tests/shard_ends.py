"""Kinesis as a child asks it at a shard's end, in virtual time."""

import base64
from collections.abc import Callable
from typing import Any

from stream_router.aws_answers import Answer
from stream_router.consumer.child.shard_end import ShardEndCheck
from tests.fakes import World, ok

ITERATOR = ok({"ShardIterator": "first"})
THE_END = ok({"Records": [], "ChildShards": [{"ShardId": "shard-2"}], "MillisBehindLatest": 0})
A_LEASE = ok({"Item": {"leaseKey": {"S": "shard-2"}}})


def read(behind_ms: int = 0, *records: bytes) -> Answer:
    """An answer to GetRecords after which more may come."""
    result = [{"Data": base64.b64encode(data).decode()} for data in records]
    return ok({"Records": result, "NextShardIterator": "next", "MillisBehindLatest": behind_ms})


class Kinesis:
    """Gives each of `answers` in turn, and then those of a shard that was read to its end. Notes what it is `asked`."""

    def __init__(self, world: World, *answers: Answer) -> None:
        self._world = world
        self._answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def shard_end(self, start: str) -> ShardEndCheck:
        return ShardEndCheck(self._ask, "stream", "leases", "shard-1", start.partition(":")[0], self._world.clock)

    def will_answer(self, *answers: Answer) -> None:
        """These come next."""
        self._answers += answers

    def _ask(self, operation: str, kind: dict[str, Any], done: Callable[[Answer], None]) -> None:
        self.asked.append((operation, kind))
        usual = {"GetRecords": THE_END, "GetItem": A_LEASE}.get(operation, ITERATOR)
        answer = self._answers.pop(0) if self._answers else usual
        self._world.after(0.01, lambda: done(answer))
