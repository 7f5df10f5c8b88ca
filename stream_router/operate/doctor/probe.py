"""`doctor --end-to-end`: sends a test event through the whole pipeline to the bus, and times each stage.

A temporary rule sends the event to a temporary queue, where it is found again. The rule matches a random mark that only
this event has, so no other event gets there. Our own rule does not match the event, since its type is reserved for
these tests. A rule of others that matches every event of our source delivers the test event as well.
"""

import json
import secrets
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from stream_router import limits
from stream_router.checks import CheckVerdict, Finding, ok, report_error, skipped, wrong
from stream_router.errors import SettingsError
from stream_router.model import PROBE_TYPE, SOURCE
from stream_router.operate.arns import Home
from stream_router.operate.doctor.world import Check, World
from stream_router.operate.policy import PROBE_PREFIX
from stream_router.operate.resources import eventbridge_statement
from stream_router.process import iso, now_ms
from stream_router.send.poster import DeliveryResult, Poster, Webhook
from stream_router.send.signing import check_url, signer

CHECKS = {
    "SR201": Check("probe: stored"),
    "SR202": Check("probe: consumed"),
    "SR203": Check("probe: over the bus"),
}

POST_S = 5.0
"""Seconds for which the test event is sent again if the receiver does not accept it."""

ARRIVAL_S = 60.0
"""Seconds to wait for the event behind the bus: a consumer that starts needs half a minute to its first record."""

RESEND_AFTER_S = 20.0
"""Seconds after which a second event is sent, since a new rule may miss events for a while."""


def run(world: World, url: str) -> list[Finding]:
    """Send a test event to the receiver at `url`, and follow it. Return the findings of CHECKS, one for each.

    SR201 says whether the event was stored, SR202 whether it came through the consumer, SR203 over the bus. This takes
    up to a minute.
    """
    if world.common is None or world.receive is None:
        return [skipped(code, "waits for SR001") for code in CHECKS]
    if limits.is_v2_bus(world.settings.event_bus):
        return [skipped(code, "a v2 bus has no rules, so nothing can be followed behind it") for code in CHECKS]
    mark = secrets.token_hex(16)
    name = f"{PROBE_PREFIX}{mark[:12]}"
    findings: list[Finding] = []
    leftovers = ""
    try:
        check_url(world.receive, url)
        signer(world.receive)
        with _catch_probe(world, name, mark) as queue:
            # From here on an exception may come from the deletion at the end of this block.
            leftovers = f"; rule and queue {name} may be left: delete them"
            findings += _follow_probe(world, queue, lambda: _post_probe(world, url, name, mark))
    except Exception as error:  # noqa: BLE001 - it becomes a finding, so that the other findings are printed
        # Each check has one finding. If all were made and then the deletion failed, it takes the place of the last one.
        del findings[len(CHECKS) - 1 :]
        failure = report_error([*CHECKS][len(findings)], "end to end", "the probe's rule or queue", error)
        verdict = failure.verdict if isinstance(error, SettingsError) else CheckVerdict.UNKNOWN
        findings.append(failure._replace(verdict=verdict, observation=failure.observation + leftovers))
    return findings + [skipped(code, "the test event came no further") for code in [*CHECKS][len(findings) :]]


@contextmanager
def _catch_probe(world: World, name: str, mark: str) -> Iterator[str]:
    """Yield the URL of a queue behind a rule that matches our probe alone; delete both afterwards."""
    events, sqs, bus_argument = world.client("events"), world.client("sqs"), {"EventBusName": world.settings.event_bus}
    region = world.settings.aws_region
    account = world.client("sts").get_caller_identity()["Account"]
    home = Home(world.session.get_partition_for_region(region), region, account)
    statement = eventbridge_statement(home.queue(name), home.rule(world.settings.event_bus, name))
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    detail = {"eventSource": ["cxone.webhook"], "payload": {"probe": [mark]}}
    pattern = json.dumps({"source": [SOURCE], "detail-type": [PROBE_TYPE], "detail": detail})
    queue = str(sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"])
    try:
        events.put_rule(Name=name, EventPattern=pattern, **bus_argument)
        try:
            events.put_targets(Rule=name, Targets=[{"Id": "probe", "Arn": home.queue(name)}], **bus_argument)
            yield queue
        finally:
            events.remove_targets(Rule=name, Ids=["probe"], **bus_argument)
            events.delete_rule(Name=name, **bus_argument)
    finally:
        sqs.delete_queue(QueueUrl=queue)


def _post_probe(world: World, url: str, name: str, mark: str) -> DeliveryResult:
    """Send a test event. Return the receiver's answer."""
    assert world.receive is not None
    body = {
        "interactionId": name,
        "conversationId": name,
        "eventType": PROBE_TYPE,
        "timestamp": iso(now_ms()),
        "payload": {"probe": mark},
    }
    answers: list[DeliveryResult] = []
    webhook = Webhook(str(uuid.uuid4()), json.dumps(body).encode())
    Poster(url, signer(world.receive), answers.append, POST_S).run(iter([webhook]), 0, lambda: True)
    return answers[0]


def _follow_probe(world: World, queue: str, post: Any) -> Iterator[Finding]:
    """Yield the findings of the test event, stage by stage, until the first failure. `post` sends the event."""
    answer: DeliveryResult = post()
    if answer.status != 202:
        text = answer.body.decode("utf-8", "replace")[:200]
        problem = f"answered {answer.status}: {text}" if answer.status else f"gave no answer: {text}"
        cure = "start `stream-router receive`, or give its URL with --url; its log says why it refuses"
        if text.startswith("SSL"):
            cure = (
                "give the name that stands in the certificate with --url https://NAME:PORT/v1/events; if its CA is "
                "private, set SSL_CERT_FILE to the CA's file"
            )
        yield wrong("SR201", "STREAM_ROUTER_LISTEN", f"the receiver {problem}", cure)
        return
    yield ok("SR201", f"answered 202 in {answer.took_ms:.0f} ms")
    message = _wait_for_message(world, queue, RESEND_AFTER_S)
    if message is None:
        post()
        message = _wait_for_message(world, queue, ARRIVAL_S - RESEND_AFTER_S)
    if message is None:
        observation = f"the test event was stored, and did not arrive behind the bus within {ARRIVAL_S:.0f} s"
        cure = "see SR160 and SR120, and the log of `consume`; a dead letter would say why"
        yield wrong("SR202", "end to end", observation, cure)
        return
    detail = json.loads(message["Body"])["detail"]
    received_s, processed_s = (
        datetime.fromisoformat(detail[name]).timestamp() for name in ("receivedAt", "processedAt")
    )
    queued_s = int(message["Attributes"]["SentTimestamp"]) / 1000
    yield ok(
        "SR202", f"{(processed_s - received_s) * 1000:.0f} ms from the receiver through the stream into the consumer"
    )
    yield ok("SR203", f"{(queued_s - processed_s) * 1000:.0f} ms from the consumer over the bus to a queue")


def _wait_for_message(world: World, queue: str, timeout_s: float) -> Any | None:
    """Return the queue's first message; None if the queue is still empty after `timeout_s` seconds."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        answer = world.client("sqs").receive_message(
            QueueUrl=queue, WaitTimeSeconds=1, AttributeNames=["SentTimestamp"]
        )
        if answer.get("Messages"):
            return answer["Messages"][0]
    return None
