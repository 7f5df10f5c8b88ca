"""Reasons for which an event becomes a dead letter. A stage raises `Rejected`, and the transform makes the letter."""

import enum


class Reason(enum.StrEnum):
    """All dead-letter reasons (docs/contract.md, "A dead letter"): few enough to be a metric's label."""

    MALFORMED_JSON = "malformed_json"
    SCHEMA_MISMATCH = "schema_mismatch"
    UNSUPPORTED_VERSION = "unsupported_version"
    UNROUTABLE = "unroutable"
    OVERSIZE = "oversize"
    MASKING_FAILED = "masking_failed"
    REFUSED = "refused"
    RETRIES_EXHAUSTED = "retries_exhausted"
    OUTAGE = "outage"
    INTERNAL_ERROR = "internal_error"
    CRASHED = "crashed"


REASONS_OF_DATA = frozenset(Reason) - {Reason.RETRIES_EXHAUSTED, Reason.OUTAGE, Reason.CRASHED}
"""Reasons that the alarm counts (`consumer/child/dead_letter_alarm.py`): wrong data, or data that we cannot handle."""


class Rejected(Exception):  # noqa: N818 - it names what happened to the event
    """Rejection of an event, which becomes a dead letter for `reason`. `message` never quotes the payload.

    `code` is one of a small set, since it becomes an attribute of the letter.
    """

    def __init__(self, reason: Reason, code: str, message: str, event_type: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.code = code
        self.message = message
        self.event_type = event_type


def mismatch(code: str, message: str) -> Rejected:
    """Return the rejection of an event with the wrong form. For another reason `Rejected` is raised directly."""
    return Rejected(Reason.SCHEMA_MISMATCH, code, message)
