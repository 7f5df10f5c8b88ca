"""The target check: the event bus exists, and our rule takes our events. The supervisor checks, children read a line.

PutEvents answers success for a missing bus, and for a bus with no matching rule. So an event counts as delivered only
once a check that began after its acceptance has succeeded. `TargetQuestion` calls AWS once, `Standing` is the state
machine over the results, `TargetChecker` repeats the check and writes the line, and `KnownTarget` is a child's view of
it.

`Standing` is in one of five states (`TargetState`). Only the result of a check changes it, in the supervisor's thread:

| state | meaning | after ok | after broken |
|---|---|---|---|
| UNCHECKED | no result counts yet | OK (a) | DOUBTED |
| OK | events accepted before the check have reached the rule | OK (b) | DOUBTED |
| DOUBTED | one broken result; events flow, none is covered by a check | the state before | BROKEN |
| BROKEN | two broken results; nothing is published | SETTLING | BROKEN |
| SETTLING, target was broken | ok for less than STANDS_S; nothing is published | SETTLING, OK after STANDS_S | BROKEN |
| SETTLING, pattern changed | the same; events flow, none is covered | SETTLING, OK after STANDS_S | DOUBTED |

(a) SETTLING if an earlier supervisor left the target broken. (b) SETTLING if the pattern changed, unless the new one
takes at least the events of the old one. A bus with another creation time counts as broken. "Unknown" changes no state
and covers no event. After UNASKED_S of it nothing is published either, until a check has another result.

A check is three management events in CloudTrail, so the supervisor checks only as often as needed. While the bus has
accepted events that no check covers, a child keeps the time of the file TARGET_WANTED fresh, and the interval is that
of the checkpoints. The same interval holds in every state but OK. Otherwise the supervisor checks once a minute.

Every check includes the bus. A bus that was deleted and created again between two checks, with its rule, differs in its
creation time alone. If the bus were checked less often than the rule, a checkpoint could pass events that were sent
while the bus was missing.
"""

import contextlib
import enum
import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

from stream_router import limits
from stream_router.aws import credentials, endpoints
from stream_router.aws_error_codes import ABSENT, DENIED, NOT_SPOKEN, code_of, cure, find_refusal
from stream_router.consumer.state_dir import TARGET_BROKEN, TARGET_PROOF, TARGET_WANTED
from stream_router.errors import SettingsError
from stream_router.log import LogLimiter
from stream_router.pipeline.sample_events import as_delivered, sample_entries
from stream_router.process import failpoint, write_whole
from stream_router.settings.common import NO_RULE, Common
from stream_router.settings.consumer import Consumer
from stream_router.telemetry.silence import Answers

log = logging.getLogger(__name__)

SETUP = "run `stream-router setup`"
BUS = "STREAM_ROUTER_EVENT_BUS"

AGAIN_S = 1.0
"""Seconds between the two broken results that count: AWS's control plane may answer from an older copy once."""

STANDS_S = 60.0
"""Seconds for which checks must be ok after the target was broken or its pattern changed: a rule takes a moment to take
effect."""

IDLE_INTERVAL_S = 60.0
"""Seconds between two checks while no event waits for one.

An idle consumer may have six control-plane calls a minute: three of these, ListShards, DescribeStreamSummary, and one
in reserve.
"""

WANTED_POLL_INTERVAL_S = 0.25
"""Seconds between two reads of the local file TARGET_WANTED: the longest delay of a first event after an idle hour."""

WANT_INTERVAL_S = 1.0
"""Seconds between two writes to that file by one child."""

UNASKED_S = 1800.0
"""Seconds for which events are published without an answered check, so that a short outage of the control plane alone
does not stop publishing."""

WORKERS_A_SECOND = 5.0
"""Maximum number of checks per second by all supervisors of an application.

An account has some 50 control-plane calls of EventBridge per second, and each check takes three.
"""

SAME_WITHIN_S = 1.0
"""Seconds by which two creation times of the same bus may differ: some answers have whole seconds, some fractions."""

START_AGAIN_S = 5.0
"""Longest time between two checks before the first ok, in seconds."""

HURRY_FOR_S = 10.0
"""Seconds of more frequent checks before a stop: longer than children have for their last checkpoint."""

