"""What the audit log says of a batch: every field of docs/contract.md, "Audit record".

The schema of the record (`AuditRecord` in `tools/schema_models.py`) names its fields too, but for those in `metrics`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from stream_router.model import PIPELINE_ID, Batch
from stream_router.process import iso

RETENTION = "90days"


def of_batch(batch: Batch, masking: str, now_s: float) -> dict[str, Any]:
    """The record of a batch whose every event is settled, from its own events alone. `now_s` is epoch seconds.

    `masking` names the policy, or is `off`.
    """
    dead = batch.dead_letters.total()
    metrics: dict[str, Any] = {
        "batch": batch.number,
        "deadLetters": dict(batch.dead_letters),
        "masking": masking,
        "delivered": batch.delivered,
        "dead_lettered": dead,
        "dropped": batch.dropped,
        "retried": batch.retried,
        "records": batch.records,
    }
    if masking != "off":
        metrics["masked"] = dict(batch.masked)
    if batch.probes:
        metrics["probes"] = batch.probes
    doubts = []
    if batch.delivered + dead + batch.dropped + batch.probes != batch.events:
        doubts.append("events_unaccounted")
    if batch.dead_letters["masking_failed"]:
        doubts.append("masking_failed")
    return record(batch.events, metrics, doubts, now_s)


def record(events: int, metrics: Mapping[str, Any], doubts: Sequence[str], now_s: float) -> dict[str, Any]:
    """The record around `metrics`, which is JSON data; `doubts` says why the batch cannot be called verified."""
    return {
        "auditTimestamp": iso(now_s * 1000),
        "pipelineId": PIPELINE_ID,
        "eventsProcessed": events,
        "metrics": metrics,
        "complianceStatus": "unverified" if doubts else "verified",
        **({"complianceReasons": list(doubts)} if doubts else {}),
        "dataRetentionPolicy": RETENTION,
    }
