"""Ids of events. An id is derived from delivery id and body (docs/contract.md, "Identity"), so all copies have it."""

import hashlib


def event_id(scheme: str, delivery_id: str | None, index: int, body: bytes) -> str:
    """Return the event's id: 32 hex digits, the same for every copy of one delivery (docs/contract.md, "Identity").

    `scheme` is that of the webhook, `source/<name>` for a named source, or `stream` for a record of another writer.
    `index` is the event's index in an array body (0 for a single object), `body` the request's whole body as sent.
    `delivery_id` is None if the sender gave none. The id then depends on `scheme`, body and index alone, so two equal
    bodies have the same ids.
    """
    return event_id_of_hash(scheme, delivery_id, index, hashlib.sha256(body).digest())


def event_id_of_hash(scheme: str, delivery_id: str | None, index: int, body_hash: bytes) -> str:
    """Return the event's id from the body's SHA-256, so that a body with many events is hashed only once."""
    text = b"\0".join((scheme.encode(), (delivery_id or "").encode(), str(index).encode(), body_hash))
    return hashlib.sha256(text).hexdigest()[:32]


def correlation_id(identity: str) -> str:
    """Return the event id's 128 bits written as a UUID."""
    return f"{identity[:8]}-{identity[8:12]}-{identity[12:16]}-{identity[16:20]}-{identity[20:]}"


def event_id_as_typed(text: str) -> str:
    """Return the event id in a text that a person typed: the id itself, or the correlation id, a UUID of its bits."""
    return text.strip().lower().replace("-", "")
