"""The target check: the event bus exists, and our rule takes our events.

PutEvents answers success for a missing bus, and for a bus with no matching rule. So an event counts as delivered only
once a check that began after its acceptance has succeeded. The supervisor checks; its children read the result from a
file of one line. `AwsTargetCheck` checks once, by calls to AWS. `TargetStateMachine` decides what a series of results
means. `TargetChecker` repeats the check and writes the file, which a child reads through `TargetView`.

`TargetStateMachine` is in one of five states (`TargetState`). Only the result of a check changes it, in the
supervisor's thread:

| state | meaning | after ok | after broken |
|---|---|---|---|
| UNCHECKED | no result counts yet | OK (a) | DOUBTED |
| OK | events accepted before the check have reached the rule | OK (b) | DOUBTED |
| DOUBTED | one broken result; events flow, none is covered by a check | the state before | BROKEN |
| BROKEN | two broken results; nothing is published | SETTLING | BROKEN |
| SETTLING, target was broken | ok for less than SETTLE_S; nothing is published | SETTLING, OK after SETTLE_S | BROKEN |
| SETTLING, pattern changed | the same; events flow, none is covered | SETTLING, OK after SETTLE_S | DOUBTED |

(a) SETTLING if an earlier supervisor ended while no ok counted (the file TARGET_BROKEN exists). (b) SETTLING if the
pattern changed, unless the new one takes at least the events of the old one. A bus with another creation time counts as
broken. A check without an answer changes no state and covers no event. If checks have had no answer for
UNANSWERED_LIMIT_S, nothing is published until one is answered.

A check is three management events in CloudTrail, so the supervisor checks only as often as needed. While the bus has
accepted events that no check covers, a child renews the time of the file TARGET_CHECK_REQUESTED, and the supervisor
checks at the interval of the checkpoints, as it does in every state but OK. Otherwise it checks once a minute.

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
from stream_router.aws_error_codes import ABSENT, DENIED, UNSUPPORTED_OPERATION, code_of, find_cure, find_refusal
from stream_router.consumer.state_dir import TARGET_BROKEN, TARGET_CHECK_REQUESTED, TARGET_REPORT
from stream_router.errors import SettingsError
from stream_router.log import LogLimiter
from stream_router.pipeline.sample_events import as_delivered, sample_entries
from stream_router.process import failpoint, write_atomically
from stream_router.settings.common import NO_RULE, Common
from stream_router.settings.consumer import Consumer
from stream_router.telemetry.silence import Answers

log = logging.getLogger(__name__)

SETUP = "run `stream-router setup`"
BUS = "STREAM_ROUTER_EVENT_BUS"

RECHECK_AFTER_S = 1.0
"""Seconds after which a broken result is checked again.

Only the second broken result counts, since AWS's control plane may answer once from an older copy.
"""

SETTLE_S = 60.0
"""Seconds for which checks must be ok after the target was broken or its pattern changed.

EventBridge needs time to apply a rule.
"""

IDLE_INTERVAL_S = 60.0
"""Seconds between two checks while no event waits for one.

An idle consumer may make six control-plane calls a minute: three for a check, ListShards, DescribeStreamSummary, and
one in reserve.
"""

REQUEST_POLL_INTERVAL_S = 0.25
"""Seconds between two looks at the file TARGET_CHECK_REQUESTED.

The check for the first event after an idle time may be late by this much, and so may the checkpoint that needs it.
"""

REQUEST_INTERVAL_S = 1.0
"""Seconds between two writes of one child to the file TARGET_CHECK_REQUESTED."""

UNANSWERED_LIMIT_S = 1800.0
"""Seconds for which events are published although no check is answered, so that a short outage of AWS's control plane
does not stop publishing."""

MAX_CHECKS_PER_S = 5.0
"""Maximum number of checks per second by all supervisors of an application.

