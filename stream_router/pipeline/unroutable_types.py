"""Warns of event types that the rule does not match: there may be a subscription too many, or a typo."""

import logging
from collections.abc import Iterable

from stream_router.log import SaidOnce
from stream_router.model import DeadLetter, Reason

log = logging.getLogger(__name__)


class UnroutableTypes:
    """Says each type once, and of a few types only."""

    def __init__(self) -> None:
        self._to_be_said = SaidOnce()

    def warn(self, letters: Iterable[DeadLetter]) -> None:
        """These are about to be buried."""
        for letter in letters:
            if letter.reason is Reason.UNROUTABLE and (said := self._to_be_said(letter.event_type)):
                log.warning(
                    "events of a type that the rule does not match become dead letters; name it in"
                    " STREAM_ROUTER_EVENT_TYPES, or see STREAM_ROUTER_UNROUTABLE",
                    extra={"event": "types-unmatched", "event_type": said},
                )
