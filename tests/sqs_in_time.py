"""SQS behind a transport, in virtual time: for tests of what the commands on dead letters do to a queue."""

from collections.abc import Callable
from typing import Any

import orjson

from stream_router.aws.endpoints import Target
from stream_router.errors import Answer
from tests.fakes import World, ok


class Sqs:
    """A queue behind a transport, in virtual time: `judge` may refuse a call."""

    def __init__(self) -> None:
        self.world = World()
        self.bodies = [str(n) for n in range(3)]
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.judge: Callable[[str, dict[str, Any]], Answer | None] = lambda *_: None
        self.sent_ms = 0
        """When what is received was sent (epoch ms)."""
        self.session, self.transport = None, self

    def start(self, target: Target, body: bytes, timeout_s: float, done: Callable[[Answer], None]) -> None:
        name, given = target.url, orjson.loads(body)
        self.calls.append((name, given))
        answer = self.judge(name, given) or self._answer(name, given)
        self.world.after(0.01, lambda: done(answer))

    def pump(self, wait_s: float) -> None:
        self.world.pump(wait_s)

    def _answer(self, name: str, given: dict[str, Any]) -> Answer:
        if name == "ReceiveMessage":
            found = [self._message(body) for body in self.bodies[:10]]
            self.bodies = self.bodies[10:]
            return ok({"Messages": found} if found else {})
        return ok({"Successful": [{"Id": entry["Id"]} for entry in given["Entries"]]})

    def _message(self, body: str) -> dict[str, Any]:
        sent = {"SentTimestamp": str(self.sent_ms)} if self.sent_ms else {}
        return {"MessageId": body, "ReceiptHandle": f"r-{body}", "Body": body, "Attributes": sent}

    def named(self, name: str) -> list[dict[str, Any]]:
        return [entry for called, given in self.calls if called == name for entry in given["Entries"]]