An account may make some 50 control-plane calls of EventBridge per second, and each check makes three.
"""

CREATION_TIME_TOLERANCE_S = 1.0
"""Seconds by which two creation times of one bus may differ, since some answers are in whole seconds."""

STARTUP_INTERVAL_S = 5.0
"""Maximum number of seconds between two checks before the first ok."""

HASTEN_FOR_S = 10.0
"""Seconds of checks once a second while children stop. Children have less time than this for their last checkpoint."""

TARGET_UNCHECKED = (
    "Neither event bus nor rule is checked (STREAM_ROUTER_BUS_PROOF=trust). If the bus is missing, or no rule takes "
    "our events, EventBridge still answers success: events sent meanwhile are lost, and the checkpoint passes them. "
    "Set STREAM_ROUTER_BUS_PROOF=describe to check both."
)
"""Log line at the start if STREAM_ROUTER_BUS_PROOF is `trust`."""
RULE_UNCHECKED = (
    "No rule is checked (STREAM_ROUTER_RULE=none), only the event bus. Whether events reach a target is not known here."
)
"""Log line at the start if STREAM_ROUTER_RULE is `none`."""


class TargetOk(NamedTuple):
    """Result of a check that found bus and rule in order."""

    created_s: float = 0.0
    """Creation time of the bus, in epoch seconds; 0.0 if the answer does not contain it."""
    pattern: str = ""
    """The relevant part of the rule's pattern."""
    skipped_operations: tuple[str, ...] = ()
    """Operations that the endpoint, perhaps an emulator, does not support. Their part of the check was omitted."""


class TargetBroken(NamedTuple):
    """Result of a check that found that our events reach no target. `part` is "bus" or "rule"."""

    part: str
    problem: str
    cure: str = SETUP


class TargetUnknown(NamedTuple):
    """Result of a check that failed: AWS gave no answer, or an error that says nothing about bus and rule.

    `code` is AWS's error code or the kind of failure. `operation` is the call that got the error; it is "" without an
    answer. `refusal` names the action and the resource of a missing permission; it is "" otherwise.
    """

    code: str
    operation: str = ""
    refusal: str = ""


CheckResult = TargetOk | TargetBroken | TargetUnknown


