"""`/status` and `/history` of a consumer and `/status` of a receiver as their admin ports give them, for the views."""

import math
from typing import Any

from stream_router.consumer.supervisor.history import COLUMNS
from stream_router.consumer.supervisor.status import PARTLY_READ_MEANING
from stream_router.telemetry.verdict import TABLE, Code

AT_MS = 1_795_599_002_123
"""2026-11-25T09:30:02.123Z."""
STAGES = {
    "received_to_stored": 1.0,
    "stored_to_read": 9.0,
    "read_to_sent": 2.0,
    "sent_to_accepted": 7.0,
    "received_to_accepted": 21.0,
    "received_to_dead_lettered": 60.0,
}


def verdict(code: str) -> dict[str, str]:
    """A code with its words and its level."""
    row = TABLE[Code(code)]
    return {"code": code, "state": row.words, "level": row.level.value}


def latencies(scale: float = 1.0) -> dict[str, Any]:
    """By stage, in ms; another value for each, so that no two cells could be mistaken for each other."""
    return {
        stage: {
            "count": 9_000 + n,
            **{
                name: round(base * scale * factor, 3)
                for name, factor in (("p50", 1), ("p90", 2.2), ("p95", 3.1), ("p99", 11), ("p999", 41.7), ("max", 95.2))
            },
        }
        for n, (stage, base) in enumerate(STAGES.items())
    }


def shard(number: int, **changes: Any) -> dict[str, Any]:
    """A shard that is caught up."""
    return {
        "shard": f"shardId-{number:012d}",
        "pid": 4000 + number,
        "at": "2026-11-25T09:30:01.900Z",
        **verdict("well"),
        "reason": None,
        "since": "2026-11-25T08:00:00.000Z",
        "gauges": {
            "oldest_unsettled_age_seconds": 0.25 * (number + 1),
            "retention_headroom_seconds": 604_799.5 - number,
            "window_bytes": 120_000 + number,
            "window_span_seconds": 1.5 + number,
            "calls_in_flight": 3 + number,
            "calls_ceiling": 16,
            "checkpoint_age_seconds": 2.5 + number,
        },
        "manyDeadLetters": None,
        "timeShares": {"waiting": 0.701, "work": 0.18, "bus": 0.1, "holding": 0.0, "deadLetters": 0.019},
        "counters": {"delivered": 51_234 + number, "dead_lettered": 3, "retried": 12, "records": 20_000, "dropped": 0},
        **changes,
    }


def consumer(**changes: Any) -> dict[str, Any]:
    """A consumer that is well."""
    return {
        "schema": "stream-router.status/3",
        "program": "consume",
        "version": "0.1.0",
        "host": "host-a",
        "pid": 3998,
        "region": "eu-central-1",
        "stream": "cxone-events",
        "at": "2026-11-25T09:30:02.123Z",
        "startedAt": "2026-11-25T07:59:50.000Z",
        "application": "cxone-event-router",
        "worker": "host-a-0011223344556677",
        **verdict("well"),
        "meaning": "Events go through.",
        "cure": "Nothing has to be done.",
        "since": "2026-11-25T08:00:00.000Z",
        "reason": None,
        "daemon": {"pid": 3999, "restarts": 1, "plannedRestarts": 0, "rssBytes": 191_889_408},
        "bus": {"name": "default", "state": "proven", "unaskedS": None, "proofAgeS": 3.1},
        "rule": {"name": "cxone-webhook-router", "state": "matched", "since": None, "problem": None, "cure": None},
        "lag": {"oldestUnsettledAgeS": 0.0, "retentionHeadroomS": 604_798.5, "caughtUp": True, "catchUpS": 0.0},
        "rates": {"deliveredPerS": 512.3, "deadLettersPerS": 0.05, "retriesPerS": 0.2, "recordsPerS": 201.5},
        "totals": {
            "counters": {"delivered": 102_469, "dead_lettered": 7, "retried": 24, "records": 40_000, "dropped": 0},
            "deadLetters": {"malformed_json": 6, "unroutable": 1},
            "retries": {"ThrottlingException": 20, "InternalFailure": 4},
            "entriesPerCall": 9.31,
            "latenciesMs": latencies(1.1),
        },
        "recent": {"seconds": 300, "latenciesMs": latencies()},
        "unreadShards": [],
        "shards": [shard(0), shard(1)],
        **changes,
    }


def holding() -> dict[str, Any]:
    """One shard of two holds, since two minutes."""
    reason = "the event bus refuses every call (ThrottlingException)"
    held = shard(1, **verdict("holding"), reason=reason, since="2026-11-25T09:28:00.000Z")
    held["gauges"] |= {"oldest_unsettled_age_seconds": 122.1, "retention_headroom_seconds": 604_677.9}
    held["timeShares"] = {"waiting": 0.0, "work": 0.01, "bus": 0.04, "holding": 0.95, "deadLetters": 0.0}
    return consumer(
        **verdict("holding"),
        meaning=TABLE[Code.HOLDING].meaning,
        cure=TABLE[Code.HOLDING].cure,
        since="2026-11-25T09:28:00.000Z",
        reason=f"1 of 2 shards: {reason}",
        lag={"oldestUnsettledAgeS": 122.1, "retentionHeadroomS": 604_677.9, "caughtUp": False, "catchUpS": None},
        rates={"deliveredPerS": 256.1, "deadLettersPerS": 0.0, "retriesPerS": 14.5, "recordsPerS": 100.2},
        recent={"seconds": 300, "latenciesMs": latencies(40)},
        shards=[shard(0), held],
    )


