"""Writes docs/schemas/*.json from models: `python tools/schemas.py`.

JSON Schemas (draft 2020-12) of what programs outside the project read. They allow fields that they do not name: fields
may be added at any time (docs/contract.md). The product does not use the models; tests hold what it emits against them.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.json_schema import GenerateJsonSchema
from schema_models import (
    AuditRecord,
    Bus,
    Count,
    Daemon,
    DeadLetter,
    Detail,
    Lag,
    Model,
    Moment,
    Percentiles,
    Recent,
    RecentAnswers,
    Seconds,
    Shard,
    Totals,
    UnreadShard,
    WorkerState,
)

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class ConsumerStatus(Model):
    """`GET /status` of the consumer's admin port. What is not known is null."""

    schema_: Literal["stream-router.consumer-status/2"] = Field(alias="schema")
    at: Moment
    version: str
    application: str
    stream: str
    region: str
    worker: str
    state: WorkerState
    since: Moment | None
    reason: str | None
    daemon: Daemon
    bus: Bus
    rule: dict[str, Any]
    lag: Lag
    rates: dict[str, float | None]
    totals: Totals
    recent: Recent
    unread_shards: list[UnreadShard] | None
    shards: list[Shard]


class ReceiverStatus(Model):
    """`GET /status` of the receiver's admin port."""

    schema_: Literal["stream-router.receiver-status/2"] = Field(alias="schema")
    at: Moment
    version: str
    state: Literal["starting", "ready", "not ready", "stream down", "stream partly down", "spill failing", "draining"]
    since: Moment
    reason: str | None
    stream: dict[str, Any]
    rates: dict[str, float | None]
    latency_ms: Percentiles = Field(description="since the receiver began")
    recent: RecentAnswers
    connections: Count
    held_bytes: Count
    tls_certificate_ends_at: Moment | None
    spill: dict[str, Any]
    answers: dict[str, Count]
    failures: dict[str, Count]


HISTORY_COLUMNS = (
    *("at", "deliveredPerS", "deadLettersPerS", "retriesPerS", "p50", "p90", "p95", "p99", "p999"),
    *("lagS", "headroomS", "holdingShards", "shards"),
)
"""Further ones may be added behind them."""


class History(Model):
    """`GET /history` of the consumer's admin port: the last hour, one row of numbers every ten seconds.

    `at` is epoch milliseconds, percentiles are milliseconds of the events of these ten seconds; null is unknown.
    """

    schema_: Literal["stream-router.history/1"] = Field(alias="schema")
    every_s: Literal[10]
    columns: list[str] = Field(
        min_length=len(HISTORY_COLUMNS),
        json_schema_extra={"prefixItems": [{"const": name} for name in HISTORY_COLUMNS]},
    )
    dead_letters: dict[str, list[Count]] = Field(description="By reason, a number for each row.")
    rows: list[Annotated[list[float | None], Field(min_length=len(HISTORY_COLUMNS))]] = Field(max_length=360)


class Quantiles(Model):
    """Milliseconds, from what arrived at the target; null where nothing did."""

    p50: Seconds | None
    p90: Seconds | None
    p95: Seconds | None
    p99: Seconds | None
    p999: Seconds | None
    max: Seconds | None


class Demo(Model):
    """What `stream-router demo --json` prints last."""

    sent: Count
    rejected: Count
    accepted: Count
    injected: Count
    delivered: Count
    dead_lettered: Count
    duplicates: Count
    lost: int
    seconds: Seconds
    events_per_second: Seconds
    entries_per_call: float | None
    latency_ms: Quantiles


SCHEMAS: dict[str, type[Model]] = {
    "detail": Detail,
    "dead-letter": DeadLetter,
    "audit-record": AuditRecord,
    "consumer-status": ConsumerStatus,
    "receiver-status": ReceiverStatus,
    "history": History,
    "demo": Demo,
}


class _Dialect(GenerateJsonSchema):
    schema_dialect = DIALECT


def text(name: str) -> str:
    """The schema's file as it should be."""
    made = SCHEMAS[name].model_json_schema(by_alias=True, schema_generator=_Dialect)
    return json.dumps({"$schema": DIALECT, **made}, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in SCHEMAS:
        (FOLDER / f"{name}.json").write_text(text(name), "utf-8")
    sys.stdout.write(f"{FOLDER} written\n")