class AwsTargetCheck:
    """Callable that checks at AWS whether the bus exists and the rule takes each of our event types.

    A call takes at most 8 s and is not repeated. Only `source`, `detail-type` and `detail.eventSource` of the rule's
    pattern are judged, since a team may filter further. `answers` records which calls are answered. Raises
    SettingsError if there are no credentials, or the environment cannot be used.
    """

    def __init__(self, settings: Common, answers: Answers | None = None) -> None:
        self._bus, self._rule, self._region = settings.event_bus, settings.rule, settings.aws_region
        session = endpoints.create_session(settings.aws_region)
        credentials.find_in_chain(session)
        config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
        self._is_v2_bus = limits.is_v2_bus(self._bus)
        self._events = endpoints.create_client(session, "eventbridgev2" if self._is_v2_bus else "events", config)
        if answers:
            answers.follow(self._events, "EventBridge")
        self._samples = sample_entries(settings.aws_region, settings.event_type_list, int(time.time() * 1000))
        self._tested_pattern = ""
        """The relevant part of the pattern that was tested last. `_refused_types` are the types that it refuses."""
        self._refused_types: list[str] = []
        self._skipped_operations: set[str] = set()

    def __call__(self) -> CheckResult:
        """Return the result of one check. A pattern that has not changed is not tested again."""
        try:
            created_s = bus_created_s(self._call("DescribeEventBus", **self._bus_parameter()))
            if self._rule == NO_RULE:
                return TargetOk(created_s)
            pattern = self._check_subscriber() if self._is_v2_bus else self._check_rule()
            return TargetOk(created_s, pattern, tuple(sorted(self._skipped_operations)))
        except TargetBrokenError as error:
            return error.result
        except ClientError as error:
            refusal = find_refusal(str(error))
            return TargetUnknown(code_of(error), error.operation_name, refusal.in_words() if refusal else "")
        except Exception as error:  # noqa: BLE001 - botocore may raise any; a failed check is not a negative answer
            return TargetUnknown(code_of(error))

    def _bus_parameter(self) -> dict[str, str]:
        return {"EventBusArn": self._bus} if self._is_v2_bus else {"Name": self._bus}

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Return AWS's answer; {} if the endpoint, perhaps an emulator, does not support the operation.

        Raises TargetBrokenError if the bus or the rule does not exist.
        """
        try:
            answer: dict[str, Any] = getattr(self._events, xform_name(operation))(**parameters)
        except ClientError as error:
            code = code_of(error)
            if code in ABSENT:
                is_bus = operation == "DescribeEventBus"
                raise (self._bus_absent() if is_bus else self._rule_absent()) from None
            if code not in UNSUPPORTED_OPERATION:
                raise
            self._skipped_operations.add(operation)
            return {}
        return answer

    def _bus_absent(self) -> "TargetBrokenError":
        problem = f"the event bus {self._bus} does not exist"
        return TargetBrokenError(TargetBroken("bus", problem, self._cure_for_absence(BUS)))

    def _rule_absent(self) -> "TargetBrokenError":
        return self._rule_broken("does not exist", self._cure_for_absence("STREAM_ROUTER_RULE"))

    def _cure_for_absence(self, setting: str) -> str:
        """Return what to do. The region comes first: in a wrong region `setup` would create everything again."""
        return f"check that AWS_REGION ({self._region}) is right, correct {setting}, or {SETUP}"

    def _rule_broken(self, problem: str, cure: str = SETUP) -> "TargetBrokenError":
        kind = "subscriber" if self._is_v2_bus else "rule"
        return TargetBrokenError(TargetBroken("rule", f"{kind} {self._rule} of event bus {self._bus} {problem}", cure))

    def _check_rule(self) -> str:
        """Return the relevant part of the rule's pattern as JSON; "" if it cannot be read.

        Raises TargetBrokenError if the rule is missing or disabled, has no target, or refuses one of our event types.
        """
        rule = {"EventBusName": self._bus}
        description = self._call("DescribeRule", Name=self._rule, **rule)
        if not description:
            return ""
        # AWS has two enabled states: ENABLED, and ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS.
        if not str(description.get("State", "ENABLED")).startswith("ENABLED"):
            enable = f"aws events enable-rule --name {self._rule} --event-bus-name {self._bus}"
            raise self._rule_broken("is disabled", f"run `{enable}`")
        targets = self._call("ListTargetsByRule", Rule=self._rule, Limit=1, **rule)
        if "ListTargetsByRule" not in self._skipped_operations and not targets.get("Targets"):
            raise self._rule_broken("has no target", f"set EVENTBRIDGE_TARGET_ARN and {SETUP}")
        if "EventPattern" not in description:
            raise self._rule_broken("has no event pattern")
        pattern = json.dumps(relevant_pattern(json.loads(description["EventPattern"] or "{}")), sort_keys=True)
        if pattern != self._tested_pattern:
            # The account is the fifth field of the ARN; an emulator may omit the ARN, or send a short one.
            account = (str(description.get("Arn", "")).split(":") + [""] * 5)[4] or "000000000000"
            # "{}": the pattern has no condition on the judged fields, so by them it refuses no event.
            self._refused_types = [] if pattern == "{}" else self._find_refused_types(pattern, account)
            self._tested_pattern = pattern
        if self._refused_types:
            problem = f"does not take our events of type {', '.join(self._refused_types)}"
            raise self._rule_broken(problem, "see `stream-router setup --plan`")
        return pattern

    def _find_refused_types(self, pattern: str, account: str) -> list[str]:
        """Return those of our event types that the pattern refuses; [] if the endpoint cannot test patterns."""
        refused = []
        for entry in self._samples:
            event = json.dumps(as_delivered(entry, account, self._region))
            answer = self._call("TestEventPattern", EventPattern=pattern, Event=event)
            if "Result" not in answer:
                self._skipped_operations.add("TestEventPattern")
                return []
            if not answer["Result"]:
                refused.append(entry.detail_type)
        return refused

    def _check_subscriber(self) -> str:
        """Return "" if the subscriber of a v2 bus exists and runs; raise TargetBrokenError otherwise.

        The subscriber's filters are not judged, since AWS has no call that tests them. So "" also stands for a pattern
        that is not known.
        """
        parameters = {"EventBusArn": self._bus, "NamePrefix": self._rule}
        page = self._call("ListSubscribers", **parameters)
        if not page:
            return ""
        subscribers = [*page["Subscribers"]]
        while token := page.get("NextToken"):
            page = self._call("ListSubscribers", NextToken=token, **parameters)
            subscribers += page["Subscribers"]
        arns = {subscriber["Name"]: subscriber["SubscriberArn"] for subscriber in subscribers}
        if self._rule not in arns:
            raise self._rule_broken("does not exist", "see docs/operations.md for the command that makes it")
        description = self._call("DescribeSubscriber", SubscriberArn=arns[self._rule])
        if description.get("Revoked"):
            raise self._rule_broken("is revoked", "start it again")
        if description.get("State") != "RUNNING":
            raise self._rule_broken("is stopped", "start it again")
        return ""


class TargetBrokenError(Exception):
    """The bus or the rule does not exist, or does not take our events. `result` says which of them, and why."""

    def __init__(self, result: TargetBroken) -> None:
        super().__init__(result.problem)
        self.result = result


def bus_created_s(description: dict[str, Any]) -> float:
    """Return the bus's creation time (epoch seconds); 0.0 if DescribeEventBus has none, and for the default bus.

    Nobody can delete the default bus, and EventBridge's documentation promises a creation time only for other buses.
    """
    created = description.get("CreationTime")
    if str(description.get("Arn")).endswith(":event-bus/default"):
        return 0.0
    if isinstance(created, datetime):
        return created.timestamp()
    return float(created) if isinstance(created, int | float) else 0.0


_RELEVANT_FIELDS: dict[str, Any] = {"source": {}, "detail-type": {}, "detail": {"eventSource": {}}}
"""Fields of an event pattern that are judged, each with its judged inner fields; {} for a field without any."""


def relevant_pattern(pattern: dict[str, Any], fields: dict[str, Any] = _RELEVANT_FIELDS) -> dict[str, Any]:
    """Return the part of an event pattern that decides on our events by source, type and `detail.eventSource`.

    Each alternative of `$or` is reduced in the same way. If an alternative has no condition on these fields, it takes
    any event, so the whole `$or` is omitted.
    """
    relevant = {}
    for name, inner_fields in fields.items():
        condition = pattern.get(name)
        if inner_fields and condition is not None:
            condition = relevant_pattern(condition, inner_fields)
        if condition:
            relevant[name] = condition
    alternatives = [relevant_pattern(alternative, fields) for alternative in pattern.get("$or", ())]
    if alternatives and all(alternatives):
        relevant["$or"] = alternatives
    return relevant


def accepts_all_of(before: str, after: str) -> bool:
    """Return whether the relevant pattern `after` takes every event that `before` takes.

    It does if it differs from `before` only by further values in lists, or by conditions that are missing. EventBridge
    may use either pattern for a moment after the change. Both take our events then, so no event has to wait. If only
    one of the two is "", which stands for an unknown pattern, return False.
    """
    if before == after:
        return True
    return bool(before and after) and _is_wider(json.loads(before), json.loads(after))


def _is_wider(before: Any, after: Any) -> bool:
    """Return whether one part of a pattern takes every event that its earlier form takes.

    An event matches an object if all its conditions hold, and a list if one of its values fits. So an object takes at
    least as much as before if each of its conditions existed before and takes at least as much as before. A list does
    if it still has all its earlier values.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        if "$or" in before or "$or" in after:  # alternatives in another order would be hard to compare
            return bool(before == after)
        return all(name in before and _is_wider(before[name], part) for name, part in after.items())
    if isinstance(before, list) and isinstance(after, list):
        return all(value in after for value in before)
    return bool(before == after)


