"""The target check: the event bus exists, and our rule takes our events. The supervisor checks, children read a line.

PutEvents answers success for a missing bus, and for a bus with no matching rule. So an event counts as delivered only
once a check found bus and rule in order after the event was accepted. `TargetQuestion` asks AWS once, `Standing` turns
the results into what counts, `TargetChecker` repeats the check and writes the line, and `KnownTarget` is a child's view
of it.

`Standing` is in one of five states (`TargetState`). Only the result of a check moves it, in the supervisor's thread:

    state      meaning                                         after ok            after broken
    UNCHECKED  no result counts yet                            OK (a)              DOUBTED
    OK         what was accepted before the check is proven    OK (b)              DOUBTED
    DOUBTED    one broken result; events flow, none is proven  the state before    BROKEN
    BROKEN     two broken results; nothing is published        SETTLING            BROKEN
    SETTLING   in order again, or with another pattern, for    SETTLING, then OK   BROKEN after a broken target,
               less than STANDS_S; nothing is proven           after STANDS_S      DOUBTED after a changed pattern

(a) SETTLING if an earlier supervisor left the target broken. (b) SETTLING if the pattern changed, unless it takes at
least what it took before. A bus with another time of creation counts as broken. "Unknown" changes no state and proves
nothing; after UNASKED_S of it nothing is published either, until a check has another result.

A check is three management events in CloudTrail, so the supervisor repeats it only as often as it is needed. While the
bus has accepted something that no check covers, a child keeps the time of the file TARGET_WANTED fresh, and the
interval is the one in which checkpoints want it. So it is in every state but OK. Else the supervisor checks once a
minute. Every check asks for the bus too. A bus that was deleted and created again between two checks, with its rule,
differs in its time of creation alone. If that were asked less often than the rule, a checkpoint could pass events that
went to the bus while it was missing.
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
from stream_router.aws_error_codes import ABSENT, DENIED, NOT_SPOKEN, code_of
from stream_router.consumer.state_dir import TARGET_BROKEN, TARGET_PROOF, TARGET_WANTED
from stream_router.log import Seldom
from stream_router.pipeline.sample_events import as_delivered, sample_entries
from stream_router.process import failpoint, write_whole
from stream_router.settings.common import NO_RULE, Common
from stream_router.settings.consumer import Consumer
from stream_router.telemetry.silence import Answers

log = logging.getLogger(__name__)

SETUP = "run `stream-router setup`"

AGAIN_S = 1.0
"""Seconds between the two broken results that count: AWS's control plane may answer from an older copy once."""

STANDS_S = 60.0
"""Seconds for which the target has to be in order after it was broken or its pattern changed: rules take a moment to
take effect."""

IDLE_INTERVAL_S = 60.0
"""Seconds between two checks while nothing waits for one. An idle consumer has six control-plane calls a minute: three
of these, ListShards, DescribeStreamSummary, and one to spare."""

WANTED_POLL_INTERVAL_S = 0.25
"""Seconds between two reads of the file TARGET_WANTED. It is local, and a first event after an idle hour waits for
this long at most."""

WANT_INTERVAL_S = 1.0
"""Seconds between two writes to that file by one child."""

UNASKED_S = 1800.0
"""Seconds for which events go on to a bus that accepts them while it cannot be checked: a shorter outage of the control
plane alone stops nothing."""

WORKERS_A_SECOND = 5.0
"""Checks that all supervisors of one application start in a second, at most: an account has some 50 control-plane calls
of EventBridge a second, and each check takes three."""

SAME_WITHIN_S = 1.0
"""Seconds by which two times of creation may differ for one bus: answers have whole seconds, or fractions."""

START_AGAIN_S = 5.0
"""Seconds between two checks before the first ok, at most."""

HURRY_FOR_S = 10.0
"""Seconds of more frequent checks before a stop: longer than children have for their last checkpoint."""

TRUSTED = (
    "neither the event bus nor the rule is asked for (STREAM_ROUTER_BUS_PROOF=trust): while the bus is gone, or no "
    "rule takes our events, EventBridge goes on answering success, and what is sent meanwhile is lost, with the "
    "checkpoint past it"
)
NO_RULE_TOLD = (
    "no rule is asked for (STREAM_ROUTER_RULE=none): only the event bus is proved; whether events reach a target is "
    "not known here"
)
"""Said once at start."""


class TargetOk(NamedTuple):
    """Result of a check that found bus and rule in order."""

    made_s: float = 0.0
    """Time of the bus's creation (epoch seconds); 0.0 if the answer does not have it."""
    pattern: str = ""
    """The judged part of the rule's pattern."""
    unjudged: tuple[str, ...] = ()
    """Operations that the endpoint does not know, as an emulator may not: their part of the check is left out."""


