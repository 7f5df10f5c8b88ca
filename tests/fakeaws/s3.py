"""PutObject, GetObject and DeleteObject, path style: what claim checks need, and who loses them."""

import hashlib
from xml.sax.saxutils import escape

from tests.fakeaws.call import Call, Item, Refusal
from tests.fakeaws.http import Reply, Request


class Objects:
    """The stored objects, in state."""

    def __init__(self) -> None:
        self._stored: dict[str, bytes] = {}

    def read(self, request: Request, settings: dict[str, object]) -> Call:
        """One object as a call of one item."""
        bucket, _, key = request.path.split("?", 1)[0].lstrip("/").partition("/")
        item = Item(request, request.body, len(request.body))
        item.key = key
        missing = settings.get("missing")
        if isinstance(missing, list) and bucket in missing:
            return Call([item], Refusal("NoSuchBucket", "The specified bucket does not exist", 404), bucket)
        if not key or len(key.encode()) > 1024:
            return Call([item], Refusal("KeyTooLongError", "Your key is too long or empty"), bucket)
        return Call([item], None, bucket)

    def accept(self, call: Call) -> None:
        """Store it."""
        for item in call.items:
            self._stored[f"{call.target}/{item.key}"] = item.raw.body
            item.note = hashlib.sha256(item.raw.body).hexdigest()

    def answer(self, request: Request) -> Reply:
        """A stored object, or 404; one that is to be deleted is forgotten."""
        path = request.path.split("?", 1)[0].lstrip("/")
        if request.method == "DELETE":
            self._stored.pop(path, None)
            return Reply(204)
        found = self._stored.get(path)
        if found is None:
            body = f"<Error><Code>NoSuchKey</Code><Key>{escape(path)}</Key></Error>".encode()
            return Reply(404, body, (("Content-Type", "application/xml"),))
        return Reply(200, found, (("ETag", etag(found)), ("Content-Type", "application/octet-stream")))

    def clear(self) -> None:
        """Forget every object."""
        self._stored.clear()


def etag(body: bytes) -> str:
    """S3's ETag of an object that was put whole."""
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
