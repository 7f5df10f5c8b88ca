"""Checks of rights and quotas: the policies of `setup --policy`, simulated for whoever runs this; Service Quotas."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from stream_router.checks.finding import MAY_NOT_ASK, Finding, Question, Verdict, ask
from stream_router.control.doctor.checks.bus import is_v2, v2_bus
from stream_router.control.doctor.say import ok, skipped, warn
from stream_router.control.doctor.world import World
from stream_router.errors import SettingsError, code_of
from stream_router.operate import policy
from stream_router.operate.resources import pattern_text
from stream_router.settings.common import NO_RULE

SERVICE = "events"


class Quota(NamedTuple):
    """A quota of EventBridge: its code in Service Quotas, and what it is where nobody raised it."""

    code: str
    default: int


RULES_A_BUS = Quota("L-244521F2", 300)
PATTERN_CHARS = Quota("L-664C5505", 2048)
"""Source: EventBridge quotas page, 2026-11-25. Some regions begin with 100 rules; Service Quotas tells."""
PUT_EVENTS = Quota("L-9B653E91", 400)
RECORDS_A_SHARD = 1000
"""Of a second. docs/facts.md, "Kinesis and SQS"."""

NEARLY = 0.9
SHOWN = 3


def receive(world: World) -> Finding:
    """SR170: these credentials have the rights of `receive`."""
    return _simulated(world, "SR170", "receive") if world.receive else skipped("SR170", "waits for SR001")


def consume(world: World) -> Finding:
    """SR171: these credentials have the rights of `consume`."""
    return _simulated(world, "SR171", "consume") if world.consume else skipped("SR171", "waits for SR002")


def _simulated(world: World, code: str, program: str) -> Finding:
    """A simulation knows most layers, not all: what it denies could not be proved, and is a warning."""
    if not world.is_aws("iam"):
        return skipped(code, "an emulator has no rights to speak of")
    if world.maybe(world.identity) is None:
        return skipped(code, "waits for SR011")
    try:
        denied = world.once(code, lambda: _all_denied(world, program))
    except SettingsError:
        return skipped(code, "waits for SR001 and SR002")
    except (ClientError, BotoCoreError) as error:
        return _unasked(code, error)
    if denied:
        says = f"could not be proved: {', '.join(sorted(set(denied))[:SHOWN])}"
        return warn(code, "IAM", says, f"grant what `stream-router setup --policy {program}` prints")
    return ok(code, "these credentials have them")


def _unasked(code: str, error: ClientError | BotoCoreError) -> Finding:
    said = code_of(error)
    if isinstance(error, ClientError) and said in MAY_NOT_ASK:
        return skipped(code, f"not asked: it needs iam:{error.operation_name}")
    return Finding(code, "IAM", Verdict.UNKNOWN, f"the rights could not be asked for ({said})", "ask again later")


def _all_denied(world: World, program: str) -> list[str]:
    who = _principal(world)
    asked = policy.document(program, world.home())["Statement"]
    further = _of_v2_key(world) if program == "consume" else ()
    return [name for one in (*asked, *further) for name in _denied(world, who, one)]


def _of_v2_key(world: World) -> Iterator[dict[str, Any]]:
    """On a v2 bus under a customer's key every publisher has to decrypt; without the right each call is refused."""
    found = world.maybe(lambda: v2_bus(world)) if is_v2(world) else None
    if found and (key := found.get("EncryptionConfiguration", {}).get("KmsKeyIdentifier")):
        yield {"Action": ["kms:Decrypt"], "Resource": key}


def _principal(world: World) -> str:
    """The role behind a session: its path is not in the session's own name."""
    arn = str(world.identity()["Arn"])
    if ":assumed-role/" not in arn:
        return arn
    return str(world.client("iam").get_role(RoleName=arn.split("/")[1])["Role"]["Arn"])


