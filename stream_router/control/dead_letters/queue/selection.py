"""Which dead letters an operator means."""

from typing import NamedTuple

from stream_router.control.moments import check_span, moment_ms
from stream_router.model import event_id_as_typed
from stream_router.pipeline.sinks.dead_letters.reader import Letter


class Selection(NamedTuple):
    """All conditions must hold; an empty one holds for everything. Times are epoch ms, of when the letter was made.

    With `maps_first` a letter whose event's type is not known is meant too: its event is mapped, and judged then.
    """

    reason: str = ""
    event_type: str = ""
    since_ms: int = 0
    until_ms: int = 0
    id: str = ""
    maps_first: bool = False

    def takes(self, letter: Letter, sent_ms: int) -> bool:
        """Whether the letter is meant, as far as it tells without being opened."""
        return (
            self.reason in ("", letter.reason)
            and (not self.id or is_meant(self.id, letter.origin.event_id))
            and ((self.maps_first and not letter.event_type) or self.takes_type(letter.event_type))
            and self.takes_time(sent_ms)
        )

    def takes_unread(self, sent_ms: int) -> bool:
        """Whether a message that tells nothing but its time is meant."""
        return not (self.reason or self.event_type or self.id) and self.takes_time(sent_ms)

    def takes_time(self, sent_ms: int) -> bool:
        """Whether one is meant that was sent then."""
        return (not self.since_ms or sent_ms >= self.since_ms) and (not self.until_ms or sent_ms < self.until_ms)

    def takes_type(self, event_type: str) -> bool:
        """Whether an event of this type is meant."""
        return self.event_type in ("", event_type)


def is_meant(identity: str, event_id: str) -> bool:
    """Whether `identity` means this event: its eventId, or its correlationId, which is the same written as a UUID."""
    return event_id in (identity, event_id_as_typed(identity))


def selection(reason: str, event_type: str, since: str, until: str, identity: str, now_ms: int) -> Selection:
    """From the options of the command line. Raises SettingsError for a time that is none, or a span that is none."""
    since_ms = moment_ms(since, "--since", now_ms) if since else 0
    until_ms = moment_ms(until, "--until", now_ms) if until else 0
    check_span(since_ms, until_ms or now_ms)
    return Selection(reason, event_type, since_ms, until_ms, identity)
