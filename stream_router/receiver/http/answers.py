"""What the receiver says: every answer's status, headers and body, the errors ready-made."""

from typing import NamedTuple

import orjson

Header = tuple[str, str]
JSON: Header = ("content-type", "application/json")
RETRY_AFTER: Header = ("retry-after", "2")
CLOSE: Header = ("connection", "close")


class Response(NamedTuple):
    """One HTTP answer."""

    status: int
    headers: list[Header]
    body: bytes


def error(status: int, code: str, message: str, *headers: Header) -> Response:
    """An error's answer: `{"error":code,"message":…}`, with Retry-After where the trouble is ours."""
    extra = [RETRY_AFTER] if status == 503 else []
    return Response(status, [JSON, *extra, *headers], orjson.dumps({"error": code, "message": message}))


def accepted(identities: list[str]) -> Response:
    """The 202 of stored events, their ids in the order of the body."""
    # Ids are hex digits: nothing to escape.
    ids = '","'.join(identities)
    quoted = f'"{ids}"' if identities else ""
    return Response(202, [JSON], f'{{"accepted":{len(identities)},"ids":[{quoted}]}}'.encode())


UNAVAILABLE = error(503, "unavailable", "the events could not be stored in time; send them again")
BUSY = error(503, "unavailable", "too much is waiting to be stored; send it again", CLOSE)
TROUBLE = error(503, "unavailable", "the receiver is in trouble; send it again")
NOT_READY = error(503, "unavailable", "neither the stream nor the spill takes events")
TOO_LARGE = error(413, "too_large", "the body is larger than the receiver takes", CLOSE)
ENCODED = error(415, "unsupported_encoding", "send the body without Content-Encoding", CLOSE)
CUT = error(408, "timeout", "the body did not arrive in time", CLOSE)
BROKEN_OFF = error(400, "malformed_json", "the body ended too early", CLOSE)
NOT_FOUND = error(404, "not_found", "there is nothing here; events go to POST /v1/events")
POST_ONLY = error(405, "method_not_allowed", "use POST", ("allow", "POST"), CLOSE)
GET_ONLY = error(405, "method_not_allowed", "use GET", ("allow", "GET, HEAD"), CLOSE)
HEALTHY = Response(200, [JSON], b'{"status":"ok"}')
BAD_SIGNATURE = error(401, "bad_signature", "the sender is not known")
STALE = error(401, "stale", "the timestamp is outside the replay window")
REFUSED = {"bad_signature": BAD_SIGNATURE, "stale": STALE}