TRUSTED = (
    "Neither event bus nor rule is checked (STREAM_ROUTER_BUS_PROOF=trust). If the bus is missing, or no rule takes "
    "our events, EventBridge still answers success: events sent meanwhile are lost, and the checkpoint passes them. "
    "Set STREAM_ROUTER_BUS_PROOF=describe to check both."
)
NO_RULE_TOLD = (
    "No rule is checked (STREAM_ROUTER_RULE=none), only the event bus. Whether events reach a target is not known here."
)
"""Log line at the start if no rule is checked."""


class TargetOk(NamedTuple):
    """Result of a check that found bus and rule in order."""

    made_s: float = 0.0
    """Time of the bus's creation (epoch seconds); 0.0 if the answer does not have it."""
    pattern: str = ""
    """The judged part of the rule's pattern."""
    unjudged: tuple[str, ...] = ()
    """Operations that the endpoint, perhaps an emulator, does not know. Their part of the check is omitted."""


class TargetBroken(NamedTuple):
    """Result of a check by which our events reach no target. `of` is "bus" or "rule"."""

    of: str
    problem: str
    cure: str = SETUP


class TargetUnknown(NamedTuple):
    """Result of a check without an answer: AWS's error code, or the kind of failure, and the operation that failed.

    `refusal` names the action and the resource of a missing permission; "" otherwise.
    """

    code: str
    operation: str = ""
    refusal: str = ""


CheckResult = TargetOk | TargetBroken | TargetUnknown


