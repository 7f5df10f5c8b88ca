"""The `metadata` of a Detail: what was done to the event on its way, the same for all events of one tag."""

from typing import TYPE_CHECKING, Any

from stream_router.envelope import added_fields, valid_traceparent
from stream_router.model import PIPELINE_ID

if TYPE_CHECKING:
    from stream_router.pipeline.masking.policy import MaskingPolicy

UNMASKED, MASKED, PARTLY = "unmasked", "pii-masked", "pii-masked-partly"
"""What an entry's `complianceTag` says: whether a masking policy ran, and decided on every field."""


def metadata_by_tag(region: str, masking: "MaskingPolicy | None", given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The metadata for each tag; `given` are the config file's own fields."""
    return {tag: _metadata(region, tag, masking) | given for tag in (UNMASKED, MASKED, PARTLY)}


def traced(metadata: dict[str, Any], raw: bytes) -> dict[str, Any]:
    """The metadata, with the trace context that the envelope carries where it is one."""
    trace = valid_traceparent(added_fields(raw).get("traceparent"))
    return {**metadata, "traceparent": trace} if trace else metadata


def _metadata(region: str, tag: str, masking: "MaskingPolicy | None") -> dict[str, Any]:
    metadata: dict[str, Any] = {"enrichmentPipeline": PIPELINE_ID, "complianceTag": tag, "region": region}
    if masking is not None:
        metadata["maskingPolicy"] = {"id": masking.id, "version": masking.version}
    return metadata
