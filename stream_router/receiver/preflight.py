"""What is checked before anything starts: addresses, TLS files, the spill's folder, credentials, open files."""

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
"""Open files that the receiver needs beside its senders' connections."""


class Stream(NamedTuple):
    """How the stream is reached: worked out once, before anything starts."""

    target: CallEndpoint
    ca_bundle: str
    queue: dict[str, CallEndpoint]
    """Targets of the spill queue's operations by name; empty without a spill queue."""
    session: Session
    """Gave credentials, and has them still."""


def _senders(settings: Receiver) -> None:
    """Scheme, secrets and named sources, as far as this host alone can say: no secret of AWS is asked for yet."""
    kept = [settings.webhook_secrets.get_secret_value()]
    kept += [plain(source.secrets) for source in read(settings.config) if isinstance(source, PostedSource)]
    if not any(text.startswith(IN_AWS) for text in kept):
        sources.of(settings)


def check(settings: Receiver) -> tuple[Receiver, Stream, dict[str, Source]]:
    """Return the settings, with as many connections as fit; the stream's endpoint here; the sources by path.

    Raises SettingsError.
    """
    served = credentials.patiently(lambda: sources.of(settings))  # a secret of AWS is asked for with them
    settings = settings.model_copy(update={"max_connections": _connections(settings.max_connections)})
    found = session(settings.aws_region)
    credentials.patiently(lambda: credentials.find(found))
    queue = {name: target(found, "sqs", name) for name in QUEUE_OPERATIONS} if settings.spill_queue else {}
    return settings, Stream(target(found, "kinesis", "PutRecords"), ca_bundle(found), queue, found), served


def check_apart(settings: Receiver) -> None:
    """Raise SettingsError where the two addresses are one: each of them would be taken by the other."""
    if settings.listen == settings.receiver_admin_listen and not settings.listen.endswith(":0"):
        raise SettingsError(
            "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN: is STREAM_ROUTER_LISTEN's address; choose another HOST:PORT"
        )


def check_spill(folder: Path | None) -> None:
    """Raise SettingsError where the spill's folder is none that this user can write to."""
    # os.path answers no where a name is too long for a path; Path raises.
    if folder is not None and not (os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):  # noqa: PTH112
        raise SettingsError("STREAM_ROUTER_SPILL_DIR: is no folder that can be written to; make it, or fix its rights")
    names = sorted(path.name for path in folder.glob("spill-*")) if folder is not None else []
    if strange := [name for name in names if not OURS.fullmatch(name)]:
        raise SettingsError(
            f"STREAM_ROUTER_SPILL_DIR: {strange[0]} there is of another version, and its events would wait for ever; "
            "drain it with that version, or move it away"
        )


LOOKS: tuple[Callable[[Receiver], object], ...] = (
    _senders,
    tls.check,
    lambda settings: check_spill(settings.spill_dir),
    check_apart,
)
"""What the settings name on this host, for `load`: whatever is wrong of it is said at once."""


def _connections(wanted: int) -> int:
    """How many connections there may be: what was asked for, or what the limit of open files allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard != resource.RLIM_INFINITY else max(soft, wanted + SPARE_FILES)
    raised = max(soft, min(most, wanted + SPARE_FILES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return max(1, min(wanted, raised - SPARE_FILES))


def in_force(settings: Receiver, served: dict[str, Source]) -> dict[str, object]:
    """Return what the first line of the log says, so that a log alone tells how the receiver was run. No secrets."""
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
