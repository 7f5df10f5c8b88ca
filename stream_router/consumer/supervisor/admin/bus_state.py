"""What the state folder tells of the bus and of the rule behind it, for the pages."""

import json
from datetime import datetime
from typing import Any

from stream_router.consumer.state_dir import BUS_GONE, BUS_PROOF, BUS_UNASKED, RULE_STATE, StateDir

RULE_STALE_S = 300.0
"""The rule is looked at twice a minute. An older word is an earlier run's, or the folder takes no newer one."""


def rule(state: StateDir, now_s: float) -> dict[str, Any]:
    """The rule watch's own words; `unknown` where there are none, or none of late. `now_s` is epoch seconds."""
    try:
        found: dict[str, Any] = json.loads(state.read(RULE_STATE))
        looked_at = found.get("lookedAt")
        is_stale = looked_at is not None and now_s - datetime.fromisoformat(looked_at).timestamp() > RULE_STALE_S
    except (OSError, ValueError, TypeError, AttributeError):
        return {"state": "unknown"}
    return found | {"state": "unknown"} if is_stale else found


def bus(state: StateDir, name: str, now: float, *, trusted: bool) -> dict[str, Any]:
    """`proven`, `unasked` or `gone`, and `unproven` before the first answer; `now` is monotonic.

    Of a bus that is `trusted` a proof is written too, and nobody has asked.
    """
    unasked_s = proof_age_s = None
    try:
        if since := state.read(BUS_UNASKED):
            unasked_s = round(max(0.0, now - float(since)), 1)
        if proof := state.read(BUS_PROOF).split():
            proof_age_s = round(max(0.0, now - float(proof[0])), 1)
        gone = bool(state.read(BUS_GONE))
    except (OSError, ValueError):
        gone = False
    known = "gone" if gone else "unasked" if unasked_s is not None else "proven" if proof_age_s is not None else None
    if trusted and known == "proven":
        known, proof_age_s = "trusted", None
    return {"name": name, "state": known or "unproven", "unaskedS": unasked_s, "proofAgeS": proof_age_s}