def build_target_check(settings: Consumer, answers: Answers | None = None) -> Callable[[], CheckResult]:
    """Return the check for the settings. With `STREAM_ROUTER_BUS_PROOF=trust` it calls nobody and is always ok."""
    return TargetOk if settings.bus_proof == "trust" else AwsTargetCheck(settings, answers)


class TargetReport(NamedTuple):
    """Report of the supervisor to its children about bus and rule: one line of JSON in a file.

    Times are those of `time.monotonic()`, which is one clock for all processes of a host.
    """

    proven_s: float = -math.inf
    """Time at which the latest ok that counts began. Every event that the bus accepted before has reached our rule."""
    since_s: float = -math.inf
    """Start of the check whose ok counted again, after the target was broken or its pattern changed; -inf if neither.

    A child that started before that time must end. Its successor sends the events again that no check covers.
    """
    problem: str = ""
    """Reason why nothing may be published; "" if publishing is allowed."""
    unanswered: bool = False
    """Whether the latest check had no answer."""

    def text(self) -> str:
        """Return the report as one line of JSON."""
        return json.dumps(self._asdict()) + "\n"


class TargetState(enum.StrEnum):
    """State of the target check. The table at the top of this module lists the transitions."""

    UNCHECKED = "unchecked"
    OK = "ok"
    DOUBTED = "doubted"
    BROKEN = "broken"
    SETTLING = "settling"


