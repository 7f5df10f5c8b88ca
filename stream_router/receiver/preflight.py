"""Checks before anything starts: addresses, TLS files, the spill's folder, credentials, open files."""

import os
import platform
import resource
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from botocore.session import Session

from stream_router.aws import credentials
from stream_router.aws.endpoints import CallEndpoint, ca_bundle, session, target
from stream_router.errors import SettingsError
from stream_router.receiver import sources, tls
from stream_router.receiver.sources import Source
from stream_router.receiver.spill import OURS
from stream_router.settings.reading import list_aws_settings
from stream_router.settings.receiver import Receiver
from stream_router.settings.secrets import IN_AWS
from stream_router.settings.sources import PostedSource, plain, read

QUEUE_OPERATIONS = ("SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch")
SPARE_FILES = 256
"""Number of open files that the receiver needs beside its senders' connections."""


class Stream(NamedTuple):
    """Access to the stream, determined once, before anything starts."""

    target: CallEndpoint
    ca_bundle: str
    queue: dict[str, CallEndpoint]
    """Endpoints of the spill queue's operations by name; empty without a spill queue."""
    session: Session
    """Session that has found credentials, and keeps them."""


def _senders(settings: Receiver) -> None:
    """Check scheme, secrets and named sources, if no secret is kept in AWS. Nothing is requested from AWS yet."""
    kept = [settings.webhook_secrets.get_secret_value()]
    kept += [plain(source.secrets) for source in read(settings.config) if isinstance(source, PostedSource)]
    if not any(text.startswith(IN_AWS) for text in kept):
        sources.of(settings)


def check(settings: Receiver) -> tuple[Receiver, Stream, dict[str, Source]]:
    """Return the settings, with as many connections as fit; the access to the stream; the sources by path.

    Raises SettingsError.
    """
    served = credentials.patiently(lambda: sources.of(settings))  # credentials are needed for a secret kept in AWS
    settings = settings.model_copy(update={"max_connections": _connections(settings.max_connections)})
    botocore_session = session(settings.aws_region)
    credentials.patiently(lambda: credentials.find(botocore_session))
    queue = {name: target(botocore_session, "sqs", name) for name in QUEUE_OPERATIONS} if settings.spill_queue else {}
    return (
        settings,
        Stream(target(botocore_session, "kinesis", "PutRecords"), ca_bundle(botocore_session), queue, botocore_session),
        served,
    )


def check_apart(settings: Receiver) -> None:
    """Raise SettingsError if both ports have the same address, since the second could not listen there."""
    if settings.listen == settings.receiver_admin_listen and not settings.listen.endswith(":0"):
        raise SettingsError(
            "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN",
            "is STREAM_ROUTER_LISTEN's address",
            "choose another HOST:PORT",
            related=("STREAM_ROUTER_LISTEN",),
        )


def check_spill(folder: Path | None) -> None:
    """Raise SettingsError if this user cannot write to the spill's folder, or it holds another version's files."""
    # os.path returns False if a name is too long for a path; Path raises.
    if folder is not None and not (os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):  # noqa: PTH112
        raise SettingsError(
            "STREAM_ROUTER_SPILL_DIR", "is no folder that can be written to", "make it, or fix its rights"
        )
    names = sorted(path.name for path in folder.glob("spill-*")) if folder is not None else []
    if strange := [name for name in names if not OURS.fullmatch(name)]:
        raise SettingsError(
            "STREAM_ROUTER_SPILL_DIR",
            f"{strange[0]} there is of another version, and its events would wait for ever",
            "drain it with that version, or move it away",
        )


LOOKS: tuple[Callable[[Receiver], object], ...] = (
    _senders,
    tls.check,
    lambda settings: check_spill(settings.spill_dir),
    check_apart,
)
"""Checks of what the settings name on this host. `load` runs them all, and reports all problems at once."""


def _connections(wanted: int) -> int:
    """Return the number of connections: as many as wanted, or as many as the limit of open files allows.

    Raises the process's soft limit if needed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard != resource.RLIM_INFINITY else max(soft, wanted + SPARE_FILES)
    raised = max(soft, min(most, wanted + SPARE_FILES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return max(1, min(wanted, raised - SPARE_FILES))


def in_force(settings: Receiver, served: dict[str, Source]) -> dict[str, object]:
    """Return the settings in force, without secrets, for the log's first line: a log shows how the receiver was run."""
    return {
        "version": version("stream_router"),
        "python": platform.python_version(),
        "region": settings.aws_region,
        "aws": {row.variable: row.value for row in list_aws_settings()},
        "stream": settings.stream,
        "buckets": settings.buckets,
        "scheme": settings.webhook_scheme or "",
        "sources": [source.name for source in served.values() if source.name],
        "listen": settings.listen,
        "admin": settings.receiver_admin_listen,
        "connections": settings.max_connections,
        "tls": str(settings.tls_cert or ""),
        "clientCa": str(settings.tls_client_ca or ""),
        "trustedProxies": settings.trusted_proxies,
        "spill": str(settings.spill_dir or settings.spill_queue or ""),
        "spillMaxBytes": settings.spill_max_bytes,
        "bodyMaxBytes": settings.max_body_bytes,
        "config": str(settings.config or ""),
    }
