"""The ids of an event that its own payload shows: they stay, although a private field holds them too.

Variables of a script and custom fields are private whatever they hold, and often they hold the contact's id. To hide it
above, while a field that is kept shows it below, hides nothing, and makes one conversation of all such events.
"""

from typing import Any

from stream_router.pipeline.masking.actions import REDACTED

IDS = ("originalEventId", "conversationId")


def kept(given: dict[str, Any], masked: dict[str, Any]) -> dict[str, Any]:
    """`masked`, with each id as it was in `given` where the masked payload holds it as a whole value.

    Not one that is a phone number or an address of the event: that is a handle, and wherever it can be hidden it is.
    """
    if masked.get("originalEventId") != REDACTED != masked.get("conversationId"):  # of nearly all events
        return masked
    hidden = {name: given[name] for name in IDS if masked.get(name) == REDACTED and "@" not in given[name]}
    shown = {name: value for name, value in hidden.items() if _holds(masked.get("payload"), value)}
    return masked | shown if shown else masked


def _holds(payload: Any, wanted: str) -> bool:
    """Whether a text or an integer at any depth is `wanted`."""
    left = [payload]
    while left:
        value = left.pop()
        kind = type(value)
        if kind is dict:
            left += value.values()
        elif kind is list:
            left += value
        elif (kind is str and value == wanted) or (kind is int and str(value) == wanted):
            return True
    return False
