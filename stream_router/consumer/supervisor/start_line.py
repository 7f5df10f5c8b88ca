"""What the consumer's first line says: all that is in force, so that a log alone tells how it was run. No secrets."""

import platform
from importlib.metadata import version
from pathlib import Path

from stream_router import limits
from stream_router.consumer.state_dir import StateDir
from stream_router.consumer.supervisor.daemon import jars, java
from stream_router.consumer.supervisor.daemon.properties import Rendered
from stream_router.process import failpoints_in_force
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import of_aws, users_hidden


def in_force(settings: Consumer, state: StateDir, jvm: Path, rendered: Rendered) -> dict[str, object]:
    """The fields of the line."""
    return {
        "version": version("stream_router"),
        "python": platform.python_version(),
        "java": f"{java.java_version(jvm)} ({jvm})",
        "kcl": f"{jars.version_of('amazon-kinesis-client')}, {jars.version_of('amazon-kinesis-client-multilang')}",
        "region": settings.aws_region,
        "aws": {row.variable: row.value for row in of_aws()},
        "stream": settings.stream,
        "application": settings.application,
        "worker": rendered.properties.get("workerId", ""),
        "bus": settings.event_bus,
        "busKind": "v2" if limits.is_v2_bus(settings.event_bus) else "classic",
        "entriesPerCall": settings.entries_per_call,
        "bytesPerCall": settings.bytes_per_call,
        "rule": settings.rule,
        "eventTypes": list(settings.event_type_list),
        "deadLetters": users_hidden(settings.sqs_dlq_url),
        "offloadBucket": settings.offload_bucket,
        "unroutable": settings.unroutable,
        "onOutage": settings.on_outage,
        "ordering": settings.ordering,
        "masking": settings.masking,
        "config": str(settings.config or ""),
        "audit": str(settings.audit_dir or ""),
        "state": str(state.path),
        "stateOutlivesRestart": settings.state_dir is not None,
        "properties": str(rendered.source),
        **({"failpoints": told} if (told := failpoints_in_force()) else {}),
    }
