"""The fault plan: rules, each with one fault and what must hold for it to strike; and the services' settings."""

import random
import time
from typing import Any

from tests.fakeaws.call import Call, Item

ENTRY_FAULTS = frozenset({"entry_error", "sender_fault", "wrong_md5"})
CALL_FAULTS = frozenset({"call_error", "reset", "stall", "html", "short", "shuffle", "skew", "delay", "outage"})
_TRIGGERS = {"operation", "fault", "rate", "next", "after", "where", "from_s", "to_s"}
_PARAMETERS = {"code", "message", "status", "accept", "retry_after", "stall_s", "seconds", "ms", "how"}
_SETTINGS = {
    *("rules", "shards", "shard_limits", "max_request_bytes", "max_message_bytes", "made", "missing", "keep_records"),
    *("arrival_offset_s", "bus_rules", "bus_rules_delay_s", "bus_dead_letters", "undelivered"),
}


class FaultRule:
    """One fault and its triggers, all of which must hold: `rate`, `next`, `after`, `where`, `from_s`, `to_s`."""

    def __init__(self, document: dict[str, Any], seed: str) -> None:
        unknown = document.keys() - _TRIGGERS - _PARAMETERS
        self.fault = str(document.get("fault"))
        if unknown or self.fault not in ENTRY_FAULTS | CALL_FAULTS:
            raise ValueError(f"unknown fault or key: {self.fault} {sorted(unknown)}")
        self.operation = str(document.get("operation", "*"))
        self.parameters = document
        self.refuses_connections = self.fault == "outage" and document.get("how") == "refuse"
        self.window_s = float(document.get("from_s", 0.0)), float(document.get("to_s", float("inf")))
        self._rate = float(document.get("rate", 1.0))
        self._left = document.get("next")
        self._after = int(document.get("after", 0))
        self._where = document["where"].encode() if "where" in document else None
        self._random = random.Random(seed)

    def bites(self, operation: str, items: list[Item], age_s: float) -> bool:
        """Whether the fault strikes now; counts it where it does."""
        from_s, to_s = self.window_s
        if self.operation not in ("*", operation) or not from_s <= age_s < to_s or self._left == 0:
            return False
        if self._where is not None and not any(item.contains(self._where) for item in items):
            return False
        if self._after > 0:
            self._after -= 1
            return False
        if self._rate < 1.0 and self._random.random() >= self._rate:
            return False
        if self._left is not None:
            self._left -= 1
        return True


class Plan:
    """A set of rules, and the settings of the imitated services. Raises ValueError for a wrong document."""

    def __init__(self, document: dict[str, Any], seed: int) -> None:
        rules = document.get("rules", []) if isinstance(document, dict) else None
        if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
            raise ValueError("a plan is an object, and its rules are a list of objects")
        if unknown := document.keys() - _SETTINGS:
            raise ValueError(f"unknown keys: {sorted(unknown)}")
        fault_rules = [FaultRule(rule, f"{seed}/{index}") for index, rule in enumerate(rules)]
        self._of_calls = [rule for rule in fault_rules if rule.fault in CALL_FAULTS and not rule.refuses_connections]
        self._of_entries = [rule for rule in fault_rules if rule.fault in ENTRY_FAULTS]
        self.refusing_windows_s = [rule.window_s for rule in fault_rules if rule.refuses_connections]
        self.settings = {name: value for name, value in document.items() if name != "rules"}
        self.dice = random.Random(seed)
        self._since = time.monotonic()

    def call_faults(self, operation: str, call: Call) -> list[FaultRule]:
        """The rules that strike this call as a whole, in the plan's order."""
        age_s = time.monotonic() - self._since
        return [rule for rule in self._of_calls if rule.bites(operation, call.items, age_s)]

    def entry_faults(self, operation: str, call: Call) -> list[tuple[Item, FaultRule]]:
        """The items that are struck on their own, each with the first rule that strikes it."""
        if not self._of_entries:
            return []
        age_s = time.monotonic() - self._since
        first = ((item, self._first(operation, item, age_s)) for item in call.items)
        return [(item, rule) for item, rule in first if rule]

    def _first(self, operation: str, item: Item, age_s: float) -> FaultRule | None:
        return next((rule for rule in self._of_entries if rule.bites(operation, [item], age_s)), None)