def _denied(world: World, who: str, statement: dict[str, Any]) -> Iterator[str]:
    context = [{"key": "aws:RequestedRegion", "value": world.settings.aws_region}]
    for key, values in statement.get("Condition", {}).get("StringEquals", {}).items():
        context.append({"key": key, "value": values if isinstance(values, str) else values[0]})
    asked: dict[str, Any] = {
        "PolicySourceArn": who,
        "ActionNames": statement["Action"],
        "ContextEntries": [
            {"ContextKeyName": one["key"], "ContextKeyValues": [one["value"]], "ContextKeyType": "string"}
            for one in context
        ],
    }
    if (resources := statement["Resource"]) != "*":
        asked["ResourceArns"] = [resources] if isinstance(resources, str) else resources
    refused = _refused(world, asked)
    if not refused:
        return
    # Asked again without the organisation's policies: whether it is they that deny.
    denied = _refused(world, {**asked, "PolicyExclusionList": [{"PolicyType": "scp"}]})
    for name in refused:
        yield name if name in denied else f"{name} (by the organisation's policy)"


def _refused(world: World, asked: dict[str, Any]) -> list[str]:
    pages = world.client("iam").get_paginator("simulate_principal_policy").paginate(**asked)
    results = [one for page in pages for one in page["EvaluationResults"]]
    return [one["EvalActionName"] for one in results if one["EvalDecision"] != "allowed"]


def _quota(world: World, quota: Quota) -> int:
    """The value in force; raises what AWS refuses with."""
    ask_it = world.client("service-quotas").get_service_quota
    return int(ask_it(ServiceCode=SERVICE, QuotaCode=quota.code)["Quota"]["Value"])


def _in_force(world: World, quota: Quota) -> int:
    if not world.is_aws("service-quotas"):
        return quota.default
    found = world.maybe(lambda: _quota(world, quota))
    return quota.default if found is None else found


def put_events(world: World) -> Finding:
    """SR180: the quota of PutEvents calls carries what the shards can bring."""
    if not world.is_aws("service-quotas"):
        return skipped("SR180", "an emulator has no quotas")
    summary = world.maybe(world.stream)
    if summary is None or world.consume is None or is_v2(world):
        return skipped("SR180", "waits for SR002 and SR101; a v2 bus has other quotas")
    refused, most = ask(Question("SR180", "quota", "the quota", lambda: _quota(world, PUT_EVENTS), {}))
    if refused:
        return refused
    rate = min(world.consume.max_shard_rate or RECORDS_A_SHARD, RECORDS_A_SHARD)
    needed = summary["OpenShardCount"] * rate / world.consume.entries_per_call
    if needed > most:
        says = f"{most} PutEvents calls a second are allowed, full shards would make {needed:.0f}"
        return warn("SR180", "quota", says, f"have {PUT_EVENTS.code} raised, or set STREAM_ROUTER_MAX_SHARD_RATE")
    return ok("SR180", f"{most} PutEvents calls a second; full shards would make {needed:.0f}")


def rules_on_bus(world: World) -> Finding:
    """SR181: the bus has room for rules."""
    if is_v2(world) or (rules := world.maybe(world.rules)) is None:
        return skipped("SR181", "waits for SR133")
    most = _in_force(world, RULES_A_BUS)
    if len(rules) >= NEARLY * most:
        says = f"{len(rules)} of {most} rules are on the bus"
        return warn("SR181", "quota", says, f"delete some, or have {RULES_A_BUS.code} raised")
    return ok("SR181", f"{len(rules)} of {most} rules")


def pattern(world: World) -> Finding:
    """SR182: the rule's pattern is short enough."""
    if is_v2(world) or world.settings.rule == NO_RULE:
        return skipped("SR182", "there is no rule of ours")
    try:
        size = len(pattern_text(world.settings.event_type_list))
    except SettingsError:
        return skipped("SR182", "waits for SR003")
    most = _in_force(world, PATTERN_CHARS)
    if size > NEARLY * most:
        says = f"the pattern has {size} of {most} characters"
        cure = f"name fewer event types, or have {PATTERN_CHARS.code} raised"
        return warn("SR182", "STREAM_ROUTER_EVENT_TYPES", says, cure)
    return ok("SR182", f"{size} of {most} characters")
