"""Checks of the bus and of our rule on it: there, let through what we emit, and nobody else gets it twice."""

import json
import time
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from stream_router import limits
from stream_router.checks.finding import Finding, Question, ask
from stream_router.control.doctor.checks import key_policy
from stream_router.control.doctor.say import SETUP, ok, skipped, warn, wrong
from stream_router.control.doctor.world import World
from stream_router.errors import ABSENT, NOT_SPOKEN, code_of
from stream_router.model import SOURCE, Entry
from stream_router.pipeline.sample_events import as_delivered, sample_entries
from stream_router.settings.common import NO_RULE

BUS, RULE, TYPES = "STREAM_ROUTER_EVENT_BUS", "STREAM_ROUTER_RULE", "STREAM_ROUTER_EVENT_TYPES"
NO_BUS = ("there is no such event bus in this region", "name another, or make it with `stream-router setup`")
RULES_LOOKED_AT = 30
"""Other rules held against our events: all of an account share some 50 calls a second of the control plane."""


def v2_bus(world: World) -> Any:
    """A v2 bus, described."""
    ask_it = world.client("eventbridgev2").describe_event_bus
    return world.once("v2 bus", lambda: ask_it(EventBusArn=world.settings.event_bus))


def is_v2(world: World) -> bool:
    """Whether the bus is a v2 bus, which has neither rules nor targets."""
    return limits.is_v2_bus(world.settings.event_bus)


def there(world: World) -> Finding:
    """SR120: the bus exists. PutEvents to one that does not answers success."""
    look = (lambda: v2_bus(world)) if is_v2(world) else world.bus
    no = dict.fromkeys(ABSENT, NO_BUS)
    refused, answer = ask(Question("SR120", BUS, "the event bus", look, no))
    if refused:
        return refused
    state = str(answer.get("State", "ACTIVE"))
    if is_v2(world) and state not in ("ACTIVE", "RUNNING"):
        return wrong("SR120", BUS, f"the bus is {state}", str(answer.get("StateReason") or "see the console"))
    return ok("SR120", f"{world.settings.event_bus} ({'v2' if is_v2(world) else 'classic'})")


def key(world: World) -> Finding:
    """SR121: the bus's own KMS key can be used."""
    found = world.maybe((lambda: v2_bus(world)) if is_v2(world) else world.bus)
    if found is None:
        return skipped("SR121", "waits for SR120")
    named = found.get("KmsKeyIdentifier") or found.get("EncryptionConfiguration", {}).get("KmsKeyIdentifier")
    if not named:
        return ok("SR121", "AWS's own key")
    kms = world.client("kms")
    no = dict.fromkeys(ABSENT, ("its key is gone", "give the bus another key"))
    refused, answer = ask(Question("SR121", BUS, "the bus's key", lambda: kms.describe_key(KeyId=named), no))
    if refused:
        return refused
    state = answer["KeyMetadata"]["KeyState"]
    if state != "Enabled":
        return wrong("SR121", BUS, f"its key is {state}: events cannot be encrypted", "enable the key, or give another")
    return (None if is_v2(world) else _lost_by_its_key(world, named, found)) or ok("SR121", f"{named} is enabled")


def _lost_by_its_key(world: World, key: str, found: Any) -> Finding | None:
    """Of a classic bus under a customer's key: how it would lose what it accepts."""
    why, cure = key_policy.trouble(world, key, str(found.get("Arn", "")))
    if why:
        return wrong("SR121", BUS, f"the bus {why}: what it accepts is lost, or in a queue of its own", cure)
    if not found.get("DeadLetterConfig"):
        says = "the bus has no dead-letter queue: what it accepts while its key cannot be used is lost"
        return warn("SR121", BUS, says, "give it one that is under another key (docs/operations.md, IAM)")
    return None


def _no_rule(world: World, code: str) -> Finding | None:
    """Why nothing of the rule is asked, None where it is."""
    if is_v2(world):
        return skipped(code, "a v2 bus has subscribers instead of rules")
    if world.settings.rule == NO_RULE:
        return skipped(code, "the rules are others' (STREAM_ROUTER_RULE=none)")
    return skipped(code, "waits for SR120") if _is_gone(world) else None


def _is_gone(world: World) -> bool:
    try:
        world.bus()
    except ClientError as error:
        return code_of(error) in ABSENT
    except BotoCoreError:
        return False
    return False


def rule(world: World) -> Finding:
    """SR130: the rule exists and is enabled."""
    if none := _no_rule(world, "SR130"):
        return none
    name, bus = world.settings.rule, world.settings.event_bus
    no = dict.fromkeys(ABSENT, (f"there is no rule {name} on bus {bus}: events go nowhere", SETUP))
    refused, answer = ask(Question("SR130", RULE, "the rule", world.rule, no))
    if refused:
        return refused
    if not str(answer.get("State", "ENABLED")).startswith("ENABLED"):
        cure = f"aws events enable-rule --name {name} --event-bus-name {bus}"
        return wrong("SR130", RULE, f"rule {name} is disabled: events go nowhere", cure)
    return ok("SR130", f"{name}, enabled")


def samples(world: World) -> list[Entry]:
    """An event of each type, as we emit it."""
    settings = world.settings
    types = settings.event_type_list
    return world.once("samples", lambda: sample_entries(settings.aws_region, types, int(time.time() * 1000)))