class TargetQuestion:
    """Check of AWS, when called, that the bus exists and the rule takes each of our event types: one attempt of 8 s.

    Only `source`, `detail-type` and `detail.eventSource` of the rule's pattern are judged, since a team may filter
    further. `answers` records which calls are answered. Raises SettingsError if there are no credentials, or the
    environment cannot be used.
    """

    def __init__(self, settings: Common, answers: Answers | None = None) -> None:
        self._bus, self._rule, self._region = settings.event_bus, settings.rule, settings.aws_region
        session = endpoints.session(settings.aws_region)
        credentials.find(session)
        config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
        self._is_v2 = limits.is_v2_bus(self._bus)
        self._events = endpoints.client(session, "eventbridgev2" if self._is_v2 else "events", config)
        if answers:
            answers.follow(self._events, "EventBridge")
        self._samples = sample_entries(settings.aws_region, settings.event_type_list, int(time.time() * 1000))
        self._tested = ""
        """The judged part of the pattern that was tested last; the event types that it refuses are in `_refused`."""
        self._refused: list[str] = []
        self._unjudged: set[str] = set()

    def __call__(self) -> CheckResult:
        """Return the result of one check. A pattern that has not changed is not tested again."""
        try:
            made_s = bus_made_s(self._call("DescribeEventBus", **self._named()))
            if self._rule == NO_RULE:
                return TargetOk(made_s)
            pattern = self._of_subscriber() if self._is_v2 else self._of_rule()
            return (
                pattern
                if isinstance(pattern, TargetBroken)
                else TargetOk(made_s, pattern, tuple(sorted(self._unjudged)))
            )
        except AbsentError as absent:
            return absent.no
        except ClientError as error:
            refusal = find_refusal(str(error))
            return TargetUnknown(code_of(error), error.operation_name, refusal.in_words() if refusal else "")
        except Exception as error:  # noqa: BLE001 - botocore may raise any; a failed check is not a negative answer
            return TargetUnknown(code_of(error))

    def _named(self) -> dict[str, str]:
        return {"EventBusArn": self._bus} if self._is_v2 else {"Name": self._bus}

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Return the answer; {} if the endpoint lacks the operation. Raise AbsentError if bus or rule do not exist."""
        try:
            answer: dict[str, Any] = getattr(self._events, xform_name(operation))(**parameters)
        except ClientError as error:
            code = code_of(error)
            if code in ABSENT:
                is_bus = operation == "DescribeEventBus"
                raise AbsentError(self._no_bus() if is_bus else self._absent_rule()) from None
            if code not in NOT_SPOKEN:
                raise
            self._unjudged.add(operation)
            return {}
        return answer

    def _no_bus(self) -> TargetBroken:
        return TargetBroken("bus", f"the event bus {self._bus} does not exist", self._cure_of_absence(BUS))

    def _absent_rule(self) -> TargetBroken:
        return self._no_rule("does not exist", self._cure_of_absence("STREAM_ROUTER_RULE"))

    def _cure_of_absence(self, setting: str) -> str:
        """Return the cure, the region first: in a wrong region `setup` would create everything a second time."""
        return f"check that AWS_REGION ({self._region}) is right, correct {setting}, or {SETUP}"

    def _no_rule(self, problem: str, cure: str = SETUP) -> TargetBroken:
        kind = "subscriber" if self._is_v2 else "rule"
        return TargetBroken("rule", f"{kind} {self._rule} of event bus {self._bus} {problem}", cure)

    def _of_rule(self) -> TargetBroken | str:
        rule = {"EventBusName": self._bus}
        description = self._call("DescribeRule", Name=self._rule, **rule)
        if not description:
            return ""
        if not str(description.get("State", "ENABLED")).startswith("ENABLED"):
            enable = f"aws events enable-rule --name {self._rule} --event-bus-name {self._bus}"
            return self._no_rule("is disabled", f"run `{enable}`")
        targets = self._call("ListTargetsByRule", Rule=self._rule, Limit=1, **rule)
        if "ListTargetsByRule" not in self._unjudged and not targets.get("Targets"):
            return self._no_rule("has no target", f"set EVENTBRIDGE_TARGET_ARN and {SETUP}")
        # The account is the fifth field of the ARN; an emulator may omit the ARN, or send a short one.
        account = (str(description.get("Arn", "")).split(":") + [""] * 5)[4] or "000000000000"
        judged = json.dumps(judged_part(json.loads(description.get("EventPattern") or "{}")), sort_keys=True)
        if "EventPattern" not in description:
            return self._no_rule("has no event pattern")
        if judged != self._tested:
            refused = [] if judged == "{}" else self._refused_by(judged, account)
            self._tested, self._refused = judged, refused
        if self._refused:
            wrong = f"does not take our events of type {', '.join(self._refused)}"
            return self._no_rule(wrong, "see `stream-router setup --plan`")
        return judged

    def _refused_by(self, pattern: str, account: str) -> list[str]:
        """Return those of our event types that the pattern refuses."""
        refused = []
        for entry in self._samples:
            event = json.dumps(as_delivered(entry, account, self._region))
            answer = self._call("TestEventPattern", EventPattern=pattern, Event=event)
            if "Result" not in answer:
                self._unjudged.add("TestEventPattern")
                return []
            if not answer["Result"]:
                refused.append(entry.detail_type)
        return refused

    def _of_subscriber(self) -> TargetBroken | str:
        """Check that a v2 bus's subscriber exists and runs. Its filters are not judged: AWS has no call for that."""
        parameters = {"EventBusArn": self._bus, "NamePrefix": self._rule}
        page = self._call("ListSubscribers", **parameters)
        if not page:
            return ""
        listed = [*page["Subscribers"]]
        while token := page.get("NextToken"):
            page = self._call("ListSubscribers", NextToken=token, **parameters)
            listed += page["Subscribers"]
        arn = next((subscriber["SubscriberArn"] for subscriber in listed if subscriber["Name"] == self._rule), None)
        cure = "see docs/operations.md for the command that makes it"
        if arn is None:
            return self._no_rule("does not exist", cure)
        has = self._call("DescribeSubscriber", SubscriberArn=arn)
        if has.get("Revoked") or has.get("State") != "RUNNING":
            return self._no_rule("is revoked" if has.get("Revoked") else "is stopped", "start it again")
        return ""


class AbsentError(Exception):
    """Bus or rule do not exist."""

    def __init__(self, no: TargetBroken) -> None:
        super().__init__(no.problem)
        self.no = no


def bus_made_s(description: dict[str, Any]) -> float:
    """Return the bus's creation time (epoch seconds); 0.0 if DescribeEventBus has none, and for the default bus.

    Nobody can delete the default bus, and EventBridge's documentation promises a creation time only for other buses.
    """
    created = description.get("CreationTime")
    if str(description.get("Arn")).endswith(":event-bus/default"):
        return 0.0
    if isinstance(created, datetime):
        return created.timestamp()
    return float(created) if isinstance(created, int | float) else 0.0


_JUDGED: dict[str, Any] = {"source": {}, "detail-type": {}, "detail": {"eventSource": {}}}


