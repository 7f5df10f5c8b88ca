"""The fake AWS itself: takes a request, lets the plan break it, keeps the ledger, answers."""

import re
from typing import Any, NamedTuple

import orjson

from tests.fakeaws import operations, s3, wire
from tests.fakeaws.bus import bus_rules
from tests.fakeaws.call import ACCEPTED, REFUSED, UNTOLD, Call, Refusal
from tests.fakeaws.http import Ending, Reply, Request
from tests.fakeaws.ledger import Ledger
from tests.fakeaws.operation import Operation
from tests.fakeaws.plan import FaultRule, Plan, PlanError
from tests.fakeaws.queue import queue_operations
from tests.fakeaws.state.memory import Memory
from tests.fakeaws.stream import stream_operations

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/,\s]+/\d{8}/[^/,\s]+/[^/,\s]+/aws4_request, ?"
    r"SignedHeaders=[a-z0-9;-]+, ?Signature=[0-9a-f]{64}"
)


for _more in (stream_operations, queue_operations, bus_rules):
    operations.BY_TARGET.update(_more.BY_TARGET)


class _Broken(NamedTuple):
    """The plan's effect on a call: the refusal it puts in, and the rule that spoils the answer."""

    refusal: Refusal | None
    spoiler: FaultRule | None
    delay_s: float
    skew_s: float


class FakeAws:
    """One imitated AWS. `handle` is called for each request, and never raises for what a client sent."""

    def __init__(self, ledger: Ledger, plan: Plan, seed: int, delay_s: float = 0.0) -> None:
        self.ledger = ledger
        self.plan = plan
        self._seed = seed
        self._delay_s = delay_s
        self._state = Memory()
        self._state.apply(plan.settings)

    def set_plan(self, document: dict[str, Any]) -> None:
        """Replace the plan; its clock starts now. Raises PlanError and keeps the old one where it is wrong."""
        self.plan = Plan(document, self._seed)
        self._state.apply(self.plan.settings)

    def reset(self) -> None:
        """Forget the plan, the counters, the tokens and the objects; the ledger's lines stay."""
        self.set_plan({})
        self._state.clear()
        self.ledger.clear()

    def queues(self, *, show_all: bool) -> dict[str, Any]:
        """What the queues hold; with `show_all` every message that somebody held is visible again first."""
        if show_all:
            self._state.queues.show_all()
        return self._state.queues.dump()

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        operation = operations.of(request)
        if operation is None:
            if request.method in ("GET", "DELETE"):
                return self._state.objects.answer(request)
            unknown = Refusal("UnknownOperationException", "The fake AWS does not speak this operation.")
            return wire.refused(wire.Wire.JSON_1_0, unknown, "")
        call = self._read(operation, request)
        broken = self._break(operation, call)
        call = call._replace(refusal=broken.refusal or call.refusal)
        self._carry_out(operation, call)
        reply = self._answer(operation, call, broken)
        self.ledger.record(operation.name, call, call.refusal.code if call.refusal else "")
        return reply._replace(delay_s=self._delay_s + broken.delay_s, skew_s=broken.skew_s)

    def _read(self, operation: Operation, request: Request) -> Call:
        try:
            call = operation.read(request, self._state, self.plan.settings, self.ledger.writes)
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
            elif refusal is None and spoiler is None:
                refusal = _injected(rule, operation.wire)
                spoiler = rule
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
                code = str(rule.parameters.get("code", "InternalFailure"))
                text = str(rule.parameters.get("message", "Injected by the plan."))
                item.refuse(code, text, sender_fault=rule.fault == "sender_fault")
        operation.accept(call, self._state, self.plan.settings)
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
        reply = wire.success(operation.wire, body)
        if operation is operations.PUT_OBJECT:
            reply = reply._replace(headers=(*reply.headers, ("ETag", s3.etag(call.items[0].raw.body))))
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


def _unsigned(request: Request) -> Refusal | None:
    headers = request.headers
    if _AUTHORIZATION.fullmatch(headers.get("authorization", "")) and "x-amz-date" in headers:
        return None
    return Refusal("MissingAuthenticationTokenException", "Missing Authentication Token", 403)


def _injected(rule: FaultRule, form: wire.Wire) -> Refusal | None:
    """The refusal that a rule puts in, None where the call is carried out all the same."""
    given = rule.parameters
    if rule.fault == "outage":
        return Refusal("ServiceUnavailableException", "Service Unavailable", int(given.get("status", 503)))
    carried_out = given.get("accept", rule.fault != "call_error" and int(given.get("status", 200)) == 200)
    if carried_out:
        return None
    return _given(rule, form)


def _given(rule: FaultRule, form: wire.Wire) -> Refusal:
    """The refusal that a rule describes; the faults that leave no readable answer are codes of their own."""
    given = rule.parameters
    code = str(given.get("code", "InternalFailure")) if rule.fault == "call_error" else rule.fault
    status = int(given.get("status") or wire.status_of(code, form))
    return Refusal(code, str(given.get("message", "Injected by the plan.")), status)


def _ended(reply: Reply, rule: FaultRule, operation: Operation) -> Reply:
    """How the exchange ends under a rule, whether the call was carried out or not."""
    if rule.fault == "reset":
        return reply._replace(ending=Ending.RESET)
    if rule.fault == "stall":
        return reply._replace(ending=Ending.STALL, stall_s=float(rule.parameters.get("stall_s", 30.0)))
    if rule.fault == "html":
        return wire.page(int(rule.parameters.get("status", 200)))
    if rule.fault == "call_error" and reply.status == 200:
        return wire.refused(operation.wire, _given(rule, operation.wire), operation.namespace)
    return reply


__all__ = ["FakeAws", "PlanError", "admin"]


def admin(fake_aws: FakeAws, request: Request) -> Reply:
    """POST /_plan, GET /_stats, GET /_queues, POST /_show, POST /_reset."""
    route = (request.method, request.path)
    if route == ("GET", "/_stats"):
        return _json(200, fake_aws.ledger.stats())
    if route in (("GET", "/_queues"), ("POST", "/_show")):
        return _json(200, fake_aws.queues(show_all=route[0] == "POST"))
    if route == ("POST", "/_reset"):
        fake_aws.reset()
        return _json(200, {})
    if route == ("POST", "/_plan"):
        try:
            fake_aws.set_plan(orjson.loads(request.body))
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            return _json(400, {"error": f"plan: {error}"})
        return _json(200, {})
    return _json(404, {"error": "POST /_plan, GET /_stats, GET /_queues, POST /_show, POST /_reset"})


def _json(status: int, value: object) -> Reply:
    return Reply(status, orjson.dumps(value), (("Content-Type", "application/json"),))