class TargetBroken(NamedTuple):
    """Result of a check by which our events reach nobody: `of` is "bus" or "rule"."""

    of: str
    problem: str
    cure: str = SETUP


class TargetUnknown(NamedTuple):
    """Result of a check without an answer: AWS's code, or the kind of failure, and the operation that failed."""

    code: str
    operation: str = ""


CheckResult = TargetOk | TargetBroken | TargetUnknown


class TargetQuestion:
    """Asks AWS once whether the bus exists and the rule takes each of our event types; 8 s a call, one attempt.

    Of the rule's pattern only `source`, `detail-type` and `detail.eventSource` are judged: a team may filter further.
    `answers` follows its calls. Raises SettingsError where there are no credentials or the environment cannot be used.
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
        """The judged part of the pattern that was tested last; what it does not take is in `_refused`."""
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
            return TargetUnknown(code_of(error), error.operation_name)
        except Exception as error:  # noqa: BLE001 - botocore may raise any; a failed check is no negative answer
            return TargetUnknown(code_of(error))

    def _named(self) -> dict[str, str]:
        return {"EventBusArn": self._bus} if self._is_v2 else {"Name": self._bus}

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Return the answer; {} if the endpoint has no such operation. Raise AbsentError for what does not exist."""
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
        return TargetBroken(
            "bus", f"the event bus {self._bus} does not exist", self._cure_of_absence("STREAM_ROUTER_EVENT_BUS")
        )

    def _absent_rule(self) -> TargetBroken:
        return self._no_rule("does not exist", self._cure_of_absence("STREAM_ROUTER_RULE"))

    def _cure_of_absence(self, setting: str) -> str:
        """Return the cure with the region first: in a wrong one, `setup` would make everything a second time."""
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
        """Return the event types of which the pattern takes none of our events."""
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
        """Check that a v2 bus's subscriber exists and runs. No call judges its filters, so they are not."""
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
    """What was asked for does not exist."""

    def __init__(self, no: TargetBroken) -> None:
        super().__init__(no.problem)
        self.no = no


def bus_made_s(description: dict[str, Any]) -> float:
    """Return when the bus was made (epoch seconds); 0.0 if DescribeEventBus does not say, and for the default bus.

    Nobody can delete the default bus, and EventBridge's documentation promises a creation time for the others alone.
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

    Each alternative of `$or` is reduced in the same way. If one of them asks for none of these, the `$or` decides
    nothing.
    """
    kept = {}
    for name, within in judged.items():
        if part := judged_part(pattern[name], within) if within and name in pattern else pattern.get(name):
            kept[name] = part
    ways = [judged_part(way, judged) for way in pattern.get("$or", ())]
    return {**kept, "$or": ways} if ways and all(ways) else kept


def takes_as_much(before: str, after: str) -> bool:
    """Return whether a judged pattern takes at least what the one before took: lists only grew, conditions only went.

    While EventBridge changes from one to the other each event is taken by either, so nothing has to wait for that.
    """
    if before == after:
        return True
    return bool(before and after) and _is_wider(json.loads(before), json.loads(after))


def _is_wider(before: Any, after: Any) -> bool:
    """Compare two parts of a pattern: all conditions of an object must hold, of a list any one."""
    if isinstance(before, dict) and isinstance(after, dict):
        if "$or" in before or "$or" in after:  # its ways are not compared
            return bool(before == after)
        return all(name in before and _is_wider(before[name], part) for name, part in after.items())
    if isinstance(before, list) and isinstance(after, list):
        return all(value in after for value in before)
    return bool(before == after)


def question(settings: Consumer, answers: Answers | None = None) -> Callable[[], CheckResult]:
    """Return the settings' check; with `STREAM_ROUTER_BUS_PROOF=trust` it asks nobody and is always ok."""
    return TargetOk if settings.bus_proof == "trust" else TargetQuestion(settings, answers)


class Line(NamedTuple):
    """The supervisor's line for its children. Times are `time.monotonic()`, one clock for all processes of a host."""

    proven_s: float = -math.inf
    """Start of the latest check that counts: whatever the bus accepted before it reached our rule."""
    since_s: float = -math.inf
    """When an ok counted again after the latest break. A child that is older has to leave: its events come again."""
    problem: str = ""
    """Why nothing may be published; "" if publishing is allowed."""
    unasked: bool = False
    """Whether the latest check had no answer."""

    def text(self) -> str:
        """Return the file's one line."""
        return json.dumps(self._asdict()) + "\n"


