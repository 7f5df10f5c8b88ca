"""The web page of the consumer's admin port: one file without external assets, which holds no data.

The page asks `/status` and `/history` of the port that it came from; its policy lets it ask nobody else.
"""

import base64
import functools
import hashlib
import re
from importlib.resources import files
from typing import NamedTuple

CONTENT_TYPE = "text/html; charset=utf-8"


class WebPage(NamedTuple):
    """The file, and the headers that it is served with."""

    body: bytes
    headers: tuple[tuple[str, str], ...]


@functools.cache
def load() -> WebPage:
    """The page as it was shipped. Script and style run by their own hash, so whatever else got in would not run."""
    body = (files("stream_router.telemetry") / "page" / "index.html").read_bytes()
    policy = (
        "default-src 'none'",
        f"script-src {_hash(body, b'script')}",
        f"style-src {_hash(body, b'style')}",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return WebPage(
        body,
        (
            ("Content-Security-Policy", "; ".join(policy)),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
        ),
    )


def _hash(body: bytes, tag: bytes) -> str:
    """The one inline element of that name, as a Content-Security-Policy names it."""
    (text,) = re.findall(rb"<%b>(.*?)</%b>" % (tag, tag), body, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"
