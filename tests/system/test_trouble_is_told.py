"""What the consumer's log says of a trouble: one line with what to do, and nothing else at WARNING or above."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dead_letters import RULE
from tests.fakeaws.process import FakeAwsProcess
from tests.half_faked import started
from tests.system.world import World, until, webhook

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(420)]

FROZEN_S = 30.0
SECRET = "c4n4ry"


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger", {"bus_rules": [RULE]}) as fake_aws:
        yield fake_aws


class Told:
    """The consumer's log, from one trouble to the next."""

    def __init__(self, world: World, bus: FakeAwsProcess) -> None:
        self.world, self.bus = world, bus
        self._log = world.folder / "consume.log"
        self._from = 0
        self._posted = 0

    def lines(self) -> list[dict[str, Any]]:
        """Whole lines since `next`."""
        with self._log.open("rb") as log:
            log.seek(self._from)
            return [json.loads(line) for line in log.read().splitlines(keepends=True) if line.endswith(b"\n")]

    def size_bytes(self) -> int:
        return self._log.stat().st_size - self._from

    def bad(self) -> list[dict[str, Any]]:
        """What `grep` for WARNING and ERROR finds, the KCL's own troubles too."""
        return [line for line in self.lines() if line["level"] in ("WARNING", "ERROR")]

    def next(self, **plan: Any) -> None:
        """Another trouble begins."""
        self._from = self._log.stat().st_size
        self.bus.plan({"bus_rules": [RULE], **plan})

    def post(self, count: int, **changes: Any) -> None:
        for _ in range(count):
            self._posted += 1
            body = webhook(self._posted, payload={"text": SECRET}, **changes)
            self.world.post_patiently(f"t-{self._posted}", body)

    def wait_for(self, event: str, timeout_s: float = 40.0, **fields: str) -> list[dict[str, Any]]:
        """The lines of that event with these fields, once there is one."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.lines() if line.items() >= {"event": event, **fields}.items()]

        until(lambda: bool(found()), timeout_s, f"a line {event}")
        return found()

    def settle(self) -> None:
        """Nothing is held any more."""
        self.bus.plan({"bus_rules": [RULE]})
        before = len(self.bus.lines("PutEvents", "accepted"))
        self.post(8)
        until(lambda: len(self.bus.lines("PutEvents", "accepted")) >= before + 8, 60, "events go out again")


def test_each_trouble_of_the_consumer_is_told_once_with_its_cure(
    make_world: Callable[..., World], bus: FakeAwsProcess
) -> None:
    """One life of a consumer: denied, expired, a dead letter, Kinesis frozen."""
    world = started(make_world, bus, STREAM_ROUTER_MASKING="default")
    told = Told(world, bus)
    told.next()
    told.settle()
    assert told.bad() == []
    for trouble in (_denied, _dead_letter, _frozen):
        trouble(told)
        told.settle()
    assert SECRET not in (world.folder / "consume.log").read_text("utf-8")


def call_error(operation: str, code: str) -> dict[str, Any]:
    return {"operation": operation, "fault": "call_error", "code": code}


def _denied(told: Told) -> None:
    """A17: the resource, AWS's code and message, how many events stand behind; anew when the cause changes."""
    told.next(rules=[call_error("PutEvents", "AccessDeniedException")])
    told.post(20)
    first = told.wait_for("holding")
    assert {line.get("event") for line in told.bad()} == {"holding"}
    assert len(first) <= 2, "one a shard"
    assert "default accepts nothing" in first[0]["message"]
    assert "AccessDeniedException (" in first[0]["message"]
    assert first[0]["message"].endswith("; grant it (stream-router setup --policy)")
    assert sum(line["waiting"] for line in first) > 1
    told.next(rules=[call_error("PutEvents", "ExpiredTokenException")])
    # The other shard may only now say the first cause.
    (again, *_) = told.wait_for("holding", code="ExpiredTokenException")
    assert again["message"].endswith("; renew the credentials")
    assert {line.get("event") for line in told.bad()} == {"holding"}


def _dead_letter(told: Told) -> None:
    """A11: which event, why, and where to look."""
    told.next()
    told.post(1, eventType="of.nobody")
    (line,) = told.wait_for("dead-letter")
    assert f"unroutable (UnroutableEventType); see stream-router dlq show {line['eventId']}" in line["message"]
    assert {one.get("event") for one in told.bad()} <= {"dead-letter", "types-unmatched", "rule-matches-again"}


def _frozen(told: Told) -> None:
    """A16: Kinesis and DynamoDB answer nobody; the KCL's traces do not bury what matters."""
    told.next()
    (stack,) = [pid for pid, words in told.world._running() if "ministack" in " ".join(words[1:3])]
    os.kill(stack, signal.SIGSTOP)
    time.sleep(FROZEN_S)
    os.kill(stack, signal.SIGCONT)
    assert told.size_bytes() < 60_000, "1.9 MB in 100 s once"
    assert len(told.bad()) < 40, "773 lines once"
