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
from stream_router.aws.endpoints import CallEndpoint, create_session, find_ca_bundle, find_endpoint
from stream_router.errors import SettingsError
from stream_router.receiver import sources, tls
from stream_router.receiver.sources import Source
from stream_router.receiver.spill import OURS
from stream_router.settings.reading import list_aws_settings
from stream_router.settings.receiver import Receiver
from stream_router.settings.secrets import AWS_PREFIXES
from stream_router.settings.sources import PostedSource, read, secret_text

QUEUE_OPERATIONS = ("SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch")
SPARE_FILES = 256
"""Number of open files that the receiver needs in addition to its senders' connections."""


class Stream(NamedTuple):
    """Endpoints and credentials for the stream and the spill queue, determined once at start."""

    target: CallEndpoint
    ca_bundle: str
    queue: dict[str, CallEndpoint]
    """Endpoints of the spill queue's operations by name; empty without a spill queue."""
    session: Session
    """botocore's session, which has found credentials and keeps them."""


def _check_senders(settings: Receiver) -> None:
    """Check scheme, secrets and named sources. Raises SettingsError.

    If any secret is kept in AWS, nothing is checked here, since AWS is not called yet. `check` does so later.
    """
    kept = [settings.webhook_secrets.get_secret_value()]
    kept += [secret_text(source.secrets) for source in read(settings.config) if isinstance(source, PostedSource)]
    if not any(text.startswith(AWS_PREFIXES) for text in kept):
        sources.build_sources(settings)


def check(settings: Receiver) -> tuple[Receiver, Stream, dict[str, Source]]:
    """Return the settings in force, the access to the stream, and the sources by path.

    The number of connections is reduced to what the limit of open files allows. Raises SettingsError.
    """
    sources_by_path = credentials.retry_until_found(
        lambda: sources.build_sources(settings)
    )  # credentials are needed for a secret kept in AWS
    settings = settings.model_copy(update={"max_connections": _allow_connections(settings.max_connections)})
    botocore_session = create_session(settings.aws_region)
    credentials.retry_until_found(lambda: credentials.find_in_chain(botocore_session))
    queue = (
        {name: find_endpoint(botocore_session, "sqs", name) for name in QUEUE_OPERATIONS}
        if settings.spill_queue
        else {}
    )
    return (
        settings,
        Stream(
            find_endpoint(botocore_session, "kinesis", "PutRecords"),
            find_ca_bundle(botocore_session),
            queue,
            botocore_session,
        ),
        sources_by_path,
    )


def check_ports_differ(settings: Receiver) -> None:
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
            "STREAM_ROUTER_SPILL_DIR", "is not a folder that can be written to", "create it, or fix its permissions"
        )
    names = sorted(path.name for path in folder.glob("spill-*")) if folder is not None else []
    foreign = [name for name in names if not OURS.fullmatch(name)]
    if foreign:
        raise SettingsError(
            "STREAM_ROUTER_SPILL_DIR",
            f"{foreign[0]} there is of another version, and its events would wait for ever",
            "drain it with that version, or move it away",
        )


HOST_CHECKS: tuple[Callable[[Receiver], object], ...] = (
    _check_senders,
    tls.check,
    lambda settings: check_spill(settings.spill_dir),
    check_ports_differ,
)
"""Checks of the files, folders and addresses that the settings name. `load` runs all and reports all problems."""


def _allow_connections(wanted: int) -> int:
    """Return how many connections the limit of open files allows, at most `wanted`.

    The process's soft limit is raised if needed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = max(soft, wanted + SPARE_FILES)
    if hard != resource.RLIM_INFINITY:
        limit = max(soft, min(hard, limit))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return max(1, min(wanted, limit - SPARE_FILES))


def list_settings_in_force(settings: Receiver, sources_by_path: dict[str, Source]) -> dict[str, object]:
    """Return the settings in force, without secrets, as fields of the log's first line."""
    return {
        "version": version("stream_router"),
        "python": platform.python_version(),
        "region": settings.aws_region,
        "aws": {row.variable: row.value for row in list_aws_settings()},
        "stream": settings.stream,
        "buckets": settings.buckets,
        "scheme": settings.webhook_scheme or "",
        "sources": [source.name for source in sources_by_path.values() if source.name],
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
