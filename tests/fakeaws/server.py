"""The fake AWS itself: takes a request, lets the plan break it, keeps the ledger, answers."""

import re
import time
from typing import Any, NamedTuple

import orjson

from tests.fakeaws import wire
from tests.fakeaws.call import ACCEPTED, REFUSED, UNTOLD, Call, Operation, Service
from tests.fakeaws.cloudwatch import CloudWatch
from tests.fakeaws.dynamodb import DynamoDb
from tests.fakeaws.events import EventBridge
from tests.fakeaws.http import Reply, Request
from tests.fakeaws.kinesis import Kinesis
from tests.fakeaws.ledger import Ledger
from tests.fakeaws.plan import FaultRule, Plan
from tests.fakeaws.queues import Queues
from tests.fakeaws.s3 import S3
from tests.fakeaws.sqs import Sqs
from tests.fakeaws.wire import Refusal, Wire

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/,\s]+/\d{8}/[^/,\s]+/[^/,\s]+/aws4_request, ?"
    r"SignedHeaders=[a-z0-9;-]+, ?Signature=[0-9a-f]{64}"
)


class _Broken(NamedTuple):
    """The plan's effect on a call: the refusal it puts in, and the rule that spoils the answer."""

    refusal: Refusal | None
    spoiler: FaultRule | None
    delay_s: float
    skew_s: float


class FakeAws:
    """One imitated AWS. `handle` is called for each request, and never raises for what a client sent."""

    def __init__(self, ledger: Ledger, plan: dict[str, Any], seed: int, delay_s: float = 0.0) -> None:
        self.ledger = ledger
        self._seed = seed
        self._delay_s = delay_s
        self._queues = Queues()
        self.sqs, self.kinesis, self.dynamodb = Sqs(self._queues), Kinesis(with_ids=ledger.writes), DynamoDb()
        events = EventBridge(self._queues)
        self._services: list[Service] = [events, self.sqs, self.kinesis, CloudWatch(), self.dynamodb, S3()]
        self._operations: dict[str, Operation] = {}
        for service in self._services:
            self._operations |= service.operations()
        self.set_plan(plan)

    def set_plan(self, document: dict[str, Any]) -> None:
        """Replace the plan; its clock starts now. Raises ValueError and keeps the old one where it is wrong."""
        self.plan = Plan(document, self._seed)
        for service in self._services:
            service.apply(self.plan.settings)

    def reset(self) -> None:
        """Forget the plan, the counters, and all that is stored; the ledger's lines stay."""
        self.set_plan({})
        for service in self._services:
            service.clear()
        self.ledger.clear()

    def queues(self, *, show_all: bool) -> dict[str, Any]:
        """What the queues hold; with `show_all` every message that somebody held is visible again first."""
        if show_all:
            self._queues.show_all()
        return self._queues.dump()

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        operation = self._operations.get(_asked_for(request))
        if operation is None:
            unknown = Refusal("UnknownOperationException", "The fake AWS does not speak this operation.")
            return wire.refused(wire.form_of(request), unknown, "")
        call = self._read(operation, request)
        broken = self._break(operation, call)
        call = call._replace(refusal=broken.refusal or call.refusal)
        self._carry_out(operation, call)
        return self._finish(operation, call, broken, time.monotonic())

    def _finish(self, operation: Operation, call: Call, broken: _Broken, since: float) -> Reply:
        """Answer a call, unless it waits: then carry it out again later."""
        if call.refusal is None and time.monotonic() < since + operation.wait_s(call):

            def retry() -> Reply:
                operation.accept(call)
                return self._finish(operation, call, broken, since)

            return Reply(0, retry=retry)
        reply = self._answer(operation, call, broken)
        self.ledger.record(operation.name, call, call.refusal.code if call.refusal else "")
        return reply._replace(delay_s=self._delay_s + broken.delay_s, skew_s=broken.skew_s)

    def _read(self, operation: Operation, request: Request) -> Call:
        try:
            call = operation.read(wire.document(operation.wire, request), request)
        except (ValueError, AttributeError, TypeError):
            return Call([], Refusal("SerializationException", "The request's body cannot be read."))
        return call._replace(refusal=_unsigned(request) or call.refusal)

    def _break(self, operation: Operation, call: Call) -> _Broken:
        refusal, spoiler, delay_s, skew_s = None, None, 0.0, 0.0
        for rule in self.plan.call_faults(operation.name, call):
            self.ledger.faults[rule.fault] += 1
            if rule.fault == "delay":
                delay_s += float(rule.parameters.get("ms", 0)) / 1000
            elif rule.fault == "skew":
                skew_s = float(rule.parameters.get("seconds", 0))
            elif spoiler is None:
                refusal, spoiler = _injected(rule, operation.wire), rule
        return _Broken(refusal, spoiler, delay_s, skew_s)

    def _carry_out(self, operation: Operation, call: Call) -> None:
        if call.refusal is not None:
            for item in call.items:
                item.verdict, item.code = REFUSED, item.code or call.refusal.code
            return
        struck = self.plan.entry_faults(operation.name, call)
        for item, rule in struck:
            self.ledger.faults[rule.fault] += 1
            if rule.fault != "wrong_md5":
                code, text = _said(rule)
                item.refuse(code, text, sender_fault=rule.fault == "sender_fault")
        operation.accept(call)
        for item, rule in struck:
            if rule.fault == "wrong_md5" and item.verdict == ACCEPTED:
                item.result["MD5OfMessageBody"] = "0" * 32

    def _answer(self, operation: Operation, call: Call, broken: _Broken) -> Reply:
        """The answer, spoiled where the plan says so; what was accepted and is not told so is marked as dropped."""
        rule = broken.spoiler
        if call.refusal is not None:
            after = str(rule.parameters.get("retry_after", "")) if rule else ""
            reply = wire.refused(operation.wire, call.refusal, operation.namespace, after)
            return _ended(reply, rule, operation) if rule else reply
        body = operation.answer(call)
        if rule and rule.fault in ("short", "shuffle"):
            self._garble(body, rule.fault)
        reply = body if isinstance(body, Reply) else wire.success(operation.wire, body)
        if rule is None or rule.fault == "shuffle":
            return reply
        for item in call.items:
            item.verdict = UNTOLD.get(item.verdict, item.verdict)
        return _ended(reply, rule, operation)

    def _garble(self, body: dict[str, Any], fault: str) -> None:
        for name in ("Entries", "Records", "Successful"):
            if name in body:
                if fault == "short":
                    body[name] = body[name][:-1]
                else:
                    self.plan.dice.shuffle(body[name])