def moved() -> dict[str, Any]:
    """A shard went to another worker; nobody reads a third one."""
    return consumer(
        **verdict("shards-unread"),
        meaning=TABLE[Code.SHARDS_UNREAD].meaning,
        cure=TABLE[Code.SHARDS_UNREAD].cure,
        since="2026-11-25T09:26:00.000Z",
        reason="1 shard of the stream is read by nobody: shardId-000000000002 (lease does not move)",
        shards=[shard(0)],
        unreadShards=[
            {"shard": "shardId-000000000002", "why": "lease does not move", "since": "2026-11-25T09:26:00.000Z"}
        ],
    )


def empty() -> dict[str, Any]:
    """A consumer that is well and has seen no event since it was started, a minute ago."""
    none = {stage: dict.fromkeys(("count", "p50", "p90", "p95", "p99", "p999", "max"), 0) for stage in STAGES}
    counters = dict.fromkeys(("delivered", "dead_lettered", "retried", "records", "dropped"), 0)
    idle = {"waiting": 1.0, "work": 0.0, "bus": 0.0, "holding": 0.0, "deadLetters": 0.0}
    shards = [shard(number, counters=counters, timeShares=idle) for number in (0, 1)]
    for item in shards:
        item["gauges"] |= {"oldest_unsettled_age_seconds": 0.0, "window_bytes": 0, "calls_in_flight": 0}
    return consumer(
        rates=dict.fromkeys(("deliveredPerS", "deadLettersPerS", "retriesPerS", "recordsPerS"), 0.0),
        totals={"counters": counters, "deadLetters": {}, "retries": {}, "entriesPerCall": None, "latenciesMs": none},
        recent={"seconds": 60, "latenciesMs": none},
        shards=shards,
    )


def starting() -> dict[str, Any]:
    """A consumer that reads one shard of two yet."""
    return empty() | {
        **verdict("starting"),
        "since": "2026-11-25T09:29:50.000Z",
        "reason": "not read yet: shardId-000000000001",
        "meaning": PARTLY_READ_MEANING,
        "cure": TABLE[Code.STARTING].cure,
        "shards": [shard(0)],
        "unreadShards": None,
        "lag": {"oldestUnsettledAgeS": None, "retentionHeadroomS": None, "caughtUp": False, "catchUpS": None},
    }


def history_without_events(rows: int = 6) -> dict[str, Any]:
    """A minute in which nothing went through."""
    hour = history()
    quiet = [[row[0], 0.0, 0.0, 0.0, *[None] * 5, 0.0, 604_798.0, 0, 2] for row in hour["rows"][-rows:]]
    return hour | {"rows": quiet, "deadLetters": {}}


def history(*, trouble: bool = False) -> dict[str, Any]:
    """An hour, a row each ten seconds; with `trouble` the last five minutes are slow, and then nothing goes out."""
    rows: list[list[float | None]] = []
    bad, poor = [4 * (n % 70 == 3) for n in range(360)], [2 * (n % 110 == 5) for n in range(360)]
    for n in range(360):
        at_ms, dead_per_s = AT_MS - (359 - n) * 10_000, (bad[n] + poor[n]) / 10
        slow = 30.0 if trouble and n > 330 else 1 + 0.3 * math.sin(n / 17)
        percentiles = [round(slow * ms, 2) for ms in (20, 44, 62, 220 + n % 9 * 30, 830)]
        if trouble and n > 347:
            lag = (n - 347) * 10.0
            rows.append([at_ms, 0.0, dead_per_s, 14.5, *[None] * 5, lag, 604_798 - lag, 1, 2])
        else:
            rows.append([at_ms, 500 + 80 * math.sin(n / 40), dead_per_s, 0.2, *percentiles, 0.0, 604_798.0, 0, 2])
    return {
        "schema": "stream-router.history/1",
        "everyS": 10,
        "columns": list(COLUMNS),
        "deadLetters": {"malformed_json": bad, "unroutable": poor},
        "rows": rows,
    }


def receiver(**changes: Any) -> dict[str, Any]:
    """A receiver that is well."""
    fast = {"count": 30_000, "p50": 6.5, "p90": 9.0, "p95": 12.0, "p99": 31.5, "p999": 88.0, "max": 140.2}
    return {
        "schema": "stream-router.status/3",
        "program": "receive",
        "version": "0.1.0",
        "host": "host-a",
        "pid": 3001,
        "region": "eu-central-1",
        "stream": "cxone-events",
        "at": "2026-11-25T09:30:02.456Z",
        "startedAt": "2026-11-25T07:59:50.000Z",
        **verdict("well"),
        "meaning": "Events go through.",
        "cure": "Nothing has to be done.",
        "since": "2026-11-25T08:00:00.000Z",
        "reason": None,
        "rates": {"storedPerS": 511.9, "spilledPerS": 0.0, "refusedPerS": 0.0},
        "totals": {
            "counters": {"stored": 100_000, "spilled": 0, "refused": 0},
            "answers": {"202 stored": 100_000, "401 bad_signature": 3},
            "failures": {"ProvisionedThroughputExceededException": 12},
            "latenciesMs": {"answered": fast | {"count": 100_003, "p99": 24.5}},
        },
        "recent": {"seconds": 300, "latenciesMs": {"answered": fast}},
        "kinesis": {"up": True, "code": None, "bucketsRefusing": 0, "lastTriedAt": "2026-11-25T09:30:02.100Z"},
        "connections": 17,
        "heldBytes": 120_000,
        "tlsCertificateEndsAt": "2027-01-20T12:00:00.000Z",
        "spill": {"events": 0, "bytes": 0, "oldestAgeS": None, "failing": False},
        **changes,
    }
