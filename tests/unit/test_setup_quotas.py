"""What EventBridge would refuse for a quota is said before `setup` makes anything."""

from typing import Any

import pytest

from stream_router.control.setup import quotas, rules
from stream_router.control.setup_error import SetupError
from stream_router.settings.operators import Setup
from stream_router.settings.reading import load
from tests.scripted import REGION, Script

PATTERN = rules.pattern_text(("interaction.created",))
ON_BUS = {"EventBusName": "default"}
OF_RULE = {**ON_BUS, "Rule": "cxone-webhook-router"}


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)


def asked(script: Script, pattern: float, rules_a_bus: float) -> None:
    for quota, value in ((quotas.PATTERN_CHARS, pattern), (quotas.RULES_A_BUS, rules_a_bus)):
        wanted = {"ServiceCode": "events", "QuotaCode": quota.code}
        script.expect("service_quotas", "get_service_quota", wanted, {"Quota": {"Value": value}})


def found(script: Script, names: list[str], targets: list[str]) -> None:
    script.expect("events", "list_rules", ON_BUS, {"Rules": [{"Name": name} for name in names]})
    listed = [{"Id": str(at), "Arn": arn} for at, arn in enumerate(targets)]
    script.expect("events", "list_targets_by_rule", OF_RULE, {"Targets": listed} if listed else {})


def check(script: Script, **given: Any) -> None:
    quotas.check(load(Setup, **given), script.clients, PATTERN)
    script.done()


def test_what_fits_is_let_through() -> None:
    """The last rule of a full bus is our own, and the fifth target is ours already."""
    script = Script()
    asked(script, 2048, 2)
    found(script, ["cxone-webhook-router", "other"], ["arn:a", "arn:b", "arn:c", "arn:d", "arn:e"])
    check(script, target_arn="arn:e")


def test_a_pattern_longer_than_the_quota_is_refused() -> None:
    """The quota of the account, which may be less than the model's maximum, or have been raised."""
    script = Script()
    asked(script, 20, 300)
    with pytest.raises(SetupError, match=r"^STREAM_ROUTER_EVENT_TYPES: .* the quota is 20; .*L-664C5505"):
        check(script)


def test_a_bus_without_room_for_a_rule_is_refused() -> None:
    """In some regions it is 100 rules, not 300."""
    script = Script()
    asked(script, 2048, 2)
    found(script, ["a", "b"], [])
    with pytest.raises(SetupError, match=r"has 2 rules, the quota is 2; .*L-244521F2"):
        check(script)


def test_a_sixth_target_is_refused() -> None:
    """EventBridge takes five of a rule, and nobody can raise it."""
    script = Script()
    asked(script, 2048, 300)
    found(script, ["cxone-webhook-router"], ["arn:a", "arn:b", "arn:c", "arn:d", "arn:e"])
    with pytest.raises(SetupError, match="has 5 targets, and 5 is the most"):
        check(script, target_arn="arn:f")


def test_without_the_right_to_ask_the_defaults_hold() -> None:
    """Service Quotas is a service of its own: setup does not fail for want of it."""
    script = Script()
    for quota in (quotas.PATTERN_CHARS, quotas.RULES_A_BUS):
        wanted = {"ServiceCode": "events", "QuotaCode": quota.code}
        script.refuse("service_quotas", "get_service_quota", wanted, "AccessDeniedException")
    found(script, [str(n) for n in range(300)], [])
    with pytest.raises(SetupError, match="has 300 rules, the quota is 300"):
        check(script)
