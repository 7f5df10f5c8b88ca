"""Dry run of the consumer's pipeline with the settings of this shell. Nothing is sent."""

from collections.abc import Callable

from stream_router.consumer.transform_config import transform_config
from stream_router.dead_letter_reasons import Reason
from stream_router.model import DeadLetter, Dropped, Event, Transformed
from stream_router.operate.console import readable
from stream_router.pipeline.sinks.eventbridge.publisher import TOO_LARGE
from stream_router.pipeline.transform import Transform, parse_withheld_code
from stream_router.process import now_ms
from stream_router.settings.consumer import Consumer


def build_transform(settings: Consumer) -> Callable[[Event | DeadLetter], Transformed]:
    """Return a function that maps and masks an event as the consumer does with these settings.

    The function returns a dead letter as it is. An entry that is too large for a call becomes a dead letter, unless
    claim checks are on, which would store its payload in S3. Raises SettingsError.
    """
    transform = Transform(transform_config(settings), now_ms)

    def apply(opened: Event | DeadLetter) -> Transformed:
        transformed = opened if isinstance(opened, DeadLetter) else transform(opened)
        if (
            isinstance(transformed, DeadLetter | Dropped)
            or settings.offload_bucket
            or transformed.size_bytes <= settings.bytes_per_call
        ):
            return transformed
        return DeadLetter(transformed.event, *TOO_LARGE, entry=transformed, event_type=transformed.detail_type)

    return apply


def event_type_of(transformed: Transformed) -> str:
    """Return the event type by its name on the bus; "" if it is not known."""
    return transformed.event_type if isinstance(transformed, DeadLetter | Dropped) else transformed.detail_type


def describe_outcome(transformed: Transformed) -> str:
    """Return the outcome of an event in words, without payload.

    Equal outcomes have equal words, so that callers can count them.
    """
    if isinstance(transformed, DeadLetter):
        return f"a dead letter: {transformed.reason.value} ({transformed.code})  {transformed.event_type}".rstrip()
    return (
        f"dropped  {transformed.event_type}"
        if isinstance(transformed, Dropped)
        else f"published  {transformed.detail_type}"
    )


def render_event(settings: Consumer, event: Event, reason: str = "") -> str:
    """Return an event as an operator may see it: unchanged, or masked if a policy is in force.

    An event that is not shown gives a text in parentheses that says why. `reason` is the reason of the event's dead
    letter; "" if it has none.
    """
    if settings.masking == "off":
        return readable(event.raw)
    if reason == Reason.CRASHED:  # parsing this event killed the consumer's process, and would kill this one
        return "(it killed a process, so it is not parsed here to be masked)"
    transform = Transform(transform_config(settings), now_ms)
    masked = transform.masked_raw(event)
    if code := parse_withheld_code(masked):
        return (
            f"(STREAM_ROUTER_MASKING is on in this shell, and the event cannot be masked ({code}), so it is not shown; "
            "`stream-router dlq export FILE` writes the dead letters unmasked)"
        )
    return readable(masked)
