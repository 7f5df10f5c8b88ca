"""`doctor --end-to-end`: one event of the reserved type goes the whole way, followed to the bus, each stage timed.

A rule and a queue of its own, for its mark alone, catch it behind the bus and are removed again. Nobody's event is
touched, and our own rule never matches it; a foreign rule on the source alone gets it too, and is named before.
"""

import json
import secrets
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from stream_router.checks.finding import Finding, Verdict
from stream_router.control.doctor.checks import bus
from stream_router.control.doctor.say import broken, ok, skipped, warn, wrong
from stream_router.control.doctor.world import World
from stream_router.errors import SettingsError
from stream_router.model import PROBE_TYPE, SOURCE
from stream_router.operate.policy import PROBE_PREFIX
from stream_router.operate.resources import let_in
from stream_router.pipeline.sample_events import sample_entries
from stream_router.process import iso, now_ms
from stream_router.send.poster import Answered, Poster, Webhook
from stream_router.send.signing import check_url, signer

POST_S = 5.0
ARRIVAL_S = 60.0
"""A consumer that just starts takes half a minute to its first record."""

AGAIN_S = 20.0
"""A new rule may take a while until it works: then another probe is sent."""

CODES = ("SR200", "SR201", "SR202", "SR203")


class Way:
    """Sends probes and sees them arrive. `url` is the receiver's."""

    def __init__(self, world: World, url: str) -> None:
        assert world.receive is not None
        check_url(world.receive, url)
        self._world, self._url = world, url
        self._sign = signer(world.receive)
        self.mark = secrets.token_hex(16)
        self.name = f"{PROBE_PREFIX}{self.mark[:12]}"

    def pattern(self) -> str:
        """What only our own probe matches."""
        detail = {"eventSource": ["cxone.webhook"], "payload": {"probe": [self.mark]}}
        return json.dumps({"source": [SOURCE], "detail-type": [PROBE_TYPE], "detail": detail})

    def post(self) -> Answered:
        """Send one, and how the receiver answered."""
        body = {
            "interactionId": self.name,
            "conversationId": self.name,
            "eventType": PROBE_TYPE,
            "timestamp": iso(now_ms()),
            "payload": {"probe": self.mark},
        }
        answers: list[Answered] = []
        webhook = Webhook(str(uuid.uuid4()), json.dumps(body).encode())
        Poster(self._url, self._sign, answers.append, POST_S).run(iter([webhook]), 0, lambda: True)
        return answers[0]

    @contextmanager
    def caught(self) -> Iterator[str]:
        """The URL of a queue behind a rule for our probe; both are gone afterwards."""
        events, sqs, home = self._world.client("events"), self._world.client("sqs"), self._world.home()
        on = {"EventBusName": self._world.settings.event_bus}
        rule_arn = home.rule(self._world.settings.event_bus, self.name)
        statement = let_in(home.queue(self.name), rule_arn)
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        queue = str(sqs.create_queue(QueueName=self.name, Attributes={"Policy": policy})["QueueUrl"])
        try:
            events.put_rule(Name=self.name, EventPattern=self.pattern(), **on)
            try:
                events.put_targets(Rule=self.name, Targets=[{"Id": "probe", "Arn": home.queue(self.name)}], **on)
                yield queue
            finally:
                events.remove_targets(Rule=self.name, Ids=["probe"], **on)
                events.delete_rule(Name=self.name, **on)
        finally:
            sqs.delete_queue(QueueUrl=queue)

    def arrive(self, queue: str, within_s: float) -> Any | None:
        """The message, as soon as it is there."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            answer = self._world.client("sqs").receive_message(
                QueueUrl=queue, WaitTimeSeconds=1, AttributeNames=["SentTimestamp"]
            )
            if answer.get("Messages"):
                return answer["Messages"][0]
        return None


def run(world: World, url: str) -> list[Finding]:
    """SR200 who else gets the probe, SR201 stored, SR202 through the consumer, SR203 over the bus: one finding each."""
    if world.common is None or world.receive is None:
        return [skipped(code, "waits for SR001") for code in CODES]
    if bus.is_v2(world):
        return [skipped(code, "a v2 bus has no rules, so nothing can be followed behind it") for code in CODES]
    found: list[Finding] = []
    left = ""
    try:
        found.append(_others(world))
        way = Way(world, url)
        with way.caught() as queue:
            found += _follow(way, queue)
            left = f"; rule and queue {way.name} may be left: delete them"
    except Exception as error:  # noqa: BLE001 - whatever breaks is said; the report of all checks is not lost for it
        found = found[: len(CODES) - 1]
        found.append(_broken(CODES[len(found)], error, left))
    return found + [skipped(code, "the probe came no further") for code in CODES[len(found) :]]


def _broken(code: str, error: Exception, left: str) -> Finding:
    """What became of a step that raised; `left` says what it may have left behind."""
    if isinstance(error, SettingsError):
        setting, _, rest = str(error).partition(": ")
        problem, _, cure = rest.partition("; ")
        return wrong(code, setting, problem, cure)
    says, cure = broken(error)
    cure = cure or "grant what `stream-router setup --policy operate` prints"
    return Finding(code, "end to end", Verdict.UNKNOWN, f"{says}{left}", cure)


def _others(world: World) -> Finding:
    """Rules that match the probe: ours must not, and another one's targets see it."""
    (entry,) = sample_entries(world.settings.aws_region, [PROBE_TYPE], int(world.now_s() * 1000))
    names = [
        rule["Name"]
        for rule in [rule for rule in world.rules() if bus.may_match(rule.get("EventPattern", ""))][
            : bus.RULES_LOOKED_AT
        ]
        if rule.get("EventPattern") and bus.matches(world, rule["EventPattern"], entry)
    ]
    if world.settings.rule in names:
        says = f"rule {world.settings.rule} matches the type {PROBE_TYPE}, so its target gets the probe"
        return warn("SR200", bus.RULE, says, "run `stream-router setup`, which writes the pattern")
    if names:
        return ok("SR200", f"these rules get the probe too: {', '.join(names)}")
    return ok("SR200", "no other rule gets the probe")


def _follow(way: Way, queue: str) -> list[Finding]:
    answer = way.post()
    if answer.status != 202:
        said = answer.body.decode("utf-8", "replace")[:200]
        told = f"answered {answer.status}: {said}" if answer.status else f"gave no answer: {said}"
        cure = "start `stream-router receive`, or give its URL with --url; its log says why it refuses"
        return [wrong("SR201", "STREAM_ROUTER_LISTEN", f"the receiver {told}", cure)]
    stored = ok("SR201", f"answered 202 in {answer.took_ms:.0f} ms")
    message = way.arrive(queue, AGAIN_S)
    if message is None:
        way.post()
        message = way.arrive(queue, ARRIVAL_S - AGAIN_S)
    if message is None:
        says = f"the probe was stored, and not seen behind the bus within {ARRIVAL_S:.0f} s"
        cure = "see SR160, SR161 and SR120, and the log of `consume`; a dead letter would say why"
        return [stored, wrong("SR202", "end to end", says, cure)]
    detail = json.loads(message["Body"])["detail"]
    received, processed = (datetime.fromisoformat(detail[name]).timestamp() for name in ("receivedAt", "processedAt"))
    at_queue = int(message["Attributes"]["SentTimestamp"]) / 1000
    return [
        stored,
        ok("SR202", f"{(processed - received) * 1000:.0f} ms from the receiver through the stream into the consumer"),
        ok("SR203", f"{(at_queue - processed) * 1000:.0f} ms from the consumer over the bus to a queue"),
    ]
