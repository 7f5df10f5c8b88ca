"""What the receiver's first line says: all that is in force, so that a log alone tells how it was run. No secrets."""

import platform
from importlib.metadata import version

from stream_router.receiver import sources
from stream_router.settings.reading import of_aws
from stream_router.settings.receiver import Receiver


def in_force(settings: Receiver, workers: int) -> dict[str, object]:
    """The fields of the line."""
    return {
        "version": version("stream_router"),
        "python": platform.python_version(),
        "region": settings.aws_region,
        "aws": {row.variable: row.value for row in of_aws()},
        "stream": settings.stream,
        "buckets": settings.buckets,
        "scheme": settings.webhook_scheme or "",
        "sources": [name for name in sources.names(settings) if name],
        "listen": settings.listen,
        "admin": settings.receiver_admin_listen,
        "workers": workers,
        "connections": settings.max_connections,
        "tls": str(settings.tls_cert or ""),
        "clientCa": str(settings.tls_client_ca or ""),
        "trustedProxies": settings.trusted_proxies,
        "spill": str(settings.spill_dir or ""),
        "spillMaxBytes": settings.spill_max_bytes,
        "bodyMaxBytes": settings.max_body_bytes,
        "config": str(settings.config or ""),
    }
