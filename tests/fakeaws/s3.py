"""PutObject, GetObject and DeleteObject, path style: what claim checks need, and who loses them."""

import hashlib
from email.utils import formatdate

from tests.fakeaws.call import Call, Document, Item, Operation, Service
from tests.fakeaws.http import Reply, Request
from tests.fakeaws.wire import Refusal, Wire

KEY_BYTES = 1024


class _Object:
    """An object that was put whole: what its request brought, and the headers of answers about it."""

    def __init__(self, request: Request) -> None:
        self.body = request.body
        etag = hashlib.md5(request.body, usedforsecurity=False).hexdigest()
        checksums = [
            *((name, value) for name, value in request.headers.items() if name.startswith("x-amz-checksum-")),
            ("x-amz-checksum-type", "FULL_OBJECT"),
        ]
        self.headers = (
            ("ETag", f'"{etag}"'),
            ("x-amz-server-side-encryption", "AES256"),
            *(checksums if len(checksums) > 1 else ()),
        )
        self.more_headers = (
            ("Content-Type", "application/octet-stream"),
            ("Accept-Ranges", "bytes"),
            ("Last-Modified", formatdate(usegmt=True)),
        )
        """Headers of GetObject alone."""


class S3(Service):
    """The objects by bucket and key."""

    def __init__(self) -> None:
        super().__init__()
        self._objects: dict[str, _Object] = {}

    def operations(self) -> dict[str, Operation]:
        return {
            "PUT": Operation("PutObject", Wire.S3, "", self._read, self._accept, self._stored),
            "GET": Operation("GetObject", Wire.S3, "", self._find, answer=self._found),
            "DELETE": Operation("DeleteObject", Wire.S3, "", self._read, self._forget, lambda _: Reply(204)),
        }

    def _read(self, _: Document, request: Request) -> Call:
        """One object as a call of one item."""
        bucket, _slash, key = request.path.split("?", 1)[0].lstrip("/").partition("/")
        item = Item(_Object(request), request.body, len(request.body), key=key)
        if self.is_missing(bucket):
            return Call([item], Refusal("NoSuchBucket", "The specified bucket does not exist", 404), bucket)
        if not key or len(key.encode()) > KEY_BYTES:
            return Call([item], Refusal("KeyTooLongError", "Your key is too long or empty"), bucket)
        return Call([item], None, bucket)

    def _accept(self, call: Call) -> None:
        for item in call.items:
            self._objects[f"{call.target}/{item.key}"] = item.raw
            item.note = hashlib.sha256(item.raw.body).hexdigest()

    def _stored(self, call: Call) -> Reply:
        return Reply(200, b"", call.items[0].raw.headers)

    def _find(self, document: Document, request: Request) -> Call:
        call = self._read(document, request)
        result = self._objects.get(f"{call.target}/{call.items[0].key}")
        gone = Refusal("NoSuchKey", "The specified key does not exist.", 404) if result is None else None
        return Call([], call.refusal or gone, call.target, result)

    def _found(self, call: Call) -> Reply:
        return Reply(200, call.document.body, (*call.document.headers, *call.document.more_headers))

    def _forget(self, call: Call) -> None:
        self._objects.pop(f"{call.target}/{call.items[0].key}", None)

    def clear(self) -> None:
        self._objects.clear()