class TargetStateMachine:
    """State machine over the results of target checks, by the table at the top of this module.

    `must_settle` is true if an earlier supervisor of this state folder ended while no ok counted (TARGET_BROKEN).
    """

    def __init__(self, *, must_settle: bool = False) -> None:
        self.report = TargetReport()
        self.broken: TargetBroken | None = None
        """The broken result that counts; None once an ok counts again."""
        self.broken_since_s = 0.0
        """Start of the check by which the target became broken (monotonic seconds); meaningless if it is not broken."""
        self.is_doubted = False
        """Whether the latest answered check was the first broken one, so that the next result decides."""
        self.unanswered_since_s: float | None = None
        """Time since which no check was answered; None if the latest one was."""
        self.unanswered_checks = 0
        """Number of consecutive checks without an answer."""
        self.settling_since_s: float | None = None
        """Time since which checks have been ok without counting yet; None if they count."""
        self.must_settle = must_settle
        """Whether checks must be ok for SETTLE_S before they count."""
        self._bus_created_s, self._pattern = 0.0, ""

    @property
    def state(self) -> TargetState:
        """The present state. A check without an answer does not change it."""
        if self.is_doubted:
            return TargetState.DOUBTED
        if self.settling_since_s is not None:
            return TargetState.SETTLING
        if self.broken:
            return TargetState.BROKEN
        return TargetState.OK if self.report.proven_s > -math.inf else TargetState.UNCHECKED

    def apply(self, result: CheckResult, began_s: float) -> None:
        """Apply the result of a check that began at `began_s` (monotonic seconds)."""
        if isinstance(result, TargetUnknown):
            if self.unanswered_since_s is None:
                self.unanswered_since_s = began_s
            self.unanswered_checks += 1
        else:
            self.unanswered_since_s, self.unanswered_checks = None, 0
            if isinstance(result, TargetOk) and self._is_another_bus(result):
                problem = "the event bus was deleted and made again"
                result = TargetBroken("bus", problem, f"{SETUP}: the rule went with the old one")
            if isinstance(result, TargetOk):
                self._apply_ok(result, began_s)
            else:
                self._apply_broken(result, began_s)
        self.report = self.report._replace(
            problem=self._describe_problem(began_s), unanswered=self.unanswered_since_s is not None
        )

    def _describe_problem(self, now_s: float) -> str:
        """Return the reason why nothing may be published; "" if publishing is allowed."""
        if self.broken and self.settling_since_s is not None:
            return f"{self.broken.problem}; it is right again, and counts once it was so for {SETTLE_S:.0f} s"
        if self.broken:
            return self.broken.problem
        if self.unanswered_since_s is not None and now_s - self.unanswered_since_s >= UNANSWERED_LIMIT_S:
            return f"event bus and rule could not be asked for {UNANSWERED_LIMIT_S / 60:.0f} minutes"
        return ""

    def _is_another_bus(self, result: TargetOk) -> bool:
        """Return whether the bus has another creation time than the bus that is known."""
        # A creation time of 0.0 is unknown. While the target is broken, an ok has to settle whichever bus it is.
        known_s, created_s = self._bus_created_s, result.created_s
        if self.broken or not known_s or not created_s or abs(created_s - known_s) < CREATION_TIME_TOLERANCE_S:
            return False
        if self.is_doubted:  # the second broken result in a row counts; from now on the new bus is the known bus
            self._bus_created_s = created_s
        return True

    def _apply_broken(self, result: TargetBroken, began_s: float) -> None:
        """Apply a broken result. The first one only raises doubt; the second one in a row makes the target broken."""
        if self.broken is None and not self.is_doubted:
            self.is_doubted = True
            return
        if self.broken is None:
            self.broken_since_s = began_s
        self.is_doubted = False
        self.broken = result
        self.settling_since_s = None
        self.must_settle = True

    def _apply_ok(self, result: TargetOk, began_s: float) -> None:
        """Apply an ok. It counts at once, or, if `must_settle` is true, once checks have been ok for SETTLE_S.

        An ok that counts replaces the report, and clears the broken result.
        """
        self.is_doubted = False
        self._bus_created_s = result.created_s or self._bus_created_s
        if self._pattern and not accepts_all_of(self._pattern, result.pattern):
            self.must_settle, self.settling_since_s = True, None
        self._pattern = result.pattern
        since_s = self.report.since_s
        if self.must_settle:
            if self.settling_since_s is None:
                self.settling_since_s = began_s
            if began_s - self.settling_since_s < SETTLE_S:
                return
            since_s = began_s
        self.broken, self.settling_since_s, self.must_settle = None, None, False
        self.report = TargetReport(began_s, since_s)


