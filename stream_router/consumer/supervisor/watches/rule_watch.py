"""Watches the rule as the bus is watched: PutEvents answers success also where no rule lets an event through.

The state is the file `rule-state.json` in the state folder: `matched`, `unmatched` (the state that is called "rule
unmatched" in the log), `unknown` (it, or a part of it, cannot be asked) or `unwatched`, with the times of the last
look, of the last one at which all was right, and since when events may have reached nobody. This last is a moment of
arrival in the stream, as `replay` takes it: what a consumer that lags publishes arrived hours before.
"""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from stream_router import limits
from stream_router.aws import endpoints
from stream_router.consumer.state_dir import RULE_STATE, StateDir
from stream_router.consumer.supervisor.watches.rule_check import Fault, RuleCheck, client
from stream_router.errors import code_of
from stream_router.log import Seldom
from stream_router.process import iso
from stream_router.settings.common import NO_RULE
from stream_router.settings.consumer import Consumer

log = logging.getLogger(__name__)

EVERY_S = 30.0
"""A fault is said within a minute; three calls a look are 0.1 a second of the control plane's 50."""

NOTED_EVERY_S = 5.0
"""How often the lag is looked at between: a child that starts on a backlog tells it before much of that is settled."""

SURE_S = 2.0
"""An answer tells whole seconds, and takes a moment to come: so long after it the rule was right."""


class Watch(Protocol):
    """Something that looks, beside the daemon, until closed."""

    def start(self) -> None:
        """Begin."""

    def close(self) -> None:
        """End; a look that is under way is not waited for."""


def of(settings: Consumer, state: StateDir, lag_s: Callable[[], float | None]) -> Watch:
    """The watch that the settings ask for; where there is no rule to watch, one that says so once.

    `lag_s` tells how long ago the oldest event arrived that is not settled, by this machine's clock.
    """
    if limits.is_v2_bus(settings.event_bus):
        return NoWatch(state, "a v2 bus has no rules")
    if settings.rule == NO_RULE:
        return NoWatch(state, "STREAM_ROUTER_RULE is none")
    session = endpoints.session(settings.aws_region)

    def lag() -> float | None:
        with contextlib.suppress(Exception):  # a disk in trouble: the watch goes on
            return lag_s()
        return None

    check = RuleCheck(client(session), settings.rule, settings.event_bus, settings.aws_region, settings.event_type_list)
    return RuleWatch(state, check, lag)


class NoWatch:
    """There is no rule of ours: said once."""

    def __init__(self, state: StateDir, why: str) -> None:
        self._state = state
        self._why = why

    def start(self) -> None:
        """Say so."""
        log.info(
            "no rule is watched: %s; whether events reach a target is not known here",
            self._why,
            extra={"event": "rule-not-watched"},
        )
        with contextlib.suppress(OSError):
            self._state.write(RULE_STATE, json.dumps({"state": "unwatched", "reason": self._why}) + "\n")

    def close(self) -> None:
        """Nothing runs."""


