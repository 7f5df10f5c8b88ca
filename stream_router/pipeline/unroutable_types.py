"""Warns of event types that the rule does not match: there may be a subscription too many, or a typo."""

import logging
from collections.abc import Iterable

from stream_router.log import MOST_SAID, NOT_SHOWN, is_name
from stream_router.model import DeadLetter, Reason

log = logging.getLogger(__name__)


class UnroutableTypes:
    """Says each type once, and of a few types only."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def warn(self, letters: Iterable[DeadLetter]) -> None:
        """These are about to be buried."""
        for letter in letters:
            if letter.reason is not Reason.UNROUTABLE:
                continue
            said = letter.event_type if is_name(letter.event_type) else NOT_SHOWN
            if said not in self._said and len(self._said) < MOST_SAID:
                self._said.add(said)
                log.warning(
                    "events of a type that the rule does not match become dead letters; name it in"
                    " STREAM_ROUTER_EVENT_TYPES, or see STREAM_ROUTER_UNROUTABLE",
                    extra={"event": "types-unmatched", "event_type": said},
                )
