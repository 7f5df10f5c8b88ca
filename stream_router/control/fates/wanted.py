"""Which events an operator asks for: by event id, by interaction, or by conversation."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from stream_router.errors import SettingsError
from stream_router.model import DeadLetter, Event, event_id_as_typed
from stream_router.pipeline.mapping.mapper import Validator
from stream_router.pipeline.rejection import Rejected

_ID = re.compile(r"[0-9a-f]{32}")
_MASKED = re.compile(r"\[[A-Z_]+\]|^\*{4}|^hmac:")
"""What masking leaves of an id, whole or in it, as far as that shows (docs/masking.md)."""


class Wanted:
    """What is asked for: exactly one of the three. Raises SettingsError where it is not, or where an id is none.

    An id may be given as a `correlationId` too, which is the same in another form.
    """

    def __init__(
        self, ids: Sequence[str], interaction: str | None, conversation: str | None, validator: Validator
    ) -> None:
        if bool(ids) + bool(interaction) + bool(conversation) != 1:
            raise SettingsError("find: give event ids, or --interaction, or --conversation")
        self.ids = [*map(event_id_as_typed, ids)]
        for given, one in zip(ids, self.ids, strict=True):
            if not _ID.fullmatch(one):
                raise SettingsError(f"find: {given[:64]} is no eventId (32 hex digits) and no correlationId (a UUID)")
        self._ids = frozenset(self.ids)
        self._interaction, self._conversation = interaction, conversation
        self._validator = validator

    @property
    def by_id(self) -> bool:
        """Whether each event is known by name."""
        return bool(self._ids)

    def takes(self, found: Event | DeadLetter) -> bool:
        """Whether an event is asked for. What cannot be read is known by its id alone."""
        if self._ids:
            event = found.event if isinstance(found, DeadLetter) else found
            return event.event_id in self._ids
        if isinstance(found, DeadLetter):
            return False
        return self._name_of(found) == (self._conversation or self._interaction)

    def is_hidden(self, found: Event | DeadLetter) -> bool:
        """Whether masking took away what the event would be known by."""
        if self._ids or isinstance(found, DeadLetter):
            return False
        return _MASKED.search(self._name_of(found) or "") is not None

    def _name_of(self, event: Event) -> str | None:
        """The event's conversation, or interaction, whichever is asked for; None where it has none."""
        try:
            valid = self._validator.read(event)
        except Rejected:
            return None
        return valid[1] if self._conversation else valid[0]

    def takes_id(self, event_id: str) -> bool:
        """Whether an event is asked for by this id."""
        return event_id in self._ids

    def takes_detail(self, event_id: str, detail: Mapping[str, Any]) -> bool:
        """The same of an EventBridge event's Detail. Where masking changed its fields it cannot be known by them."""
        if self._ids:
            return event_id in self._ids
        name = "conversationId" if self._conversation else "originalEventId"
        return detail.get(name) == (self._conversation or self._interaction)

    def text(self) -> str:
        """What is asked for, as it is said."""
        if self._ids:
            return "this event" if len(self._ids) == 1 else f"{len(self._ids)} events"
        return f"conversation {self._conversation}" if self._conversation else f"interaction {self._interaction}"
