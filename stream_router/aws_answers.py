"""Reading of AWS's answers. An answer is read entry by entry, since one with status 200 can contain failures.

An answer that does not fit its request (another number of entries, or unreadable) says nothing about any entry. The
result of the whole call is then unknown, so its entries are sent again and none is settled. The meaning of each error
code is in `aws_error_codes.py`.
"""

import email.utils
import html
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import cbor2
import orjson

from stream_router.aws_error_codes import Disposition, call_disposition, entry_disposition, find_disposition, short_code

T = TypeVar("T")

TIMED_OUT = "TimedOut"
"""Our code for a call that was sent, but not answered in time."""

UNANSWERED = "NoAnswer"
"""Our code for a call that got no connection, or lost it."""

NO_ANSWER = frozenset({TIMED_OUT, UNANSWERED})
"""Our codes for calls without an answer. No code of AWS's is among them."""

RETRY_AFTER_MAX_S = 60.0
"""Longest pause in seconds that an answer can demand: a garbled header, or a proxy's, must not stop a shard."""

_S3_ERROR = re.compile(rb"<Error>\s*<Code>([\w.]{1,64})</Code>\s*(?:<Message>([^<]{0,500})</Message>)?")
"""Code and message of S3's errors, which are XML."""


class Answer(NamedTuple):
    """Answer of a call. `status` is the HTTP status, or 0 if no whole answer came; then `error` is the reason.

    After a status of 0 the result is unknown: the service may or may not have acted. Header names are lower case.
    `timed_out` is true if the request was sent and no answer came within the call's time limit. `error` quotes no
    payload.
    """

    status: int
    body: bytes
    headers: dict[str, str]
    error: str
    timed_out: bool = False

    @property
    def retry_after_s(self) -> float:
        """The answer's Retry-After in seconds, at most RETRY_AFTER_MAX_S; 0.0 if there is none, or it is unreadable."""
        value = self.headers.get("retry-after", "")
        if value.isdecimal():
            return min(float(value), RETRY_AFTER_MAX_S)
        date = parse_http_date(value)
        return min(max(0.0, date - time.time()), RETRY_AFTER_MAX_S) if date else 0.0


def parse_http_date(http_date: str) -> float:
    """Return an HTTP date as epoch seconds; 0.0 if the text is not such a date."""
    try:
        return email.utils.parsedate_to_datetime(http_date).timestamp()
    except (ValueError, OverflowError):
        return 0.0


class Outcome(NamedTuple):
    """Result of one entry. `disposition` is None if AWS accepted the entry, otherwise what to do with it.

    `code` and `message` are AWS's.
    """

    disposition: Disposition | None
    code: str = ""
    message: str = ""


ACCEPTED = Outcome(None)


class Refusal(NamedTuple):
    """Answer that says nothing about single entries, so none is settled: the service may or may not have acted.

    `disposition` is HOLD or BISECT. `retry_after_s` is the pause in seconds that the answer demands, 0.0 for none.
    `message` is AWS's. It may quote the payload if the call was refused for its content.
    """

    disposition: Disposition
    code: str
    retry_after_s: float
    message: str = ""


class _UnreadableError(ValueError):
    """The answer does not fit its request."""


def read_put_events(answer: Answer, entry_count: int) -> list[Outcome] | Refusal:
    """Return the outcome of each of `entry_count` entries of a classic PutEvents call, by position."""
    return _read(answer, lambda body: _read_results(body["Entries"], entry_count, "EventId"))


def read_put_events_v2(answer: Answer, entry_count: int) -> list[Outcome] | Refusal:
    """Return the outcome of each of `entry_count` entries of a v2 PutEvents call (CBOR); DEDUPLICATED is accepted."""
    return _read(
        answer, lambda body: _read_results(body["Entries"], entry_count, "EventId", "SuccessCode"), cbor2.loads
    )


def read_put_records(answer: Answer, record_count: int) -> list[Outcome] | Refusal:
    """Return the outcome of each of `record_count` records of a PutRecords call, by position."""
    return _read(answer, lambda body: _read_results(body["Records"], record_count, "SequenceNumber"))


def read_send_message_batch(answer: Answer, body_md5s: Sequence[str]) -> list[Outcome] | Refusal:
    """Return the outcome of each message of a SendMessageBatch call, in the order of `body_md5s`.

    The messages' ids are their positions: "0", "1", … A message is accepted only if its result has a MessageId and the
    MD5 of the body that was sent.
    """
    return _read(answer, lambda body: _read_batch_results(body, body_md5s))


def read_body(answer: Answer, required_field: str) -> dict[str, Any] | Refusal:
    """Return the body of the answer to a call that reads; a Refusal if AWS refused the call, or the body is unusable.

    A body without `required_field` is unusable. With "" no field is required.
    """

    def check_field(body: dict[str, Any]) -> dict[str, Any]:
        if required_field and required_field not in body:
            raise _UnreadableError
        return dict(body)

    return _read(answer, check_field)


