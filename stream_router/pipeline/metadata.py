"""The `metadata` of a Detail: what was done to the event on its way, the same for all events of one transform."""

from typing import TYPE_CHECKING, Any

from stream_router.envelope import added_fields, read_resubmitted, valid_traceparent
from stream_router.model import PIPELINE_ID

if TYPE_CHECKING:
    from stream_router.pipeline.masking.policy import MaskingPolicy

UNMASKED = "unmasked"
"""The `complianceTag` where no policy runs; a policy has its own (`masking/policy.py`)."""


def metadata_of(region: str, masking: "MaskingPolicy | None", given: dict[str, Any]) -> dict[str, Any]:
    """The metadata of what this policy masks (None: of what none does); `given` are the config file's own fields."""
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
