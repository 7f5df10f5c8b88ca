"""A stand-in for Kinesis that is slow in the ways of FINDINGS F1, and the senders that post again what was refused."""

import base64
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import orjson

from tests.raw_server import RawServer, Seen, answer
from tests.receiver_load import Outcome, post, send

TRIES, ROUND_S = 6, 2.0
"""How often a delivery is sent at most, and how long after its refusal again."""


class SlowKinesis(RawServer):
    """PutRecords on loopback. `delay_s` is asked for each call; with `one_by_one` each waits its turn.

    A call that its caller gave up is worked off all the same. `ids` holds each envelope's in the stream's order, copies
    included. `down`: 503 to all. A connection takes `opens_in_s` before it can be used.
    """

    def __init__(
        self,
        delay_s: Callable[[], float],
        *,
        one_by_one: bool = False,
        failing: float = 0.0,
        seed: int = 0,
        opens_in_s: float = 0.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(self._put, tls)
        self.delay_s = delay_s
        self.down = False
        self.ids: list[str] = []
        self._turn = threading.BoundedSemaphore(1 if one_by_one else 1_000)
        self._failing = failing
        self._chance = random.Random(seed)
        self._storing = threading.Lock()
        self._opens_in_s = opens_in_s

    def _serve(self, plain: socket.socket, number: int) -> None:
        time.sleep(self._opens_in_s)
        super()._serve(plain, number)

    def _put(self, seen: Seen) -> bytes:
        if not seen.headers.get("x-amz-target", "").endswith("PutRecords"):
            return answer(400)
        with self._turn:
            time.sleep(self.delay_s())
        if self.down:
            return answer(503, b'{"__type":"ServiceUnavailableException"}')
        with self._storing:
            results = [self._stored(record) for record in orjson.loads(seen.body)["Records"]]
        failed = sum("ErrorCode" in result for result in results)
        return answer(200, orjson.dumps({"FailedRecordCount": failed, "Records": results}))

    def _stored(self, record: dict[str, str]) -> dict[str, str]:
        if self._failing and self._chance.random() < self._failing:
            code = self._chance.choice(["ProvisionedThroughputExceededException", "InternalFailure"])
            return {"ErrorCode": code, "ErrorMessage": "as planned"}
        self.ids += [str(orjson.loads(line)["id"]) for line in base64.b64decode(record["Data"]).split(b"\n")]
        return {"SequenceNumber": str(len(self.ids)), "ShardId": "shardId-000000000000"}


def deliveries(address: tuple[str, int], bodies: Iterator[bytes], rate: float, seconds: float) -> list[list[Outcome]]:
    """Post at `rate` a second, each delivery again where it was refused: of each its answers, in the order of sending.

    With two seconds between a delivery's tries, some new ones beside them.
    """
    tried: list[tuple[bytes, list[Outcome]]] = []
    left, again = int(rate * seconds), list[tuple[bytes, list[Outcome]]]()
    while left > 0 or again:
        new = [
            (post(body, {"x-delivery-id": body.hex()[:200]}), list[Outcome]())
            for body in islice(bodies, min(left, int(rate * ROUND_S)))
        ]
        left -= len(new)
        tried += new
        begun_s = time.monotonic()
        batch = [*again, *new]
        outcomes = send(address, [request for request, _ in batch], max(rate, len(batch) / ROUND_S), len(batch))
        for (_, answers), outcome in zip(batch, sorted(outcomes, key=lambda one: one.number), strict=True):
            answers.append(outcome)
        again = [one for one in batch if one[1][-1].status != 202 and len(one[1]) < TRIES]
        if again:
            time.sleep(max(0.0, begun_s + ROUND_S - time.monotonic()))
    return [answers for _, answers in tried]


def accepted(tries: Sequence[Outcome]) -> bool:
    """Whether this delivery was taken in the end."""
    return tries[-1].status == 202