class RuleWatch:
    """Looks in a thread of its own until closed. It never ends the program: what is published can be replayed.

    `since` is when the oldest event arrived that was not settled at the last look at which all was right, or, where
    there was none, at the first: from then on events may have reached nobody. It is read back from the state folder, so
    that a restart forgets no gap. `lag_s` tells how old that event is.
    """

    def __init__(
        self,
        state: StateDir,
        check: RuleCheck,
        lag_s: Callable[[], float | None],
        clock: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._check = check
        self._lag_s = lag_s
        self._clock = clock
        self._now_s = now_s
        self._unmatched_to_be_logged, self._unasked_to_be_logged = Seldom(clock), Seldom(clock)
        self._faults: list[Fault] = []
        self._first_from = ""
        self._matched_at, self._matched_from, self._since = self._known()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rule-watch", daemon=True)

    def start(self) -> None:
        """Begin looking."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.look()
            for _ in range(round(EVERY_S / NOTED_EVERY_S)):
                if self._stop.wait(NOTED_EVERY_S):
                    return
                self.note()

    def look(self) -> None:
        """Look once; write the state, and say what has changed or lasts."""
        begun, error, faults = self._clock(), None, None
        try:
            faults = self._check()
        except Exception as raised:  # noqa: BLE001 - botocore's chain raises what it likes, and the watch goes on
            error = raised
        at_s = self._now_s() - (self._clock() - begun)
        self._first_from = self._first_from or self._arrived(at_s)
        if error:
            self._unasked(error)
        elif faults:
            self._unmatched(faults, at_s)
        elif faults is None or self._check.unjudged:
            self._faults = []
            self._write("unknown")
        else:
            self._matched(at_s)

    def note(self) -> None:
        """Between two looks: what is not settled yet was not at the last one either, and is at stake, however old."""
        arrived = self._arrived(self._now_s())
        self._since, self._matched_from = (one and min(one, arrived) for one in (self._since, self._matched_from))

    def _arrived(self, at_s: float) -> str:
        """When the oldest event arrived that was not settled then, as far as anybody tells."""
        return _iso(max(0.0, at_s - (self._lag_s() or 0.0)))

    def _matched(self, at_s: float) -> None:
        if self._since:
            until = _iso(self._now_s() + SURE_S)
            log.warning(
                "the rule lets our events through again; publish those of the gap again: "
                "stream-router replay --since %s --until %s",
                *(self._since, until),
                extra={"event": "rule-matches-again", **self._told(since=self._since, until=until)},
            )
        self._matched_at, self._matched_from, self._since, self._faults = _iso(at_s), self._arrived(at_s), "", []
        self._write("matched")

    def _unmatched(self, faults: list[Fault], at_s: float) -> None:
        self._since = min(self._since or self._matched_from or self._first_from, self._arrived(at_s))
        lasting, self._faults = self._faults == faults, faults
        if self._unmatched_to_be_logged() or not lasting:
            log.error(
                "rule unmatched: %s; EventBridge answers success and events reach no target since %s at the earliest; "
                "%s, then publish them again: stream-router replay --since %s",
                *(self._problem(), self._since, self._cure(), self._since),
                extra={
                    "event": "rule-unmatched",
                    **self._told(since=self._since, problem=self._problem(), cure=self._cure()),
                },
            )
        self._write("unmatched")

    def _unasked(self, error: Exception) -> None:
        """Nothing new is known: a fault that was seen stands."""
        if self._unasked_to_be_logged():
            log.warning(
                "the rule cannot be looked at: %s; what was known of it stands",
                code_of(error),
                extra={"event": "rule-unanswered", **self._told()},
            )
        self._write("unmatched" if self._faults else "unknown")

    def _problem(self) -> str:
        return "; ".join(fault.problem for fault in self._faults)

    def _cure(self) -> str:
        return "; ".join(dict.fromkeys(fault.cure for fault in self._faults))

    def _told(self, **more: str) -> dict[str, str]:
        return {"rule": self._check.rule, "bus": self._check.bus, **more}

    def _write(self, state: str) -> None:
        told = self._told(
            state=state,
            lookedAt=_iso(self._now_s()),
            matchedAt=self._matched_at,
            matchedFrom=self._matched_from,
            since=self._since,
            problem=self._problem(),
            cure=self._cure(),
        )
        with contextlib.suppress(OSError):  # the bus's prover says that the folder takes nothing
            self._state.write(RULE_STATE, json.dumps({name: value or None for name, value in told.items()}) + "\n")

    def _known(self) -> tuple[str, str, str]:
        """When an earlier watch last found all right, up to where it was settled then, and since when it did not."""
        try:
            known: Any = json.loads(self._state.read(RULE_STATE) or "{}")
            if {name: known.get(name) for name in ("rule", "bus")} == self._told():
                matched_at = str(known.get("matchedAt") or "")
                return matched_at, str(known.get("matchedFrom") or matched_at), str(known.get("since") or "")
        except (OSError, ValueError, AttributeError):
            log.warning(
                "what an earlier watch knew of the rule cannot be read; it begins anew",
                extra={"event": "rule-watch-anew"},
            )
        return "", "", ""


def _iso(epoch_s: float) -> str:
    return iso(epoch_s * 1000)
