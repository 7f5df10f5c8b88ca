"""What `doctor` says of other rules on the bus: nothing of what it could not look at."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stream_router.checks.finding import Verdict
from stream_router.control.doctor.checks import bus
from stream_router.control.doctor.world import World
from tests.environment import given

pytestmark = pytest.mark.usefixtures("empty_environment")

OURS = "cxone-webhook-router"
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/cxone-events"
DENIED = ClientError({"Error": {"Code": "AccessDeniedException"}}, "TestEventPattern")


def rule(name: str, source: str = "nice.cxone.webhook", state: str = "ENABLED") -> dict[str, Any]:
    return {"Name": name, "State": state, "EventPattern": f'{{"source":["{source}"]}}'}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A bus of which every rule but ours matches our events, as far as its source tells."""
    given(monkeypatch, {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"})
    made = World(offline=False)
    made.once("bus", lambda: {"Name": "default"})
    made.once("stream", lambda: {"StreamARN": STREAM})
    made.once(f"targets {OURS}", lambda: [{"Id": "x", "Arn": "arn:out"}])
    monkeypatch.setattr(bus, "matches", lambda *_: True)
    return made


def refuse(*_: Any) -> Any:
    raise DENIED


Tampered = Callable[[World, pytest.MonkeyPatch], None]


def no_test(_: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """TestEventPattern may not be called."""
    monkeypatch.setattr(bus, "matches", refuse)


def no_targets(world: World, _: pytest.MonkeyPatch) -> None:
    """ListTargetsByRule is granted for our rule alone."""
    with pytest.raises(ClientError):
        world.once("targets theirs", refuse)


@pytest.mark.parametrize("tamper", [no_test, no_targets])
def test_a_rule_that_may_not_be_looked_at_is_not_said_to_be_harmless(
    world: World, monkeypatch: pytest.MonkeyPatch, tamper: Tampered
) -> None:
    """SR133 and SR134: whether it gets our events, and where it sends them, is not known."""
    world.once("rules", lambda: [rule(OURS), rule("theirs")])
    tamper(world, monkeypatch)
    assert bus.others(world).verdict is Verdict.WARNING
    assert bus.no_loop(world).verdict is Verdict.SKIPPED


def test_rules_that_cannot_match_leave_room_for_those_that_can(world: World) -> None:
    """SR133: a limited number is looked at, and one that is disabled, or of another source, needs no look."""
    idle = [rule(f"a{number}", "aws.ec2") for number in range(60)]
    idle += [rule(f"b{number}", state="DISABLED") for number in range(60)]
    world.once("rules", lambda: [*idle, rule(OURS), rule("theirs")])
    world.once("targets theirs", lambda: [{"Id": "x", "Arn": "arn:out"}])
    found = bus.others(world)
    assert (found.verdict, found.says) == (
        Verdict.WARNING,
        "rule theirs sends our events to arn:out too: each arrives twice",
    )


def test_it_says_where_it_did_not_look_at_all_rules(world: World) -> None:
    """SR133: each look is a call of the control plane, which the account shares."""
    many = [rule(f"r{number}") for number in range(bus.RULES_LOOKED_AT + 1)]
    world.once("rules", lambda: many)
    for one in many:
        world.once(f"targets {one['Name']}", list)
    found = bus.others(world)
    assert found.verdict is Verdict.WELL
    assert found.says.endswith("; 30 of 31 rules looked at")
