"""Runs the checks side by side, each in a thread of its own, and waits no longer than the deadline."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from stream_router.checks.finding import LATER, MAY_NOT_ASK, Finding, Verdict, skipped
from stream_router.control.doctor.catalogue import Check
from stream_router.control.doctor.checks import account
from stream_router.control.doctor.say import broken
from stream_router.control.doctor.world import World
from stream_router.errors import SettingsError, code_of

DEADLINE_S = 13.0
"""Of all checks together; with the start of the program it stays below 15 s."""


class Result(NamedTuple):
    """One check, how it ended, and how long it took."""

    check: Check
    finding: Finding
    took_ms: float


def run(
    checks: Sequence[Check], world: World, deadline_s: float = DEADLINE_S, told: Callable[[int], None] = lambda _: None
) -> list[Result]:
    """Every check's end, in the order of `checks`. What gave none in time is unknown. `told` hears how many ended."""
    ended: queue.SimpleQueue[Result] = queue.SimpleQueue()
    begun = time.monotonic()

    def one(check: Check) -> None:
        ended.put(Result(check, _judge(check, world), (time.monotonic() - begun) * 1000))

    for check in checks:
        threading.Thread(target=one, args=(check,), name=check.code, daemon=True).start()
    found: dict[str, Result] = {}
    while len(found) < len(checks) and (left_s := begun + deadline_s - time.monotonic()) > 0:
        try:
            result = ended.get(timeout=left_s)
        except queue.Empty:
            break
        found[result.check.code] = result
        told(len(found))
    return [found.get(check.code) or _late(check, deadline_s) for check in checks]


def _late(check: Check, deadline_s: float) -> Result:
    finding = Finding(check.code, check.about, Verdict.UNKNOWN, f"no answer within {deadline_s:.0f} s", LATER)
    return Result(check, finding, deadline_s * 1000)


def _judge(check: Check, world: World) -> Finding:
    """The check's finding; whatever it raises is the check's trouble, not the others'."""
    if not check.offline and world.common is None:
        return skipped(check.code, "waits for the settings (SR001, SR002)")
    try:
        if not check.offline and check.code not in account.ALWAYS and (code := account.stands_in_the_way(world)):
            return skipped(check.code, f"waits for {code}")
        return check.run(world)
    except Exception as error:  # noqa: BLE001 - one check that breaks leaves the others, and is said
        return _broken(check, error)


def _broken(check: Check, error: Exception) -> Finding:
    """The verdict of a check that no finding ended."""
    if isinstance(error, SettingsError):
        setting, _, rest = str(error).partition(": ")
        problem, _, cure = rest.partition("; ")
        if setting == "AWS credentials":
            return skipped(check.code, "waits for SR010")
        return Finding(check.code, setting, Verdict.WRONG, problem, cure)
    says, cure = broken(error)
    if code_of(error) in MAY_NOT_ASK:
        return Finding(check.code, check.about, Verdict.WARNING, says, "grant it, or be sure of it")
    return Finding(check.code, check.about, Verdict.UNKNOWN, says, cure or LATER)
