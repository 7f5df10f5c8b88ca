"""W3C's trace context (https://www.w3.org/TR/trace-context/): what of it is passed on. No spans of our own."""

import re

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def valid(text: object) -> str:
    """`text` where it has the form of a `traceparent` header; "" where not: a bad one is dropped, never repaired."""
    return text if isinstance(text, str) and _FORM.fullmatch(text) else ""
