"""Warns of event types that the rule does not match: there may be a subscription too many, or a typo."""

import logging
import re
from collections.abc import Iterable

from stream_router.core.dead_letter_reasons import Reason
from stream_router.core.model import DeadLetter

log = logging.getLogger(__name__)

MOST_SAID = 20

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,127}")
_NOT_SHOWN = "(not shown: no name)"


def is_name(event_type: str) -> bool:
    """Whether an event type is a name, as types are. Anything else may be a text that a person wrote."""
    return _NAME.fullmatch(event_type) is not None


class UnroutableTypes:
    """Says each type once, and of a few types only."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def warn(self, letters: Iterable[DeadLetter]) -> None:
        """These are about to be buried."""
        for letter in letters:
            if letter.reason is not Reason.UNROUTABLE:
                continue
            said = letter.event_type if is_name(letter.event_type) else _NOT_SHOWN
            if said not in self._said and len(self._said) < MOST_SAID:
                self._said.add(said)
                log.warning(
                    "events of a type that the rule does not match become dead letters; name it in"
                    " STREAM_ROUTER_EVENT_TYPES, or see STREAM_ROUTER_UNROUTABLE",
                    extra={"event_type": said},
                )
