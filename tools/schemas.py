"""Writes docs/schemas/*.json from models: `python tools/schemas.py`.

JSON Schemas (draft 2020-12) of what programs outside the project read. They allow fields that they do not name: fields
may be added at any time (docs/contract.md). The product does not use the models; tests hold what it emits against them.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import asked
from pydantic import BaseModel, Field, RootModel
from pydantic.json_schema import GenerateJsonSchema
from schema_models import (
    AuditRecord,
    Bus,
    Count,
    Daemon,
    DeadLetter,
    Detail,
    EventTotals,
    Kinesis,
    Lag,
    Model,
    Moment,
    Recent,
    RequestTotals,
    Seconds,
    Shard,
    Spill,
    UnreadShard,
    VerdictCode,
    VerdictLevel,
)

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Head(Model):
    """What both programs say in `/status`: who speaks, and how it is in words, since when and why. Unknown is null."""

    schema_: Literal["stream-router.status/3"] = Field(alias="schema")
    version: str
    host: str
    pid: int
    region: str
    stream: str
    at: Moment
    started_at: Moment
    code: VerdictCode
    state: str = Field(description="the code's words")
    level: VerdictLevel
    since: Moment
    reason: str | None
    meaning: str = Field(description="what the state means for events")
    cure: str
    rates: dict[str, float | None] = Field(description="events a second in the last minute")
    recent: Recent


class ConsumerStatus(Head):
    """`GET /status` of the consumer's admin port: the head, and what it knows of daemon, bus, rule and shards."""

    program: Literal["consume"]
    totals: EventTotals
    application: str
    worker: str
    daemon: Daemon
    bus: Bus
    rule: dict[str, Any]
    lag: Lag
    unread_shards: list[UnreadShard] | None
    shards: list[Shard]


class ReceiverStatus(Head):
    """`GET /status` of the receiver's admin port: the head, and what it knows of stream, connections and spill."""

    program: Literal["receive"]
    totals: RequestTotals
    kinesis: Kinesis
    connections: Count
    held_bytes: Count
    tls_certificate_ends_at: Moment | None
    spill: Spill


class Status(RootModel[Annotated[ConsumerStatus | ReceiverStatus, Field(discriminator="program")]]):
    """`GET /status` of an admin port: one object for both programs, which `program` tells apart."""


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


SCHEMAS: dict[str, type[BaseModel]] = {
    "detail": Detail,
    "dead-letter": DeadLetter,
    "audit-record": AuditRecord,
    "status": Status,
    "history": History,
    "demo": Demo,
}


class _Dialect(GenerateJsonSchema):
    schema_dialect = DIALECT


def text(name: str) -> str:
    """The schema's file as it should be."""
    result = SCHEMAS[name].model_json_schema(by_alias=True, schema_generator=_Dialect)
    return json.dumps({"$schema": DIALECT, **result}, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    asked.for_help(__doc__)
    FOLDER.mkdir(exist_ok=True)
    for name in SCHEMAS:
        (FOLDER / f"{name}.json").write_text(text(name), "utf-8")
    sys.stdout.write(f"{FOLDER} written\n")