def _read(
    answer: Answer, read_parsed: Callable[[dict[str, Any]], T], parse: Callable[[bytes], Any] = orjson.loads
) -> T | Refusal:
    """Return `read_parsed` of the parsed body. Return a Refusal if AWS refused the call, or the body does not fit."""
    if answer.status != 200:
        return read_refusal(answer)
    try:
        return read_parsed(parse(answer.body))
    except (cbor2.CBORDecodeError, LookupError, TypeError, AttributeError, ArithmeticError, ValueError):
        return Refusal(Disposition.HOLD, "UnreadableAnswer", retry_after_s=0.0)


def read_refusal(answer: Answer) -> Refusal:
    """Return the refusal of the whole call, from an answer whose status is not 200."""
    if answer.status == 0:
        code = TIMED_OUT if answer.timed_out else UNANSWERED
        return Refusal(Disposition.HOLD, code, retry_after_s=0.0, message=answer.error)
    code, message = _read_error(answer)
    disposition = call_disposition(code, answer.status)
    return Refusal(disposition, code, answer.retry_after_s, message)


def _read_error(answer: Answer) -> tuple[str, str]:
    """Return AWS's error code and message, or `Http<status>` if the body has none (a proxy's page, for example)."""
    code = answer.headers.get("x-amzn-errortype") or ""
    message = ""
    try:
        parse = cbor2.loads if "cbor" in answer.headers.get("content-type", "") else orjson.loads
        body = parse(answer.body)
        code = code or str(body.get("__type") or body.get("code") or "")
        message = str(body.get("message") or body.get("Message") or "")
    except (orjson.JSONDecodeError, cbor2.CBORDecodeError, AttributeError):
        if match := _S3_ERROR.search(answer.body):
            code, message = code or match[1].decode(), html.unescape((match[2] or b"").decode("utf-8", "replace"))
    return short_code(code) or f"Http{answer.status}", message


def _read_results(results: list[dict[str, Any]], entry_count: int, *success_fields: str) -> list[Outcome]:
    """Return the outcome of each result. Raises _UnreadableError unless there is one result for each entry sent.

    A result is a success if it has one of `success_fields` and no ErrorCode.
    """
    if len(results) != entry_count:
        raise _UnreadableError
    first_field = success_fields[0]
    # The usual success is recognized here, since the call of a function for each entry costs CPU.
    return [
        ACCEPTED if result.get(first_field) and not result.get("ErrorCode") else _read_result(result, success_fields)
        for result in results
    ]


def _read_result(result: dict[str, Any], success_fields: tuple[str, ...]) -> Outcome:
    """Return the outcome of one result. Raises _UnreadableError if it is neither a success nor an error."""
    code, message = result.get("ErrorCode"), result.get("ErrorMessage") or ""
    if code:
        if not (isinstance(code, str) and isinstance(message, str)):
            raise _UnreadableError
        return Outcome(entry_disposition(code), code, message)
    if not any(result.get(field) for field in success_fields):
        raise _UnreadableError
    return ACCEPTED


def _read_batch_results(body: dict[str, Any], body_md5s: Sequence[str]) -> list[Outcome]:
    """Return the outcome of each message. Raises _UnreadableError unless every message has exactly one result."""
    outcomes: list[Outcome | None] = [None] * len(body_md5s)
    for result in body.get("Successful") or []:
        index = _find_index(result, outcomes)
        is_stored = result.get("MessageId") and result.get("MD5OfMessageBody") == body_md5s[index]
        # Without id and MD5 nothing proves that SQS stored these bytes, so the message is sent again.
        outcomes[index] = ACCEPTED if is_stored else Outcome(Disposition.RETRY, "Md5Mismatch")
    for result in body.get("Failed") or []:
        index = _find_index(result, outcomes)
        outcomes[index] = _read_failed_message(result)
    if any(outcome is None for outcome in outcomes):
        raise _UnreadableError
    return [outcome for outcome in outcomes if outcome is not None]


def _find_index(result: dict[str, Any], outcomes: list[Outcome | None]) -> int:
    """Return the position of a result's message. Raises _UnreadableError if the message has an outcome already."""
    index = int(result["Id"])
    if not 0 <= index < len(outcomes) or outcomes[index] is not None:
        raise _UnreadableError
    return index


def _read_failed_message(result: dict[str, Any]) -> Outcome:
    """Return the outcome of a failed message: that of its code in the table, otherwise by SQS's SenderFault.

    SenderFault is true if the message itself is wrong, so that it is dead-lettered instead of retried.
    """
    code = short_code(str(result.get("Code") or "Unknown"))
    disposition = find_disposition(code)
    if disposition in (None, Disposition.BISECT):  # one message cannot be bisected
        disposition = Disposition.DEAD_LETTER if result.get("SenderFault") else Disposition.RETRY
    return Outcome(disposition, code)


def answer_time_s(answer: Mapping[str, Any]) -> float:
    """Return AWS's time in epoch seconds, from the Date header of an answer or error of boto3's; 0.0 without one."""
    return parse_http_date(str(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")))
