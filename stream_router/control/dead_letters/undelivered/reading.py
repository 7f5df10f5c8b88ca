"""Reads EventBridge's own dead letters, of a classic bus (the whole event) and of a v2 bus (ids alone), as letters.

Source: docs/facts.md, "EventBridge".
"""

from collections.abc import Mapping
from typing import Any

import orjson

from stream_router import limits
from stream_router.control.dead_letters.json_members import member_texts
from stream_router.control.republish.republisher import Again, unedited
from stream_router.model import SOURCE, Entry, Event
from stream_router.pipeline.mapping.timestamps import to_utc
from stream_router.pipeline.sinks.dead_letters.message import SCHEMA
from stream_router.pipeline.sinks.dead_letters.reader import Letter, Origin, UnreadableLetterError, encoded

NO_RETRY = "no retry was made"
UNKNOWN_CODE = "(no code)"
MOST_DIGITS = 9
"""Of a number of retries. Python itself refuses some thousand digits."""


class Undelivered(Letter):
    """One message of EventBridge's: its reason is EventBridge's error code.

    `body` and `said` are the message's text and attributes. On a v2 bus, which keeps no payload, `lost` are the events'
    tokens and times. `given_id` is EventBridge's own id of the event, where it holds one.
    """

    given_id: str = ""
    rule_arn: str = ""
    target_arn: str = ""
    condition: str = NO_RETRY
    body: str
    said: dict[str, str]
    lost: tuple[tuple[str, str], ...] = ()

    @property
    def event(self) -> str:
        """The event as the rule saw it; "" where the message does not hold it."""
        return "" if self.lost else self.body

    @property
    def copy_key(self) -> tuple[object, ...] | None:
        """The event: each target that did not take it has a message, and PutEvents reaches all of them."""
        return (self.given_id, *self.entry.values()) if self.given_id and self.entry else None

    @property
    def time_ms(self) -> int:
        """When the event was received; on a v2 bus, which tells no more, when the first was published. 0: not known."""
        times = [Origin(received_at=at).received_at_ms for _, at in self.lost] or [self.origin.received_at_ms]
        return min(filter(None, times), default=0)

    @property
    def identities(self) -> set[str]:
        """What its events are known by, to the bus and to us."""
        return {name for name in (self.origin.event_id, *(token for token, _ in self.lost)) if name}

    @property
    def is_ours(self) -> bool:
        """Whether the event is one that the consumer published."""
        return bool(self.lost) or (self.entry or {}).get("Source") == SOURCE


def read(body: str, attributes: Mapping[str, str]) -> Undelivered:
    """The message. Raises UnreadableLetterError where it is neither form."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UnreadableLetterError("the message is no JSON") from None
    if isinstance(value, dict) and isinstance(value.get("failedMessages"), list):
        return _of_v2(body, value, attributes)
    if isinstance(value, dict) and "detail-type" in value and isinstance(value.get("detail"), dict):
        return _of_classic(body, value, attributes)
    ours = isinstance(value, dict) and value.get("schema") == SCHEMA
    hint = ", but one of ours (see STREAM_ROUTER_TARGET_DLQ_ARN; without --undelivered)" if ours else ""
    raise UnreadableLetterError(f"the message is no dead letter of EventBridge's{hint}")


def _of_classic(body: str, value: dict[str, Any], said: Mapping[str, str]) -> Undelivered:
    detail = value["detail"]
    entry = {
        "Source": str(value.get("source")),
        "DetailType": str(value["detail-type"]),
        "Time": str(detail.get("eventTimestamp") or value.get("time") or ""),
        # As its own text: a number that a parser would change keeps its digits.
        "Detail": member_texts(body)["detail"],
    }
    known = {
        "given_id": str(value.get("id") or ""),
        "rule_arn": said.get("RULE_ARN", ""),
        "target_arn": said.get("TARGET_ARN", ""),
        "condition": said.get("EXHAUSTED_RETRY_CONDITION", NO_RETRY),
        "body": body,
        "said": dict(said),
        "event_type": entry["DetailType"],
        "entry": entry,
        "failedAt": str(value.get("time") or ""),
    }
    identity, received_at = str(detail.get("eventId") or ""), str(detail.get("receivedAt") or "")
    tries = said.get("RETRY_ATTEMPTS", "0")
    code, message = said.get("ERROR_CODE") or UNKNOWN_CODE, said.get("ERROR_MESSAGE", "")
    attempts = int(tries) if tries.isdecimal() and len(tries) <= MOST_DIGITS else 0
    return _letter(code, message, attempts, {"eventId": identity, "receivedAt": received_at}, known)


def _of_v2(body: str, value: dict[str, Any], said: Mapping[str, str]) -> Undelivered:
    failed = [one for one in value["failedMessages"] if isinstance(one, dict)]
    lost = tuple((str(one.get("deduplicationId") or ""), str(one.get("timestamp") or "")) for one in failed)
    condition = str(value.get("exhaustedRetryCondition") or NO_RETRY)
    known = {"condition": condition, "lost": lost, "body": body, "said": dict(said)}
    identity = unedited(lost[0][0]) if len(lost) == 1 and ":" not in lost[0][0] else ""
    attempts = value.get("retryAttempts")
    code, message = str(value.get("errorCode") or UNKNOWN_CODE), str(value.get("errorMessage") or "")
    return _letter(code, message, attempts if isinstance(attempts, int) else 0, {"eventId": identity}, known)


def _letter(code: str, message: str, attempts: int, origin: dict[str, str], known: dict[str, Any]) -> Undelivered:
    content = {
        "schema": SCHEMA,
        "reason": code,
        "error": {"code": code, "message": message},
        "attempts": attempts,
        "origin": origin,
        "record": encoded(b""),
        **known,
    }
    return Undelivered.model_validate(content)


def entry_of(letter: Undelivered, number: int, message_id: str) -> Entry:
    """The entry to be published again, with the same Detail. Raises UnreadableLetterError for a time that is none."""
    given = letter.entry or {}
    detail = str(given["Detail"]).encode()
    try:
        _, time_s = to_utc(given["Time"], None)
    except ValueError:
        raise UnreadableLetterError("its time is none") from None
    record = Again(b"", f"undelivered:{message_id}", number, alone=True)
    event = Event(record, 0, b"", letter.origin.event_id, "content", 0, None)
    detail_type = str(given["DetailType"])
    size = limits.ENTRY_TIME_BYTES + len(SOURCE.encode()) + len(detail_type.encode()) + len(detail)
    conversation = orjson.loads(detail).get("conversationId")
    return Entry(event, detail_type, detail, time_s, size, conversation if isinstance(conversation, str) else "")
