"""What stands in every Detail, and the entries that no mapping makes: probes, and what was accepted before."""

import re
from typing import TYPE_CHECKING, Any

import orjson

from stream_router import limits
from stream_router.envelope import added_fields, member, read_resubmitted, valid_traceparent
from stream_router.model import PIPELINE_ID, PROBE_TYPE, SOURCE, Entry, Event, correlation_id
from stream_router.pipeline.mapping import timestamps
from stream_router.pipeline.rejection import Rejected, mismatch

if TYPE_CHECKING:
    from stream_router.pipeline.masking.policy import MaskingPolicy

EVENT_SOURCE = "cxone.webhook"
"""The `eventSource` of every Detail, which the rule matches."""

UNMASKED = "unmasked"
"""The `complianceTag` where no policy runs; a policy has its own (`masking/policy.py`)."""

_MARK = re.compile(r"[0-9a-f]{32}")


def fixed_bytes(event_type: str) -> int:
    """What an entry counts besides its Detail, by AWS's formula."""
    return limits.ENTRY_TIME_BYTES + len(SOURCE) + len(event_type.encode())


def metadata_of(region: str, masking: "MaskingPolicy | None", given: dict[str, Any]) -> dict[str, Any]:
    """What was done to an event on its way: the same for all that this policy masks (None: for what none does).

    `given` are the config file's own fields.
    """
    tag = UNMASKED if masking is None else masking.tag
    metadata: dict[str, Any] = {"enrichmentPipeline": PIPELINE_ID, "complianceTag": tag, "region": region}
    if masking is not None:
        metadata["maskingPolicy"] = {"id": masking.id, "version": masking.version}
    return metadata | given


def told_more(metadata: dict[str, Any], raw: bytes, resubmitted: str) -> dict[str, Any]:
    """The metadata, with the trace context that the envelope carries, and the run that put the event out again."""
    more = dict(metadata)
    if trace := valid_traceparent(added_fields(raw).get("traceparent")):
        more["traceparent"] = trace
    if (told := read_resubmitted(resubmitted)) and told.replayed:
        more["replayed"] = told.replayed
    return more


def probe(event: Event, received: str, processed: str, metadata: dict[str, Any]) -> Entry:
    """The entry of a probe of `doctor --end-to-end`. `received` and `processed` are its times in ISO.

    Anybody who may post may name its type, and no policy masks it: so nothing of its sender's goes on but a mark, which
    can only be 32 hex digits.
    """
    assert isinstance(event.body, dict)
    payload = event.body.get("payload")
    mark = payload.get("probe") if isinstance(payload, dict) else None
    detail = {
        "correlationId": correlation_id(event.event_id),
        "eventId": event.event_id,
        "eventSource": EVENT_SOURCE,
        "eventType": PROBE_TYPE,
        "originalEventId": None,
        "conversationId": None,
        "eventTimestamp": received,
        "receivedAt": received,
        "processedAt": processed,
        "sourceSystem": "nice.cxone",
        "routingVersion": "1.0",
        "payload": {"probe": mark} if isinstance(mark, str) and _MARK.fullmatch(mark) else {},
        "metadata": metadata,
    }
    text = orjson.dumps(detail)
    size_bytes = fixed_bytes(PROBE_TYPE) + len(text)
    return Entry(event._replace(body=None), PROBE_TYPE, text, event.received_at_ms / 1000, size_bytes, "")


def accepted(event: Event, text: bytes) -> Entry:
    """The entry of an event (`text`, JSON) that EventBridge had accepted and could not deliver, as it stands.

    Its detail type, time and detail go out again, neither mapped nor masked. Raises Rejected where it is none of ours:
    what somebody wrote into the stream is not published unseen.
    """
    told = orjson.loads(text)
    detail, event_type = told.get("detail"), told.get("detail-type")
    if told.get("source") != SOURCE or type(detail) is not dict:
        raise _not_ours("its source is not ours, or it has no detail")
    if detail.get("eventSource") != EVENT_SOURCE or type(detail.get("eventId")) is not str or not detail["eventId"]:
        raise _not_ours("its detail has not our eventSource, or no eventId")
    if type(event_type) is not str or not 0 < len(event_type) <= limits.DETAIL_TYPE_MAX_CHARS:
        raise _not_ours("it has no detail type")
    try:
        _, time_s = timestamps.to_utc(told.get("time"), None)
    except (ValueError, OverflowError):
        raise _not_ours("its time cannot be read") from None
    as_it_stood = member(text, "detail")
    conversation = detail.get("conversationId")
    order_key = conversation if type(conversation) is str else ""
    size_bytes = fixed_bytes(event_type) + len(as_it_stood)
    return Entry(event._replace(body=None), event_type, as_it_stood, time_s, size_bytes, order_key)


def _not_ours(why: str) -> Rejected:
    return mismatch("NotOurEntry", f"the event is none that was published here: {why}")
