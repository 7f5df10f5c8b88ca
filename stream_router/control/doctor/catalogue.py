"""Every check of `doctor` in the order in which it is shown; docs/doctor.md says the same (a test sees to it)."""

from collections.abc import Callable
from typing import NamedTuple

from stream_router.checks.finding import Finding
from stream_router.control.doctor.checks import (
    account,
    bus,
    certificate,
    cxone_check,
    host,
    leases,
    queue,
    rights,
    stream,
    target,
)
from stream_router.control.doctor.world import World

BOTH = frozenset({"receive", "consume"})
RECEIVE, CONSUME = frozenset({"receive"}), frozenset({"consume"})


class Check(NamedTuple):
    """One check: its stable code, what it looks at, for which program; `offline` where it asks no network."""

    code: str
    about: str
    run: Callable[[World], Finding]
    programs: frozenset[str] = BOTH
    offline: bool = False


RUNBOOKS = {
    "SR014": "certificate",
    "SR101": "holding",
    "SR103": "holding",
    "SR115": "behind",
    "SR120": "holding",
    "SR121": "holding",
    "SR130": "rule-unmatched",
    "SR131": "rule-unmatched",
    "SR132": "rule-unmatched",
    "SR145": "undelivered",
    "SR153": "dead-letters",
    "SR160": "unread-shards",
    "SR161": "unread-shards",
}
"""The page of docs/runbooks of a finding that an alarm tells too."""


def runbook(code: str) -> str:
    """The page that goes on where the cure of a finding ends; "" where there is none."""
    return f"docs/runbooks/{RUNBOOKS[code]}.md" if code in RUNBOOKS else ""


CHECKS = (
    Check("SR004", "names of settings", host.names, BOTH, offline=True),
    Check("SR001", "settings: receive", host.receive_settings, RECEIVE, offline=True),
    Check("SR002", "settings: consume", host.consume_settings, CONSUME, offline=True),
    Check("SR003", "settings: setup", host.setup_settings, CONSUME, offline=True),
    Check("SR005", "masking", host.masking, CONSUME, offline=True),
    Check("SR006", "Java", host.java_found, CONSUME, offline=True),
    Check("SR007", "the KCL's jars", host.jars_whole, CONSUME, offline=True),
    Check("SR106", "JVM options", host.jvm_starts, CONSUME, offline=True),
    Check("SR008", "disk", host.disk, BOTH, offline=True),
    Check("SR009", "open files", host.open_files, RECEIVE, offline=True),
    Check("SR014", "TLS certificate", certificate.lasts, RECEIVE, offline=True),
    Check("SR015", "dropped types", host.dropped, CONSUME, offline=True),
    Check("SR010", "credentials", account.found),
    Check("SR011", "identity", account.identity),
    Check("SR012", "region", account.region),
    Check("SR013", "clock", account.clock),
    Check("SR101", "stream", stream.there),
    Check("SR102", "writing to it", stream.writable, RECEIVE),
    Check("SR110", "reading from it", stream.readable, CONSUME),
    Check("SR111", "its retention", stream.retention),
    Check("SR112", "its encryption", stream.encryption),
    Check("SR113", "buckets", stream.buckets, RECEIVE),
    Check("SR114", "its order", stream.order),
    Check("SR115", "lag", stream.lag, CONSUME),
    Check("SR105", "checkpoints", leases.of_this_stream, CONSUME),
    Check("SR160", "shards' owners", leases.owners, CONSUME),
    Check("SR161", "leases renewed", leases.renewed, CONSUME),
    Check("SR120", "event bus", bus.there, CONSUME),
    Check("SR121", "its key", bus.key, CONSUME),
    Check("SR130", "rule", bus.rule, CONSUME),
    Check("SR131", "what it matches", bus.lets_through, CONSUME),
    Check("SR132", "its target", bus.has_target, CONSUME),
    Check("SR133", "other rules", bus.others, CONSUME),
    Check("SR134", "no loop", bus.no_loop, CONSUME),
    Check("SR140", "target lets in", target.lets_eventbridge_in, CONSUME),
    Check("SR141", "target's role", target.role, CONSUME),
    Check("SR143", "target's dead letters", target.dead_letters, CONSUME),
    Check("SR144", "their queue", target.takes_dead_letters, CONSUME),
    Check("SR145", "undelivered events", target.waiting, CONSUME),
    Check("SR103", "dead-letter queue", queue.there, CONSUME),
    Check("SR150", "its retention", queue.keeps_as_long, CONSUME),
    Check("SR151", "its message size", queue.takes_large, CONSUME),
    Check("SR152", "its encryption", queue.encryption, CONSUME),
    Check("SR153", "dead letters", queue.letters, CONSUME),
    Check("SR154", "letters stay", queue.keeps_what_is_looked_at, CONSUME),
    Check("SR104", "claim checks' bucket", queue.bucket, CONSUME),
    Check("SR155", "its lifecycle", queue.bucket_keeps, CONSUME),
    Check("SR170", "rights of receive", rights.receive, RECEIVE),
    Check("SR171", "rights of consume", rights.consume, CONSUME),
    Check("SR180", "quota of calls", rights.put_events, CONSUME),
    Check("SR181", "quota of rules", rights.rules_on_bus, CONSUME),
    Check("SR182", "quota of the pattern", rights.pattern, CONSUME),
    Check("SR190", "CXone credentials", cxone_check.credentials),
)


def chosen(program: str | None, *, offline: bool) -> tuple[Check, ...]:
    """The checks of one program, or of both."""
    return tuple(
        check for check in CHECKS if (program is None or program in check.programs) and (check.offline or not offline)
    )