def active_interval_s(checkpoint_s: float, workers: int) -> float:
    """Return the seconds between two checks of one of `workers` supervisors while a checkpoint waits for a check.

    It is `checkpoint_s`, the seconds between two checkpoints, unless all workers together would exceed
    MAX_CHECKS_PER_S. It is never less than RECHECK_AFTER_S.
    """
    return max(checkpoint_s, workers / MAX_CHECKS_PER_S, RECHECK_AFTER_S)


def check_interval_s(target_state: TargetStateMachine, active_s: float, *, is_requested: bool) -> float:
    """Return the seconds until the next check: about `active_s` if one is needed, otherwise at least a minute.

    `is_requested` says that a child waits for a check. In every state but OK, and while checks have no answer, a check
    is needed even if there are no events, since publishing may wait for it.
    """
    is_unknown = target_state.unanswered_since_s is not None
    if target_state.unanswered_checks == 1 or (target_state.state is TargetState.DOUBTED and not is_unknown):
        return RECHECK_AFTER_S  # a single failure may be a broken connection, and a single broken result an old copy
    if target_state.report.proven_s == -math.inf:
        return min(active_s, STARTUP_INTERVAL_S)
    if target_state.state is TargetState.OK and not is_unknown and not is_requested:
        return max(active_s, IDLE_INTERVAL_S)
    return active_s


class FirstCheck(NamedTuple):
    """Outcome of the first checks of a program: `refusal` says why the program must end; None if it may start."""

    refusal: SettingsError | None = None


