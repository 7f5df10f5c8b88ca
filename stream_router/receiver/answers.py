"""The receiver's HTTP answers: status, reason, headers and body. Errors are built once, at import."""

import functools
import time
from http import HTTPStatus
from typing import NamedTuple

import orjson

Header = tuple[str, str]
JSON: Header = ("content-type", "application/json")
_JSON_ALONE = (JSON,)
RETRY_AFTER: Header = ("retry-after", "2")

MAX_IDS = 900
"""Maximum number of ids in a 202, whose body then has fewer than 32,000 bytes.

Studio's REST action takes answers of at most 32 KB (docs/facts.md, "CXone"), and treats a larger 202 as a failure.
"""


class Response(NamedTuple):
    """One HTTP answer. `reason` is the label it is counted under ("": not counted); `close` ends the connection."""

    status: int
    reason: str
    headers: tuple[Header, ...]
    body: bytes
    close: bool = False

    def wire(self, *, close: bool, head_only: bool = False, kept_s: int = 0) -> bytes:
        """Return the answer's bytes.

        `kept_s` is the number of seconds for which the connection may be idle; 0 omits the header that states it.
        """
        head = _format_head(self.status, self.headers, close or self.close, kept_s)
        return b"%b%d\r\ndate: %b\r\n\r\n%b" % (
            head,
            len(self.body),
            _format_date(int(time.time())),
            b"" if head_only else self.body,
        )


@functools.lru_cache(64)
def _format_head(status: int, headers: tuple[Header, ...], close: bool, kept_s: int) -> bytes:
    """Return a head up to the value of Content-Length, which comes last, so that many answers share the cached rest."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if close:
        lines.append("connection: close")
    elif kept_s > 0:
        lines.append(f"keep-alive: timeout={kept_s}")
    return ("\r\n".join(lines) + "\r\ncontent-length: ").encode()


@functools.lru_cache(2)
def _format_date(second: int) -> bytes:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(second)).encode()


def error(status: int, code: str, message: str, *headers: Header, reason: str = "", close: bool = False) -> Response:
    """Return an answer with the body `{"error":code,"message":…}`; with Retry-After if the status is 503.

    It is counted under `reason`, by default under `code`.
    """
    extra = (RETRY_AFTER,) if status == 503 else ()
    body = orjson.dumps({"error": code, "message": message})
    return Response(status, reason or code, (JSON, *extra, *headers), body, close)


def accepted(identities: list[str], reason: str = "stored") -> Response:
    """Return the 202 for stored events. Its body has their number, and their first MAX_IDS ids in order."""
    # Ids are hex digits, so nothing needs escaping.
    ids = '","'.join(identities[:MAX_IDS])
    quoted = f'"{ids}"' if identities else ""
    return Response(202, reason, _JSON_ALONE, f'{{"accepted":{len(identities)},"ids":[{quoted}]}}'.encode())


UNAVAILABLE = error(503, "unavailable", "the events could not be stored in time; send them again", reason="not_stored")
OVERLOAD = error(503, "unavailable", "the receiver is overloaded; send it again", reason="overload")
BUSY = error(503, "unavailable", "too much is waiting to be stored; send it again", reason="busy", close=True)
TROUBLE = error(503, "unavailable", "the receiver failed unexpectedly; send it again", reason="trouble", close=True)
NOT_READY = error(503, "unavailable", "neither the stream nor the spill takes events", reason="health")
TOO_LARGE = error(413, "too_large", "the body is larger than the receiver takes", close=True)
HEADERS_TOO_LARGE = error(431, "headers_too_large", "the headers are larger than the receiver takes", close=True)
BAD_REQUEST = error(400, "bad_request", "this is not an HTTP/1.1 request that the receiver accepts", close=True)
ENCODED = error(415, "unsupported_encoding", "send the body without Content-Encoding")
CUT = error(408, "timeout", "the body did not arrive in time", close=True)
NOT_FOUND = error(404, "not_found", "no such path; send events to POST /v1/events")
POST_ONLY = error(405, "method_not_allowed", "use POST", ("allow", "POST"))
GET_ONLY = error(405, "method_not_allowed", "use GET", ("allow", "GET, HEAD"))
HEALTHY = Response(200, "", (JSON,), b'{"status":"ok"}')
UNKNOWN_SENDER = {
    "bad_signature": "the sender is not known by its signature",
    "bad_token": "the sender is not known by its Authorization header",
    "stale": "the timestamp is outside the replay window",
}
"""Messages of a 401, by its code."""

CHALLENGES: dict[str, tuple[Header, ...]] = {
    "bearer": (("www-authenticate", 'Bearer realm="stream-router"'),),
    "basic": (("www-authenticate", 'Basic realm="stream-router", charset="UTF-8"'),),
}
"""WWW-Authenticate headers of a 401 (RFC 9110, 11.6.1), by scheme. Schemes that sign have no registered name."""


@functools.cache
def unauthorized(code: str, scheme: str) -> Response:
    """Return the 401 for an unknown sender, with the scheme's challenge."""
    return error(401, code, UNKNOWN_SENDER[code], *CHALLENGES.get(scheme, ()))