def matches(world: World, pattern: str, entry: Entry) -> bool | None:
    """Whether a pattern lets an event of ours through; None where nobody can tell. Raises ClientError."""
    account = world.maybe(lambda: world.home().account) or "000000000000"
    event = json.dumps(as_delivered(entry, account, world.settings.aws_region))
    try:
        answer = world.client("events").test_event_pattern(EventPattern=pattern, Event=event)
    except ClientError as error:
        if code_of(error) in NOT_SPOKEN:
            return None
        raise
    found: bool | None = answer.get("Result")  # an emulator may answer everything with nothing
    return found


def lets_through(world: World) -> Finding:
    """SR131: an event of ours of each type, as we emit it, matches the rule."""
    if none := _no_rule(world, "SR131"):
        return none
    has = world.maybe(world.rule)
    if has is None:
        return skipped("SR131", "waits for SR130")
    pattern = str(has.get("EventPattern") or "{}")

    def test() -> list[tuple[str, bool | None]]:
        return [(entry.detail_type, matches(world, pattern, entry)) for entry in samples(world)]

    refused, tested = ask(Question("SR131", TYPES, "TestEventPattern", test, {}))
    if refused:
        return refused
    if any(found is None for _, found in tested):
        return skipped("SR131", "this endpoint has no TestEventPattern")
    if unmatched := [name for name, found in tested if not found]:
        says = f"the rule does not match our events of type {', '.join(unmatched)}: they go nowhere"
        return wrong("SR131", TYPES, says, f"{SETUP}, which writes the pattern")
    return ok("SR131", f"all {len(tested)} types match")


def has_target(world: World) -> Finding:
    """SR132: the rule has a target, the one of EVENTBRIDGE_TARGET_ARN where that is set."""
    if none := _no_rule(world, "SR132"):
        return none
    if world.maybe(world.rule) is None:
        return skipped("SR132", "waits for SR130")
    refused, targets = ask(Question("SR132", RULE, "the rule's targets", world.targets, {}))
    if refused:
        return refused
    wanted = world.setup.target_arn if world.setup else None
    if not targets:
        says = "the rule has no target: events go nowhere"
        return wrong("SR132", "EVENTBRIDGE_TARGET_ARN", says, f"set it, and {SETUP}")
    if wanted and wanted not in [target["Arn"] for target in targets]:
        says = f"{wanted} is not attached to the rule"
        return wrong("SR132", "EVENTBRIDGE_TARGET_ARN", says, SETUP)
    return ok("SR132", ", ".join(target["Arn"].rsplit(":", 1)[-1] for target in targets))


def others(world: World) -> Finding:
    """SR133: no other rule sends our events to the same target; which others get them is said."""
    if none := _no_rule(world, "SR133"):
        return none
    refused, every = ask(Question("SR133", RULE, "the bus's rules", world.rules, {}))
    if refused:
        return refused
    refused, too = ask(Question("SR133", RULE, "TestEventPattern", lambda: _rules_too(world, every), {}))
    if refused:
        return refused
    ours = {target["Arn"] for target in world.maybe(world.targets) or []}
    for name in too:
        look = partial(world.targets_of, name)
        refused, targets = ask(Question("SR133", RULE, f"what is behind rule {name}", look, {}))
        if refused:
            return refused
        if twice := ours & {target["Arn"] for target in targets}:
            says = f"rule {name} sends our events to {min(twice)} too: each arrives twice"
            return warn("SR133", RULE, says, f"take the target out of {name}, or narrow its pattern")
    count = len(_candidates(world, every))
    cut = f"; {RULES_LOOKED_AT} of {count} rules looked at" if count > RULES_LOOKED_AT else ""
    return ok("SR133", (f"also to {', '.join(too)}" if too else "no other rule gets our events") + cut)


def _candidates(world: World, every: list[Any]) -> list[Any]:
    """Other rules that could let an event of ours through."""
    theirs = [one for one in every if one["Name"] != world.settings.rule and one.get("EventPattern")]
    enabled = [one for one in theirs if str(one.get("State", "ENABLED")).startswith("ENABLED")]
    return [one for one in enabled if may_match(one["EventPattern"])]


def _rules_too(world: World, every: list[Any]) -> list[str]:
    """Which other rules get our events; asked once. Raises what AWS refuses with."""

    def gets_ours(one: Any) -> bool:
        return any(matches(world, one["EventPattern"], entry) for entry in samples(world))

    looked_at = _candidates(world, every)[:RULES_LOOKED_AT]
    return world.once("rules too", lambda: [one["Name"] for one in looked_at if gets_ours(one)])


def no_loop(world: World) -> Finding:
    """SR134: no rule sends what came out of the stream into it again."""
    if none := _no_rule(world, "SR134"):
        return none
    every, stream = world.maybe(world.rules), world.maybe(world.stream)
    too = None if every is None else world.maybe(lambda: _rules_too(world, every))
    if too is None or stream is None:
        return skipped("SR134", "waits for SR101 and SR133")
    behind = {name: world.maybe(partial(world.targets_of, name)) for name in (world.settings.rule, *too)}
    for name, targets in behind.items():
        if stream["StreamARN"] in [target["Arn"] for target in targets or []]:
            says = f"rule {name} sends our events back into the stream: each comes round again without end"
            return wrong("SR134", RULE, says, f"take the stream out of the targets of {name}")
    if None in behind.values():
        return skipped("SR134", "waits for SR132 and SR133")
    return ok("SR134", "nothing comes back into the stream")


def may_match(pattern: str) -> bool:
    """Whether a pattern could let an event of ours through: most rules name another source, and need no call."""
    try:
        sources = json.loads(pattern).get("source")
    except (ValueError, AttributeError):
        return True
    plain = isinstance(sources, list) and all(isinstance(one, str) for one in sources)
    return not plain or SOURCE in sources
