"""`stream-router audit verify FILE…`: checks that audit files are unchanged."""

import sys
from pathlib import Path

from stream_router.settings.operators import AuditKey
from stream_router.settings.reading import load
from stream_router.telemetry import audit


def run(*files: Path) -> int:
    """Print for each audit file whether its chain of lines is intact. Return 0 if all are, else 1.

    The key, if the files were written with one, comes from `STREAM_ROUTER_AUDIT_KEY`. No other setting is needed.
    """
    key = load(AuditKey).secret("audit_key").encode() or None
    return max([_verify(file, key) for file in files], default=0)


def _verify(file: Path, key: bytes | None) -> int:
    try:
        result = audit.verify(file, key)
    except OSError as error:
        sys.stderr.write(f"{file}: {error.strerror}\n")
        return 1
    kind = "HMAC" if key else "SHA-256"
    if result.problem:
        sys.stderr.write(f"{file}: {result.problem}; the {result.lines} lines before hold ({kind})\n")
        return 1
    sys.stdout.write(f"{file}: all {result.lines} lines hold ({kind})\n")
    return 0