class TargetChecker:
    """Thread that repeats the target check until it is closed, writes the report for the children, and logs changes.

    `on_first_check` is called once: without a refusal when the first ok counts, or with a refusal, after which the
    thread ends. A start is refused if the bus does not exist, if its name is invalid, or if a permission is still
    missing after half a minute. Without `on_first_check` nothing is refused, and the thread continues. `check` does one
    check. `active_interval` returns the seconds between two checks while they are needed (`check_interval_s`).
    """

    def __init__(
        self,
        folder: Path,
        check: Callable[[], CheckResult],
        active_interval: Callable[[], float],
        on_first_check: Callable[[FirstCheck], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report_file, self._request_file = folder / TARGET_REPORT, folder / TARGET_CHECK_REQUESTED
        self._check = check
        self._active_interval = active_interval
        self._on_first_check = on_first_check
        self._clock = clock
        self._broken_file = folder / TARGET_BROKEN
        self.target_state = TargetStateMachine(must_settle=self._broken_file.exists())
        self._first_reported = False
        self._began_s = -math.inf
        self._stop, self._wake = threading.Event(), threading.Event()
        self._hasten_until_s = -HASTEN_FOR_S
        self._broken_log_limiter, self._unanswered_log_limiter = LogLimiter(clock), LogLimiter(clock)
        self._write_error_log_limiter = LogLimiter(clock)
        self._thread = threading.Thread(target=self._run, name="target-check", daemon=True)

    @property
    def ok_since_s(self) -> float:
        """Start of the check whose ok counted again after the latest break (monotonic seconds); -inf without one."""
        return self.target_state.report.since_s

    def start(self) -> None:
        """Start the thread, which checks at once."""
        self._thread.start()

    def close(self) -> None:
        """Stop checking, without waiting for a check in progress."""
        self._stop.set()
        self._wake.set()

    def hasten(self) -> None:
        """Check now, and each second for HASTEN_FOR_S: children that stop wait for a check of their last events."""
        self._hasten_until_s = self._clock() + HASTEN_FOR_S
        self._wake.set()

    def interval_s(self) -> float:
        """Return the seconds from the latest check to the next one.

        The result may become smaller before the next check: a child may request one, or children may stop.
        """
        if self._clock() < self._hasten_until_s:
            return RECHECK_AFTER_S
        return check_interval_s(self.target_state, self._active_interval(), is_requested=self._is_requested())

    def _is_requested(self) -> bool:
        """Return whether a child has requested a check since the latest check began.

        It does so if the bus has accepted an event that no check covers. A child that still waits writes the file again
        within a second, so a write that is missed does not matter.
        """
        try:
            return self._request_file.stat().st_mtime >= self._began_s
        except OSError:
            return False

    def _run(self) -> None:
        while not self._stop.is_set():
            self.check_once()
            checked_s = self._clock()
            while (left_s := checked_s + self.interval_s() - self._clock()) > 0:
                if self._wake.wait(min(left_s, REQUEST_POLL_INTERVAL_S)):
                    break
            self._wake.clear()

    def check_once(self) -> None:
        """Check once. Write the result for the children, and log a change."""
        target_state, began_s = self.target_state, self._clock()
        self._began_s = began_s
        result = self._check()
        broken, settling_since_s = target_state.broken, target_state.settling_since_s
        unanswered_since_s = target_state.unanswered_since_s
        target_state.apply(result, began_s)
        if self._on_first_check and not self._first_reported and (refusal := self._find_refusal(result, began_s)):
            self._stop.set()
            self._on_first_check(FirstCheck(refusal))
            return
        if isinstance(result, TargetUnknown):
            if self._unanswered_log_limiter():
                self._log_unanswered(result, began_s)
        elif unanswered_since_s is not None:
            fields = {"event": "target-answers", "afterS": round(began_s - unanswered_since_s, 1)}
            log.warning("Event bus and rule can be checked again.", extra=fields)
        self._log_change(broken, settling_since_s)
        failpoint("target_proven_before_written")
        self._write()
        if not self._first_reported and target_state.report.proven_s > -math.inf:
            self._first_reported = True
            if self._on_first_check:
                self._on_first_check(FirstCheck())

    def _log_change(self, was_broken: TargetBroken | None, was_settling_since_s: float | None) -> None:
        """Log that the target is broken, works again or counts as ok again. A lasting break is logged now and then."""
        broken, settling_since_s = self.target_state.broken, self.target_state.settling_since_s
        if broken and settling_since_s is None:
            is_due = self._broken_log_limiter()
            if broken != was_broken or is_due:
                log.error(
                    "%s. EventBridge would answer success, and events would reach no target. Publishing is paused, and "
                    "no event is lost. Events sent since the last successful check will be resent. Cure: %s.",
                    broken.problem,
                    broken.cure,
                    extra={"event": "rule-unmatched" if broken.part == "rule" else "bus-gone", "cure": broken.cure},
                )
        elif settling_since_s is not None and was_settling_since_s is None:
            is_new_pattern = self._first_reported and not broken
            log.warning(
                "The rule takes our events %s. This counts in %.0f s, since a rule takes a moment to take effect. Then "
                "events sent since the last successful check are resent. Nothing has to be done.",
                "by another pattern" if is_new_pattern else "again",
                SETTLE_S,
                extra={"event": "rule-matches-again"},
            )
        elif was_broken and not broken:
            log.warning("Bus and rule are in order. Publishing continues.", extra={"event": "rule-proven-again"})

    def _log_unanswered(self, result: TargetUnknown, began_s: float) -> None:
        consequence = "The start waits for a check"
        if self._first_reported:
            consequence = (
                f"Events are published for {UNANSWERED_LIMIT_S / 60:.0f} minutes in all, while the checkpoint waits "
                "for a check. Then the shards hold until a check is answered"
            )
        log.error(
            "Event bus and rule cannot be checked (%s): %s. %s. To do: %s.",
            result.operation or "no answer",
            f"{result.code}: {result.refusal}" if result.refusal else result.code,
            consequence,
            find_cure(result.code),
            extra={"event": "target-not-asked", "forS": round(self._unanswered_for_s(began_s), 1)},
        )

    def _unanswered_for_s(self, now_s: float) -> float:
        """Return the seconds since the first of the checks that had no answer; 0.0 if the latest one was answered."""
        since_s = self.target_state.unanswered_since_s
        return 0.0 if since_s is None else now_s - since_s

    def _write(self) -> None:
        """Write the report for the children. A failure is logged, and changes nothing about the target's state."""
        try:
            write_atomically(self._report_file, self.target_state.report.text())
            if self.target_state.must_settle:
                self._broken_file.touch()
            elif self._broken_file.exists():
                self._broken_file.unlink()
        except OSError as error:
            if self._write_error_log_limiter():
                log.error(  # noqa: TRY400 - the error's text is enough
                    "The state folder cannot be written: %s. Children do not get the result of the target check, so no "
                    "checkpoint is taken; no event is lost. Free space on its disk.",
                    error.strerror,
                    extra={"event": "target-not-written", "state": str(self._report_file.parent)},
                )

    def _find_refusal(self, result: CheckResult, began_s: float) -> SettingsError | None:
        """Return the error with which the program must end; None if it may start, or if waiting may help.

        A missing permission is waited for, since IAM needs seconds to apply a policy that was just attached. A missing
        bus is refused only if the target is broken, which takes a second broken result.
        """
        if isinstance(result, TargetBroken) and result.part == "bus" and self.target_state.broken:
            return SettingsError(BUS, "no such event bus", "run `stream-router setup`, or name one that exists")
        if not isinstance(result, TargetUnknown):
            return None
        if result.code in ("ValidationException", "InvalidInputException") and result.operation == "DescribeEventBus":
            return SettingsError(BUS, "is not a bus name or ARN", "name one that exists")
        if result.code in DENIED and self._unanswered_for_s(began_s) >= credentials.STARTUP_TIMEOUT_S:
            return SettingsError(
                BUS if result.operation == "DescribeEventBus" else "STREAM_ROUTER_RULE",
                f"no permission to read it ({result.refusal or result.code})",
                f"allow events:{result.operation} to this role (`stream-router setup --policy consume`). The owner of "
                'a bus in another account has to allow it too (docs/operations.md, "A bus of another account")',
            )
        return None


REFRESH_INTERVAL_S = 0.25
"""Seconds between two reads of the report by one child."""


class TargetView:
    """A child's view of the target check. Call `refresh` often, and before the first event is sent.

    If the report is missing or unreadable, the last report that was read still holds.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._report_file, self._request_file = folder / TARGET_REPORT, folder / TARGET_CHECK_REQUESTED
        self._clock = clock
        self._started_s = clock()
        self._refresh_at_s = self._request_at_s = -math.inf
        self._last_report = TargetReport()
        self.refresh()

    def refresh(self) -> None:
        """Read the report, unless it was read within the last REFRESH_INTERVAL_S."""
        if (now := self._clock()) < self._refresh_at_s:
            return
        self._refresh_at_s = now + REFRESH_INTERVAL_S
        with contextlib.suppress(OSError, ValueError, TypeError):
            self._last_report = TargetReport(**json.loads(self._report_file.read_bytes()))

    def request_check(self, accepted_s: float) -> None:
        """Request a check from the supervisor, unless a successful check began after the bus last accepted an event.

        `accepted_s` is the time of that acceptance. Call this often: the request is written again every
        REQUEST_INTERVAL_S until a check covers the event. The file's modification time is set to the monotonic clock,
        which both processes share.
        """
        if accepted_s < self._last_report.proven_s or (now := self._clock()) < self._request_at_s:
            return
        self._request_at_s = now + REQUEST_INTERVAL_S
        with contextlib.suppress(OSError):  # if the disk is full, the supervisor cannot write its report either
            self._request_file.touch()
            os.utime(self._request_file, (now, now))

    @property
    def proven_s(self) -> float:
        """Monotonic time before which every accepted event has reached our rule; -inf if no check covers an event."""
        return -math.inf if self.is_broken else self._last_report.proven_s

    @property
    def is_broken(self) -> bool:
        """Whether an ok counts again after the target was broken, or its pattern changed, while this process lived.

        No check covers the events that this process sent after the last ok that counted before. So it must end, and the
        next process resends them.
        """
        return self._last_report.since_s > self._started_s

    @property
    def problem(self) -> str:
        """Reason why nothing may be published now; "" if publishing is allowed."""
        return self._last_report.problem

    @property
    def unanswered(self) -> bool:
        """Whether the latest check had no answer, so that settled records wait above the checkpoint."""
        return self._last_report.unanswered
