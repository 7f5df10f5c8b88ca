"""How a stage says that an event cannot be delivered: caught on the transform's last line, where it becomes a value."""

from stream_router.model import Reason


class Rejected(Exception):  # noqa: N818 - it names what happened to the event
    """The event becomes a dead letter for `reason`; `code` is one of few words, `message` never quotes the payload."""

    def __init__(self, reason: Reason, code: str, message: str, event_type: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.code = code
        self.message = message
        self.event_type = event_type


def mismatch(code: str, message: str) -> Rejected:
    """The event has not the form that it should have. For any other reason raise `Rejected` itself."""
    return Rejected(Reason.SCHEMA_MISMATCH, code, message)