def judged_part(pattern: dict[str, Any], judged: dict[str, Any] = _JUDGED) -> dict[str, Any]:
    """Return the part of an event pattern that decides on our events by source, type and `detail.eventSource`.

    Each alternative of `$or` is reduced in the same way. If an alternative has no condition on these fields, it takes
    any event, so the whole `$or` is omitted.
    """
    kept = {}
    for name, within in judged.items():
        if part := judged_part(pattern[name], within) if within and name in pattern else pattern.get(name):
            kept[name] = part
    ways = [judged_part(way, judged) for way in pattern.get("$or", ())]
    return {**kept, "$or": ways} if ways and all(ways) else kept


def takes_as_much(before: str, after: str) -> bool:
    """Return whether the judged pattern `after` takes all events of `before`: lists grew, or conditions vanished.

    While EventBridge changes from one to the other, both take our events, so no event has to wait for the change.
    """
    if before == after:
        return True
    return bool(before and after) and _is_wider(json.loads(before), json.loads(after))


def _is_wider(before: Any, after: Any) -> bool:
    """Compare two parts of a pattern. All conditions of an object must hold, and at least one value of a list."""
    if isinstance(before, dict) and isinstance(after, dict):
        if "$or" in before or "$or" in after:  # alternatives in another order would be hard to compare
            return bool(before == after)
        return all(name in before and _is_wider(before[name], part) for name, part in after.items())
    if isinstance(before, list) and isinstance(after, list):
        return all(value in after for value in before)
    return bool(before == after)


def question(settings: Consumer, answers: Answers | None = None) -> Callable[[], CheckResult]:
    """Return the check for the settings. With `STREAM_ROUTER_BUS_PROOF=trust` it sends no call and is always ok."""
    return TargetOk if settings.bus_proof == "trust" else TargetQuestion(settings, answers)


class Line(NamedTuple):
    """Report of the supervisor to its children about bus and rule, one line in a file.

    Times are `time.monotonic()`, one clock for all processes of a host.
    """

    proven_s: float = -math.inf
    """Start of the latest ok that counts. Every event that the bus accepted before has reached our rule."""
    since_s: float = -math.inf
    """Time at which an ok counted again after the latest break. An older child must end, and its events are resent."""
    problem: str = ""
    """Reason for which nothing may be published; "" if publishing is allowed."""
    unasked: bool = False
    """Whether the latest check had no answer."""

    def text(self) -> str:
        """Return the file's one line."""
        return json.dumps(self._asdict()) + "\n"


class TargetState(enum.StrEnum):
    """State of the target check. The table at the top of this module lists the transitions."""

    UNCHECKED = "unchecked"
    OK = "ok"
    DOUBTED = "doubted"
    BROKEN = "broken"
    SETTLING = "settling"


