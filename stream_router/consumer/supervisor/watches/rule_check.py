"""One look at the rule behind the bus: whether an event of ours would pass it, and go anywhere from there."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session

from stream_router.aws import endpoints
from stream_router.errors import ABSENT, DENIED, NOT_SPOKEN, code_of
from stream_router.pipeline.sample_events import as_delivered, sample_entries

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

log = logging.getLogger(__name__)

PAUSE_S = 0.1
"""Between two TestEventPattern calls: all of an account share some 50 control-plane calls a second."""

SETUP = "run `stream-router setup`"


class Fault(NamedTuple):
    """Why events of ours pass no further than the bus, and what mends it."""

    problem: str
    cure: str


def client(session: Session) -> "EventBridgeClient":
    """The control plane that a look asks: one attempt each, at most 8 s."""
    config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
    return endpoints.client(session, "events", config)  # type: ignore[no-any-return]


class RuleCheck:
    """Looks at a rule of a classic bus. What it may not ask, or an emulator cannot answer, it does not judge.

    `pause` waits between two questions of one look.
    """

    def __init__(
        self,
        events: "EventBridgeClient",
        rule: str,
        bus: str,
        region: str,
        event_types: Sequence[str],
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._events = events
        self.rule = rule
        self.bus = bus
        self._entries = sample_entries(region, event_types, int(time.time() * 1000))
        self._region = region
        self._pause = pause
        self._warned: set[str] = set()
        self._tested = ""
        self._unmatched: list[str] = []

    @property
    def unjudged(self) -> bool:
        """Whether something could not be asked, so that nothing wrong found does not mean that all is right."""
        return bool(self._warned)

    def __call__(self) -> list[Fault] | None:
        """What is wrong with the rule, nothing where it is right, None where it may not be looked at.

        Raises what botocore raises where it cannot be asked.
        """
        try:
            found = self._events.describe_rule(Name=self.rule, EventBusName=self.bus)
        except ClientError as error:
            if code_of(error) in ABSENT:
                return [Fault(f"rule {self.rule} does not exist on bus {self.bus}", SETUP)]
            if not self._forbidden(error, "DescribeRule", "the rule is not watched"):
                raise
            return None
        self._warned.discard("DescribeRule")
        faults = []
        if not str(found.get("State", "ENABLED")).startswith("ENABLED"):
            enable = f"aws events enable-rule --name {self.rule} --event-bus-name {self.bus}"
            faults.append(Fault(f"rule {self.rule} is disabled", f"run `{enable}`"))
        if not self._has_target():
            faults.append(Fault(f"rule {self.rule} has no target", f"set EVENTBRIDGE_TARGET_ARN and {SETUP}"))
        if unmatched := self._unmatched_types(str(found.get("EventPattern") or "{}"), str(found.get("Arn", ""))):
            problem = f"rule {self.rule} does not match our events of type {', '.join(unmatched)}"
            faults.append(Fault(problem, "see `stream-router setup --plan`"))
        return faults

    def _has_target(self) -> bool:
        try:
            answer = self._events.list_targets_by_rule(Rule=self.rule, EventBusName=self.bus, Limit=1)
        except ClientError as error:
            if not self._forbidden(error, "ListTargetsByRule", "a rule without a target is not noticed"):
                raise
            return True
        self._warned.discard("ListTargetsByRule")
        return bool(answer.get("Targets"))

    def _unmatched_types(self, pattern: str, arn: str) -> list[str]:
        """The types of our events that do not match the pattern; asked anew where its text changed, or none told."""
        if pattern != self._tested:
            account = (arn.split(":") + [""] * 5)[4] or "000000000000"
            unmatched = self._ask(pattern, account)
            if unmatched is None:  # who lets us ask from now on need not restart us
                self._tested, self._unmatched = "", []
                return []
            self._tested, self._unmatched = pattern, unmatched
        return self._unmatched

    def _ask(self, pattern: str, account: str) -> list[str] | None:
        unmatched = []
        unseen = "a pattern that lets none of our events through is not noticed"
        for entry in self._entries:
            event = json.dumps(as_delivered(entry, account, self._region))
            try:
                answer = self._events.test_event_pattern(EventPattern=pattern, Event=event)
            except ClientError as error:
                if code_of(error) in NOT_SPOKEN:
                    self._warn("TestEventPattern", f"this endpoint has no TestEventPattern: {unseen}")
                elif not self._forbidden(error, "TestEventPattern", unseen):
                    raise
                return None
            if "Result" not in answer:  # an emulator that answers everything
                self._warn("TestEventPattern", f"this endpoint has no TestEventPattern: {unseen}")
                return None
            if not answer["Result"]:
                unmatched.append(entry.detail_type)
            self._pause(PAUSE_S)
        self._warned.discard("TestEventPattern")
        return unmatched

    def _forbidden(self, error: ClientError, operation: str, so: str) -> bool:
        """Whether it is only not allowed to ask, which is said once."""
        if code_of(error) not in DENIED:
            return False
        self._warn(operation, f"not allowed to look at the rule: {so}; allow events:{operation} to this role")
        return True

    def _warn(self, about: str, text: str) -> None:
        if about not in self._warned:
            self._warned.add(about)
            log.warning("%s", text, extra={"event": "rule-not-asked", "rule": self.rule, "bus": self.bus})