class TargetState(enum.StrEnum):
    """State of the target check; the table at the top of this module has the transitions."""

    UNCHECKED = "unchecked"
    OK = "ok"
    DOUBTED = "doubted"
    BROKEN = "broken"
    SETTLING = "settling"


class Standing:
    """Turns the results of target checks into what counts, by the table at the top of this module.

    `heard` takes each result with the moment before it was asked for (monotonic seconds). `breaks` is whether an
    earlier supervisor of this state folder left the target broken.
    """

    def __init__(self, *, breaks: bool = False) -> None:
        self.line = Line()
        self.no: TargetBroken | None = None
        """The broken result that counts, until an ok counts."""
        self.no_since = 0.0
        self.in_doubt = False
        """Whether the latest answer was broken, and is the first such: the supervisor checks again at once."""
        self.unasked_since: float | None = None
        self.unasked_checks = 0
        """Number of checks in a row without an answer."""
        self.stands_since: float | None = None
        """Since when the target is in order without counting yet."""
        self.breaks = breaks
        """Whether the target has to stay in order for STANDS_S before it counts."""
        self._made_s, self._pattern = 0.0, ""

    @property
    def state(self) -> TargetState:
        """The state now; "unknown" results leave it as it is."""
        if self.in_doubt:
            return TargetState.DOUBTED
        if self.stands_since is not None:
            return TargetState.SETTLING
        if self.no:
            return TargetState.BROKEN
        return TargetState.OK if self.line.proven_s > -math.inf else TargetState.UNCHECKED

    def heard(self, answer: CheckResult, asked_s: float) -> None:
        """Take the result of a check that was started at `asked_s` (monotonic seconds)."""
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
        if self.in_doubt:  # it counts now, and the new bus is the one that we know
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
    """Return the seconds between two checks of each of so many supervisors while a checkpoint waits for them.

    That is the checkpoint's own interval, unless the workers together would pass WORKERS_A_SECOND.
    """
    return max(checkpoint_s, workers / WORKERS_A_SECOND, AGAIN_S)


def check_interval_s(standing: Standing, every_s: float, *, is_wanted: bool) -> float:
    """Return the seconds between the latest check and the next: `every_s` if a check is needed, else a minute at least.

    A target that is not in order, or unknown, needs checks whether or not events come: none is published until then.
    """
    is_unknown = standing.unasked_since is not None
    if standing.unasked_checks == 1 or (standing.state is TargetState.DOUBTED and not is_unknown):
        return AGAIN_S  # one broken connection is no outage
    if standing.line.proven_s == -math.inf:
        return min(every_s, START_AGAIN_S)
    if standing.state is TargetState.OK and not is_unknown and not is_wanted:
        return max(every_s, IDLE_INTERVAL_S)
    return every_s


class FirstCheck(NamedTuple):
    """The checker's one report to the supervisor: the first ok counts, or `refusal` says why none will come."""

    refusal: str = ""