class Standing:
    """State machine over the results of target checks, by the table at the top of this module.

    `heard` takes each result with the time at which its check began (monotonic seconds). `breaks` is true if an earlier
    supervisor of this state folder left the target broken.
    """

    def __init__(self, *, breaks: bool = False) -> None:
        self.line = Line()
        self.no: TargetBroken | None = None
        """The broken result that counts, until an ok counts."""
        self.no_since = 0.0
        self.in_doubt = False
        """Whether the latest result is a first broken one, after which the supervisor checks again at once."""
        self.unasked_since: float | None = None
        self.unasked_checks = 0
        """Number of consecutive checks without an answer."""
        self.stands_since: float | None = None
        """Time since which checks are ok without counting yet."""
        self.breaks = breaks
        """Whether checks must be ok for STANDS_S before they count."""
        self._made_s, self._pattern = 0.0, ""

    @property
    def state(self) -> TargetState:
        """The present state. "Unknown" results do not change it."""
        if self.in_doubt:
            return TargetState.DOUBTED
        if self.stands_since is not None:
            return TargetState.SETTLING
        if self.no:
            return TargetState.BROKEN
        return TargetState.OK if self.line.proven_s > -math.inf else TargetState.UNCHECKED

    def heard(self, answer: CheckResult, asked_s: float) -> None:
        """Apply the result of a check that began at `asked_s` (monotonic seconds)."""
        if isinstance(answer, TargetUnknown):
            self.unasked_since = asked_s if self.unasked_since is None else self.unasked_since
            self.unasked_checks += 1
        else:
            self.unasked_since, self.unasked_checks = None, 0
            no = answer if isinstance(answer, TargetBroken) else self._another_bus(answer)
            if no:
                self._heard_broken(no, asked_s)
            elif isinstance(answer, TargetOk):
                self._heard_ok(answer, asked_s)
        problem = self.no.problem if self.no else ""
        if self.no and self.stands_since is not None:
            problem = f"{problem}; it is right again, and counts once it was so for {STANDS_S:.0f} s"
        if self.unasked_since is not None and asked_s - self.unasked_since >= UNASKED_S:
            problem = problem or f"event bus and rule could not be asked for {UNASKED_S / 60:.0f} minutes"
        self.line = self.line._replace(problem=problem, unasked=self.unasked_since is not None)

    def _another_bus(self, yes: TargetOk) -> TargetBroken | None:
        known_s = self._made_s
        if self.no or not (known_s and yes.made_s) or abs(yes.made_s - known_s) < SAME_WITHIN_S:
            return None
        if self.in_doubt:  # the second such result counts; from now on the new bus is the known bus
            self._made_s = yes.made_s
        return TargetBroken(
            "bus", "the event bus was deleted and made again", f"{SETUP}: the rule went with the old one"
        )

    def _heard_broken(self, no: TargetBroken, asked_s: float) -> None:
        if self.no is None and not self.in_doubt:
            self.in_doubt = True
            return
        self.no_since = asked_s if self.no is None else self.no_since
        self.in_doubt = False
        self.no = no
        self.stands_since = None
        self.breaks = True

    def _heard_ok(self, yes: TargetOk, asked_s: float) -> None:
        self.in_doubt = False
        self._made_s = yes.made_s or self._made_s
        if self._pattern and not takes_as_much(self._pattern, yes.pattern):
            self.breaks, self.stands_since = True, None
        self._pattern = yes.pattern
        since_s = self.line.since_s
        if self.breaks:
            self.stands_since = asked_s if self.stands_since is None else self.stands_since
            if asked_s - self.stands_since < STANDS_S:
                return
            since_s = asked_s
        self.no, self.stands_since, self.breaks = None, None, False
        self.line = Line(asked_s, since_s)


def ask_every_s(checkpoint_s: float, workers: int) -> float:
    """Return the seconds between two checks of one of `workers` supervisors while a checkpoint waits for a check.

    It is the checkpoint's own interval, unless all workers together would exceed WORKERS_A_SECOND.
    """
    return max(checkpoint_s, workers / WORKERS_A_SECOND, AGAIN_S)


def check_interval_s(standing: Standing, every_s: float, *, is_wanted: bool) -> float:
    """Return the seconds until the next check: `every_s` if a check is needed, otherwise at least a minute.

    If the target is not ok, or unknown, checks are needed even without events, since publishing may wait for them.
    """
    is_unknown = standing.unasked_since is not None
    if standing.unasked_checks == 1 or (standing.state is TargetState.DOUBTED and not is_unknown):
        return AGAIN_S  # a single broken connection is not an outage
    if standing.line.proven_s == -math.inf:
        return min(every_s, START_AGAIN_S)
    if standing.state is TargetState.OK and not is_unknown and not is_wanted:
        return max(every_s, IDLE_INTERVAL_S)
    return every_s


class FirstCheck(NamedTuple):
    """Single report of the checker to the supervisor: the first ok counts, or none will because of `refusal`."""

    refusal: SettingsError | None = None


