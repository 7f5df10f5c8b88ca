"""Who an event is: derived from its delivery and its body, so every copy of it carries the same id.

What goes in, the body's SHA-256 too, comes from `receiver/intake.py`, and for a record that is not the receiver's from
`core/envelope.py`; `of_hash` alone decides the id's own digest.
Whether an id stands for a delivery or for content alone (`idFrom`) decides in
`pipeline/sinks/eventbridge/wire_format.py` and `control/republish/republisher.py` what a v2 bus takes for a copy. The
form, 32 hex digits, is looked for in `core/envelope.py` and `control/fates/wanted.py`.
"""

import hashlib


def of_body(scheme: str, delivery_id: str | None, index: int, body: bytes) -> str:
    """The identity of an event: 32 hex digits, the same for every copy of one delivery (docs/contract.md, "Identity").

    `index` is the event's place in an array body (0 for a single object), `body` the request's whole body as sent.
    """
    return of_hash(scheme, delivery_id, index, hashlib.sha256(body).digest())


def of_hash(scheme: str, delivery_id: str | None, index: int, body_hash: bytes) -> str:
    """The same, from the body's SHA-256: so a body is hashed once, however many events it holds."""
    text = b"\0".join((scheme.encode(), (delivery_id or "").encode(), str(index).encode(), body_hash))
    return hashlib.sha256(text).hexdigest()[:32]


def correlation_id(identity: str) -> str:
    """The event id's 128 bits written as a UUID."""
    return f"{identity[:8]}-{identity[8:12]}-{identity[12:16]}-{identity[16:20]}-{identity[20:]}"


def as_typed(text: str) -> str:
    """The event id that a person means: typed as it is, or as the correlation id, which is a UUID of the same bits."""
    return text.strip().lower().replace("-", "")