class TargetChecker:
    """Checks the target in a thread of its own until closed, writes the children's line, and logs what is wrong.

    `report` is called once: when the first ok counts, or with a refusal, after which the thread ends. Waiting cannot
    help a start if the bus does not exist, if its name is none, or if a right is still missing after half a minute.
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
        self._no_to_be_said, self._unasked_to_be_said = Seldom(clock), Seldom(clock)
        self._unwritten_to_be_said = Seldom(clock)
        self._thread = threading.Thread(target=self._run, name="target-check", daemon=True)

    def start(self) -> None:
        """Start the thread; the first check is at once."""
        self._thread.start()

    def close(self) -> None:
        """Stop checking, without waiting for a check in progress."""
        self._stop.set()
        self._wake.set()

    def hasten(self) -> None:
        """Check now, and every second for a while: children stop, and wait for a check of what they sent last."""
        self._hurry_until = self._clock() + HURRY_FOR_S
        self._wake.set()

    def rest_s(self) -> float:
        """Return the seconds between the latest check and the next one, as far as is known now."""
        if self._clock() < self._hurry_until:
            return AGAIN_S
        return check_interval_s(self.standing, self._every_s(), is_wanted=self._is_wanted())

    def _is_wanted(self) -> bool:
        """Return whether a child's bus may have accepted something after the latest check was asked.

        A child that still waits writes again within a second, so it does not matter which write a check overtakes.
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
            log.warning("event bus and rule answer again", extra=fields)
        if standing.no and standing.stands_since is None and (standing.no != no or self._no_to_be_said()):
            if standing.no != no:
                self._no_to_be_said()
            log.error(
                "%s: EventBridge would answer success, and events would reach no target; nothing is published until it "
                "is right again, nothing is lost, and what was sent since it was last right goes again then; %s",
                *standing.no[1:],
                extra={"event": "rule-unmatched" if standing.no.of == "rule" else "bus-gone", "cure": standing.no.cure},
            )
        elif standing.stands_since is not None and stands_since is None:
            log.warning(
                "the rule %s; it counts in %.0f s, since rules take a moment to work, and then what was sent since it "
                "was last proven goes again",
                "takes our events by another pattern"
                if self._first_reported and not standing.no
                else "takes our events again",
                STANDS_S,
                extra={"event": "rule-matches-again"},
            )
        elif no and not standing.no:
            log.warning("events go on", extra={"event": "rule-proven-again"})

    def _log_unanswered(self, answer: TargetUnknown, asked_s: float) -> None:
        since_s = self.standing.unasked_since
        then = (
            f"events go on while the bus accepts them, for {UNASKED_S / 60:.0f} minutes in all, and the checkpoint "
            "stands at the last answer; then the shards hold until there is one"
        )
        log.error(
            "event bus and rule cannot be asked (%s): %s; %s",
            answer.operation or "no answer",
            answer.code,
            then if self._first_reported else "the start waits for it",
            extra={"event": "target-not-asked", "forS": round(asked_s - (asked_s if since_s is None else since_s), 1)},
        )

    def _write(self) -> None:
        """Write the children's line. A state folder that is full or missing is no fault of the bus."""
        try:
            write_whole(self._file, self.standing.line.text())
            if self.standing.breaks:
                self._broken.touch()
            elif self._broken.exists():
                self._broken.unlink()
        except OSError as error:
            if self._unwritten_to_be_said():
                log.error(  # noqa: TRY400 - its own text says it all
                    "the state folder cannot be written: %s; the children are not told of bus and rule, so the "
                    "checkpoint stands until they are: make room",
                    error.strerror,
                    extra={"event": "target-not-written", "state": str(self._file.parent)},
                )

    def _refusal(self, answer: CheckResult, asked_s: float) -> str:
        """Return the line to end with if waiting cannot help before the first record is read, else "".

        A policy that was granted with this start is waited for: IAM takes seconds to tell all its servers.
        """
        if isinstance(answer, TargetBroken) and answer.of == "bus" and self.standing.no:
            return "STREAM_ROUTER_EVENT_BUS: no such event bus; run `stream-router setup`, or name one that exists"
        if not isinstance(answer, TargetUnknown):
            return ""
        if answer.code in ("ValidationException", "InvalidInputException") and answer.operation == "DescribeEventBus":
            return "STREAM_ROUTER_EVENT_BUS: is no bus name or ARN; name one that exists"
        waited_s = asked_s - (asked_s if self.standing.unasked_since is None else self.standing.unasked_since)
        if answer.code in DENIED and waited_s >= credentials.PATIENCE_S:
            name = "STREAM_ROUTER_EVENT_BUS" if answer.operation == "DescribeEventBus" else "STREAM_ROUTER_RULE"
            return (
                f"{name}: not allowed to look at it; allow events:{answer.operation} to this role "
                "(`stream-router setup --policy consume`). Of a bus of another account its owner has to allow it too "
                '(docs/operations.md, "A bus of another account")'
            )
        return ""


LOOK_EVERY_S = 0.25
"""Seconds between two reads of the line by one child."""


class KnownTarget:
    """What a child knows of the target check: `look` often, and before the first event is sent.

    A line that is missing, or cannot be read, proves nothing new.
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
        """Have the supervisor check the target if the bus accepted something, last at `accepted_s`, after its last ok.

        Call it often: it is written again every WANT_INTERVAL_S until a check covers `accepted_s`. The time of the file
        is that of the monotonic clock, which both processes share.
        """
        if accepted_s < self._line.proven_s or (now := self._clock()) < self._want_at:
            return
        self._want_at = now + WANT_INTERVAL_S
        with contextlib.suppress(OSError):  # a folder that takes nothing takes no line of the supervisor's either
            self._wanted.touch()
            os.utime(self._wanted, (now, now))

    @property
    def proven_s(self) -> float:
        """What the bus accepted before this moment (monotonic) reached our rule."""
        return -math.inf if self.is_broken else self._line.proven_s

    @property
    def is_broken(self) -> bool:
        """Whether there was a break while this process lived: no proof covers what it sent, it has to leave."""
        return self._line.since_s > self._born

    @property
    def problem(self) -> str:
        """Why nothing may be published now; "" where it may."""
        return self._line.problem

    @property
    def unasked(self) -> bool:
        """Whether bus and rule cannot be asked at present: settled work waits above the checkpoint."""
        return self._line.unasked