class TargetChecker:
    """Thread that repeats the target check until it is closed, writes the children's line, and logs changes.

    `report` is called once: when the first ok counts, or with a refusal, after which the thread ends. A start is
    refused if the bus does not exist, if its name is invalid, or if a permission is still missing after half a minute.
    Without `report` nothing is refused. `every_s` returns the seconds between two checks while they are needed.
    """

    def __init__(
        self,
        folder: Path,
        ask: Callable[[], CheckResult],
        every_s: Callable[[], float],
        report: Callable[[FirstCheck], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file, self._wanted = folder / TARGET_PROOF, folder / TARGET_WANTED
        self._ask = ask
        self._every_s = every_s
        self._report = report
        self._clock = clock
        self._broken = folder / TARGET_BROKEN
        self.standing = Standing(breaks=self._broken.exists())
        self._first_reported = False
        self._asked_s = -math.inf
        self._stop, self._wake = threading.Event(), threading.Event()
        self._hurry_until = -HURRY_FOR_S
        self._no_to_be_said, self._unasked_to_be_said = LogLimiter(clock), LogLimiter(clock)
        self._unwritten_to_be_said = LogLimiter(clock)
        self._thread = threading.Thread(target=self._run, name="target-check", daemon=True)

    @property
    def ok_since_s(self) -> float:
        """Time at which an ok counted again after the latest break (monotonic seconds)."""
        return self.standing.line.since_s

    def start(self) -> None:
        """Start the thread, which checks at once."""
        self._thread.start()

    def close(self) -> None:
        """Stop checking, without waiting for a check in progress."""
        self._stop.set()
        self._wake.set()

    def hasten(self) -> None:
        """Check now, and each second for HURRY_FOR_S: children that stop wait for a check after their last event."""
        self._hurry_until = self._clock() + HURRY_FOR_S
        self._wake.set()

    def rest_s(self) -> float:
        """Return the seconds between the latest check and the next check, as planned now."""
        if self._clock() < self._hurry_until:
            return AGAIN_S
        return check_interval_s(self.standing, self._every_s(), is_wanted=self._is_wanted())

    def _is_wanted(self) -> bool:
        """Return whether the bus may have accepted an event after the latest check began.

        A child that still waits writes the file again within a second, so a write that is missed does not matter.
        """
        try:
            return self._wanted.stat().st_mtime >= self._asked_s
        except OSError:
            return False

    def _run(self) -> None:
        while not self._stop.is_set():
            self.check_once()
            checked_s = self._clock()
            while (left_s := checked_s + self.rest_s() - self._clock()) > 0:
                if self._wake.wait(min(left_s, WANTED_POLL_INTERVAL_S)):
                    break
            self._wake.clear()

    def check_once(self) -> None:
        """Check once, and report the result to the children and the log."""
        standing, asked_s = self.standing, self._clock()
        self._asked_s = asked_s
        answer = self._ask()
        before = standing.no, standing.unasked_since, standing.stands_since
        standing.heard(answer, asked_s)
        if self._report and not self._first_reported and (refusal := self._refusal(answer, asked_s)):
            self._stop.set()
            self._report(FirstCheck(refusal))
            return
        self._log_change(answer, asked_s, *before)
        failpoint("target_proven_before_written")
        self._write()
        if not self._first_reported and standing.line.proven_s > -math.inf:
            self._first_reported = True
            if self._report:
                self._report(FirstCheck())

    def _log_change(
        self,
        answer: CheckResult,
        asked_s: float,
        no: TargetBroken | None,
        unasked_since: float | None,
        stands_since: float | None,
    ) -> None:
        standing = self.standing
        if isinstance(answer, TargetUnknown):
            if self._unasked_to_be_said():
                self._log_unanswered(answer, asked_s)
        elif unasked_since is not None:
            fields = {"event": "target-answers", "afterS": round(asked_s - unasked_since, 1)}
            log.warning("Event bus and rule can be checked again.", extra=fields)
        if standing.no and standing.stands_since is None and (standing.no != no or self._no_to_be_said()):
            if standing.no != no:
                self._no_to_be_said()
            log.error(
                "%s. EventBridge would answer success, and events would reach no target. Publishing is paused, and no "
                "event is lost. Events sent since the last successful check will be resent. Cure: %s.",
                *standing.no[1:],
                extra={"event": "rule-unmatched" if standing.no.of == "rule" else "bus-gone", "cure": standing.no.cure},
            )
        elif standing.stands_since is not None and stands_since is None:
            log.warning(
                "The rule %s. This counts in %.0f s, since a rule takes a moment to take effect. Then events sent "
                "since the last successful check are resent. Nothing has to be done.",
                "takes our events by another pattern"
                if self._first_reported and not standing.no
                else "takes our events again",
                STANDS_S,
                extra={"event": "rule-matches-again"},
            )
        elif no and not standing.no:
            log.warning("Bus and rule are in order. Publishing continues.", extra={"event": "rule-proven-again"})

    def _log_unanswered(self, answer: TargetUnknown, asked_s: float) -> None:
        since_s = self.standing.unasked_since
        then = (
            f"Events are published for {UNASKED_S / 60:.0f} minutes in all, while the checkpoint waits for a check. "
            "Then the shards hold until a check is answered"
        )
        log.error(
            "Event bus and rule cannot be checked (%s): %s. %s. To do: %s.",
            answer.operation or "no answer",
            f"{answer.code}: {answer.refusal}" if answer.refusal else answer.code,
            then if self._first_reported else "The start waits for a check",
            cure(answer.code),
            extra={"event": "target-not-asked", "forS": round(asked_s - (asked_s if since_s is None else since_s), 1)},
        )

    def _write(self) -> None:
        """Write the children's line. If that fails, log it: the state of the bus does not change."""
        try:
            write_whole(self._file, self.standing.line.text())
            if self.standing.breaks:
                self._broken.touch()
            elif self._broken.exists():
                self._broken.unlink()
        except OSError as error:
            if self._unwritten_to_be_said():
                log.error(  # noqa: TRY400 - the error's text is enough
                    "The state folder cannot be written: %s. Children do not get the result of the target check, so no "
                    "checkpoint is taken; no event is lost. Free space on its disk.",
                    error.strerror,
                    extra={"event": "target-not-written", "state": str(self._file.parent)},
                )

    def _refusal(self, answer: CheckResult, asked_s: float) -> SettingsError | None:
        """Return the error that ends the program if waiting cannot help, otherwise None. Only for the first result.

        A missing permission is waited for: IAM takes seconds until a policy that was just granted is in effect.
        """
        if isinstance(answer, TargetBroken) and answer.of == "bus" and self.standing.no:
            return SettingsError(BUS, "no such event bus", "run `stream-router setup`, or name one that exists")
        if not isinstance(answer, TargetUnknown):
            return None
        if answer.code in ("ValidationException", "InvalidInputException") and answer.operation == "DescribeEventBus":
            return SettingsError(BUS, "is not a bus name or ARN", "name one that exists")
        waited_s = asked_s - (asked_s if self.standing.unasked_since is None else self.standing.unasked_since)
        if answer.code in DENIED and waited_s >= credentials.PATIENCE_S:
            return SettingsError(
                BUS if answer.operation == "DescribeEventBus" else "STREAM_ROUTER_RULE",
                f"no permission to read it ({answer.refusal or answer.code})",
                f"allow events:{answer.operation} to this role (`stream-router setup --policy consume`). The owner of "
                'a bus in another account has to allow it too (docs/operations.md, "A bus of another account")',
            )
        return None


LOOK_EVERY_S = 0.25
"""Seconds between two reads of the line by one child."""


class KnownTarget:
    """A child's view of the target check. Call `look` often, and before the first event is sent.

    If the line is missing, or cannot be read, the last line that was read still holds.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._wanted = folder / TARGET_PROOF, folder / TARGET_WANTED
        self._clock = clock
        self._born = clock()
        self._look_at = self._want_at = -math.inf
        self._line = Line()
        self.look()

    def look(self) -> None:
        """Read the line, at most every LOOK_EVERY_S."""
        if (now := self._clock()) < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_S
        with contextlib.suppress(OSError, ValueError, TypeError):
            self._line = Line(**json.loads(self._file.read_bytes()))

    def want(self, accepted_s: float) -> None:
        """Request a check from the supervisor, unless one covers the latest acceptance of the bus, `accepted_s`.

        Call this often: the request is written again every WANT_INTERVAL_S until a check covers `accepted_s`. The
        file's time is set by the monotonic clock, which both processes share.
        """
        if accepted_s < self._line.proven_s or (now := self._clock()) < self._want_at:
            return
        self._want_at = now + WANT_INTERVAL_S
        with contextlib.suppress(OSError):  # if the folder is full, the supervisor cannot write its line either
            self._wanted.touch()
            os.utime(self._wanted, (now, now))

    @property
    def proven_s(self) -> float:
        """Monotonic time before which every accepted event has reached our rule."""
        return -math.inf if self.is_broken else self._line.proven_s

    @property
    def is_broken(self) -> bool:
        """Whether the target was broken while this process lived. No check covers its events, so it must end."""
        return self._line.since_s > self._born

    @property
    def problem(self) -> str:
        """Reason for which nothing may be published now; "" if publishing is allowed."""
        return self._line.problem

    @property
    def unasked(self) -> bool:
        """Whether the latest check had no answer, so that settled records wait above the checkpoint."""
        return self._line.unasked