def _asked_for(request: Request) -> str:
    """The key of the operation that a request asks for."""
    if request.method != "POST":
        return request.method
    path = request.path if request.headers.get("smithy-protocol") == "rpc-v2-cbor" else ""
    return request.headers.get("x-amz-target", path)


def _unsigned(request: Request) -> Refusal | None:
    headers = request.headers
    if _AUTHORIZATION.fullmatch(headers.get("authorization", "")) and "x-amz-date" in headers:
        return None
    return Refusal("MissingAuthenticationTokenException", "Missing Authentication Token", 403)


def _said(rule: FaultRule) -> tuple[str, str]:
    """The code and the message that a rule gives."""
    code = str(rule.parameters.get("code", "InternalFailure"))
    return code, str(rule.parameters.get("message", "Injected by the plan."))


def _injected(rule: FaultRule, form: Wire) -> Refusal | None:
    """The refusal that a rule puts in, None where the call is carried out all the same."""
    value = rule.parameters
    if rule.fault == "outage":
        return Refusal("ServiceUnavailableException", "Service Unavailable", int(value.get("status", 503)))
    if value.get("accept", rule.fault != "call_error" and int(value.get("status", 200)) == 200):
        return None
    return _given(rule, form)


def _given(rule: FaultRule, form: Wire) -> Refusal:
    """The refusal that a rule describes; the faults that leave no readable answer are codes of their own."""
    code, text = _said(rule)
    code = code if rule.fault == "call_error" else rule.fault
    return Refusal(code, text, int(rule.parameters.get("status") or wire.status_of(code, form)))


def _ended(reply: Reply, rule: FaultRule, operation: Operation) -> Reply:
    """How the exchange ends under a rule, whether the call was carried out or not."""
    if rule.fault == "reset":
        return reply._replace(resets_after_s=0.0)
    if rule.fault == "stall":
        return reply._replace(resets_after_s=float(rule.parameters.get("stall_s", 30.0)))
    if rule.fault == "html":
        return wire.page(int(rule.parameters.get("status", 200)))
    if rule.fault == "call_error" and reply.status == 200:
        return wire.refused(operation.wire, _given(rule, operation.wire), operation.namespace)
    return reply


def admin(fake_aws: FakeAws, request: Request) -> Reply:
    """POST /_plan, GET /_stats, GET /_queues, POST /_show, POST /_reset."""
    match request.method, request.path:
        case "GET", "/_stats":
            return _json(200, fake_aws.ledger.stats())
        case ("GET", "/_queues") | ("POST", "/_show"):
            return _json(200, fake_aws.queues(show_all=request.path == "/_show"))
        case "POST", "/_reset":
            fake_aws.reset()
        case "POST", "/_plan":
            try:
                fake_aws.set_plan(orjson.loads(request.body))
            except (ValueError, TypeError, AttributeError, LookupError) as error:
                return _json(400, {"error": f"plan: {error}"})
        case _:
            return _json(404, {"error": "POST /_plan, GET /_stats, GET /_queues, POST /_show, POST /_reset"})
    return _json(200, {})


def _json(status: int, value: object) -> Reply:
    return Reply(status, orjson.dumps(value), (("Content-Type", "application/json"),))
