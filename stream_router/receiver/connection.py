"""One HTTP/1.1 connection: limits on the size and time of its requests, and its answers in order.

llhttp (by httptools) parses. This module bounds everything that a client could hold or delay, from accept to the last
byte that the client reads.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import httptools

from stream_router.receiver import answers
from stream_router.receiver.answers import Response
from stream_router.receiver.request import MAX_FIELDS, MAX_HEAD_BYTES, Headers, Request

if TYPE_CHECKING:
    from stream_router.receiver.server import HttpServer

log = logging.getLogger(__name__)

HEAD_S = 10.0
"""Seconds for a request's head, for a TLS handshake, and for an idle connection without a known sender."""
BODY_S = 10.0
"""Seconds for a request's body, and for a client to read the bytes that were written."""
IDLE_S = 75.0
"""Seconds for a known sender's next request. Longer than the 60 s of an ALB or nginx, which must close first."""
WAITING_ANSWERS = 16
"""Number of requests of one connection that may wait for answers. The receiver then reads no more from the client."""
LINGER_S = 1.0
"""Seconds for which a closing connection may still send bytes, which are dropped, until it is cut."""

HEAD_PIECE_BYTES, BODY_PIECE_BYTES = 4 * 1024, 64 * 1024
"""Bytes parsed at once: of heads, and of a body.

A turn ends after a piece of heads, so that pipelined requests let others in. Reading pauses at as many unparsed bytes
as a body's piece has.
"""
UNREAD_BYTES, MOST_UNREAD_BYTES = 64 * 1024, 256 * 1024
"""Bytes written and not read by the client. Above the first a deadline starts; above the second the client is cut."""


class Connection(asyncio.Protocol):
    """A connection from accept to its end."""

    def __init__(self, client: str, server: "HttpServer") -> None:
        self.client = client
        self.held_bytes = self._beside_bytes = 0
        self.accepted_s = server.loop.time()
        self.deadline_s = self.accepted_s + HEAD_S
        self.opening: asyncio.Task[Any] | None = None
        self._loop, self._app, self._server = server.loop, server.app, server
        self._transport: asyncio.Transport | None = None
        self._parser: Any = httptools.HttpRequestParser(self)
        self._request: Request | None = None
        self._waiting: deque[Request] = deque()
        self._unparsed, self._body = b"", cast("bytes | bytearray", b"")
        self._read_s = 0.0
        """Time at which the first of the unparsed bytes were read, in monotonic seconds."""
        self._early: Response | None = None
        self._in_head, self._known = True, False
        self._discarding = self._queued = self._working = self._paused = self._stalled = False

    # --- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=UNREAD_BYTES)
        self.opening = None

    def connection_lost(self, error: Exception | None) -> None:
        self.gone()

    def gone(self) -> None:
        """Drop all references, since a closed connection in a cycle would wait half an hour for the collector."""
        self._transport, self._parser, self._request = None, None, None
        self._unparsed, self._body, self._discarding = b"", b"", True
        self._server.gone(self)

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            return
        if not self._unparsed:
            self._read_s = time.monotonic()
            self._unparsed = data
        else:
            self._unparsed += data
        self._wait_for_turn()

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read its answers, and start its deadline."""
        self._stalled = True
        self.deadline_s = self._loop.time() + BODY_S
        self._pause()

    def resume_writing(self) -> None:
        self._stalled = False
        self._deadline(math.inf if self._waiting else self._loop.time() + self._idle_s)
        self._go_on()

    def _pause(self) -> None:
        """Stop reading for now. Further bytes of the client wait in the kernel."""
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _go_on(self) -> None:
        """Parse the bytes that were read, and resume reading, if there is room again."""
        if self._discarding or self._working or self._queued or self._must_wait:
            return
        if self._unparsed:
            self._read_s = time.monotonic()  # the bytes waited for the client or the stream, not for the receiver
            self._wait_for_turn()
        elif self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    @property
    def _must_wait(self) -> bool:
        """Whether parsing has to wait until the client reads answers, or until there are answers."""
        return self._stalled or len(self._waiting) >= WAITING_ANSWERS

    # --- the parser's side

    def _hold(self) -> None:
        self._server.hold(self, len(self._unparsed) + len(self._body))

    def _wait_for_turn(self) -> None:
        self._hold()
        if len(self._unparsed) >= BODY_PIECE_BYTES:
            self._pause()
        if not self._queued:
            self._queued = True
            self._server.wait_for_turn(self)

    def work(self) -> None:
        """Parse the bytes that were read. Of pipelined requests parse only a piece, so that others get their turn."""
        self._queued, self._working = False, True
        while self._unparsed and not self._discarding and not self._must_wait:
            self._parse_piece()
            if self._unparsed and self._in_head:
                break
        self._working = False
        self._hold()
        if self._discarding:
            return
        if self._must_wait:
            self._pause()
        elif self._unparsed:
            self._pause()
            self._wait_for_turn()
        elif self._paused:
            self._go_on()

    def _parse_piece(self) -> None:
        data, size = self._unparsed, HEAD_PIECE_BYTES if self._in_head else BODY_PIECE_BYTES
        piece, self._unparsed = (data, b"") if len(data) <= size else (data[:size], data[size:])
        self._beside_bytes += len(piece)  # counts trailers too: httptools keeps a trailer, and joins it for each packet
        self._feed(piece)
        many = self._request is not None and len(self._request.fields) > MAX_FIELDS
        if many or self._beside_bytes > MAX_HEAD_BYTES + HEAD_PIECE_BYTES:
            self._refuse(answers.HEADERS_TOO_LARGE)

    def _feed(self, piece: bytes) -> None:
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            # The receiver speaks no other protocol, so the upgrade is ignored. llhttp would read the body as the other
            # protocol. A second parser therefore gets a head with the body's framing, and nothing else.
            if self._request is not None and not self._discarding:
                self._parser = httptools.HttpRequestParser(_BodyAlone(self))
                self._feed(_head_of_body(self._request.headers) + piece[upgrade.args[0] :])
        except httptools.HttpParserCallbackError:
            log.exception("a request failed in an unforeseen way", extra={"event": "request-failed"})
            self._refuse(answers.TROUBLE)
        except httptools.HttpParserError:
            self._refuse(answers.BAD_REQUEST)

    def on_message_begin(self) -> None:
        if self._discarding:
            return
        self._in_head, self._early = True, None
        self._request = Request(self)
        if not self._waiting:
            self._deadline(self._loop.time() + HEAD_S)

    def on_url(self, url: bytes) -> None:
        if self._request is not None:
            self._request.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._request is not None and self._in_head:
            self._request.fields.append((name, value))

    def on_headers_complete(self) -> None:
        request = self._request
        if request is None or self._discarding:
            return
        self._in_head, self._body, self._beside_bytes = False, b"", 0
        request.method = self._parser.get_method().decode("latin-1")
        self._deadline(self._loop.time() + BODY_S)
        self._early = request.read_head(self._parser.get_http_version()) or self._app.begin(request)
        if self._early is None and (request.announced_bytes or 0) > self._app.max_body_bytes:
            self._early = answers.TOO_LARGE
        if self._early is not None:
            if self._early.close or request.is_long or request.expects:
                self._refuse(self._early)
        elif request.expects and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._beside_bytes = 0
        if self._request is None or self._early is not None:
            return
        if not self._body:
            self._body = body  # most bodies come whole, and are never copied
        elif isinstance(self._body, bytearray):
            self._body += body
        else:
            self._body = bytearray(self._body) + body
        if len(self._body) > self._app.max_body_bytes:
            self._refuse(answers.TOO_LARGE)

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            return  # only the request's head is here; `_feed` handles its body
        request = self._request
        if request is None or self._discarding:
            return
        self._beside_bytes, self._in_head = 0, True
        request.keep_alive = self._parser.should_keep_alive()
        request.read_s = self._read_s
        self._waiting.append(request)
        self._deadline(math.inf)
        request.body, self._body, self._request = bytes(self._body), b"", None
        try:
            answer = self._early or self._app.complete(request)
        except Exception:
            # An unforeseen failure is the receiver's fault, so the answer asks the sender to retry.
            log.exception("a request failed in an unforeseen way", extra={"event": "request-failed"})
            answer = answers.TROUBLE
        if answer is not None:
            request.finish(answer)

    # --- answers, and the end

    def known(self) -> None:
        """Mark the connection as used by a known sender, so that it is not closed to make room for others."""
        if not self._known:
            self._known = True
            self._server.known(self)

    def sender(self, headers: Headers) -> str:
        """Return the address that sent a request, even if our own proxies forwarded the request."""
        return self._server.client_of(self.client, headers)

    def flush(self) -> None:
        """Write the answers that are ready, in the order of their requests."""
        waiting, transport = self._waiting, self._transport
        while waiting and (answer := waiting[0].answer) is not None:
            request = waiting.popleft()
            self._app.answered(request, answer)
            if transport is None:
                continue
            close = answer.close or not request.keep_alive or self._app.draining
            kept_s = int(self._idle_s) - 1  # a second less than the true limit, since the answer takes time to arrive
            transport.write(answer.wire(close=close, head_only=request.method == "HEAD", kept_s=kept_s))
            if close:
                self._end()
                return
            if transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
                self.cut()
                return
        if transport is not None and not waiting:
            # A part of the next request may be here already: it may have been parsed no further while these waited.
            begun = self._request is not None or self._unparsed
            timeout_s = (HEAD_S if self._in_head else BODY_S) if begun else self._idle_s
            self._deadline(self._loop.time() + timeout_s)
        if self._paused:
            self._go_on()

    @property
    def _idle_s(self) -> float:
        return IDLE_S if self._known else HEAD_S

    def _deadline(self, deadline_s: float) -> None:
        """Set the connection's deadline. If the client does not read its answers, the deadline for that stays."""
        if not self._stalled:
            self.deadline_s = deadline_s

    def overdue(self) -> None:
        """End the connection at its deadline.

        An unfinished body is answered 408, or 503 if the body waits for the receiver. Any other connection is cut.
        """
        if self._request is not None and not self._in_head and not self._discarding and not self._stalled:
            self._refuse(answers.BUSY if self._unparsed or self._paused else answers.CUT)
        else:
            self.cut()

    def make_room(self) -> None:
        """Refuse the request in progress and drop its bytes: all connections hold too much, and this holds the most."""
        self._refuse(answers.BUSY)

    def cut(self) -> None:
        """End the connection now, whatever is in progress."""
        if self.opening is not None:
            self.opening.cancel()
        if self._transport is not None:
            self._transport.abort()

    def close_if_idle(self) -> None:
        """Close the connection if no request is on it. With TLS the client has LINGER_S to close its side."""
        if self._transport is not None and not self._waiting and self._request is None and not self._unparsed:
            self._transport.close()
            self.deadline_s = min(self.deadline_s, self._loop.time() + LINGER_S)

    def _refuse(self, answer: Response) -> None:
        """Answer after the requests that still wait, read nothing more, and end the connection."""
        if self._discarding:
            return
        request, self._request = self._request or Request(self), None
        self._discarding, request.keep_alive = True, False
        self._unparsed, self._body = b"", b""
        self._hold()
        if request not in self._waiting:
            self._waiting.append(request)
        request.finish(answer)

    def _end(self) -> None:
        """Write no more, and read on for LINGER_S if possible: closing on unread bytes would reset the answer."""
        self._discarding, self._unparsed, self._body = True, b"", b""
        self._waiting.clear()
        self._hold()
        self.deadline_s = self._loop.time() + LINGER_S
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not transport.can_write_eof():  # TLS cannot be closed in one direction only
            transport.close()
            return
        # asyncio's own loop raises if the client has reset the connection; `connection_lost` follows in a moment.
        with contextlib.suppress(OSError):
            transport.write_eof()
        if self._paused:
            self._paused = False
            transport.resume_reading()


class _BodyAlone:
    """Parser callbacks that pass only a body and its end to `owner`, which has the head already."""

    def __init__(self, owner: Connection) -> None:
        self.on_body, self.on_message_complete = owner.on_body, owner.on_message_complete


def _head_of_body(headers: Headers) -> bytes:
    """Return a head that holds only these headers' framing of the body, and lets no further request follow."""
    length = headers.get("content-length").encode()
    framing = (
        b"Transfer-Encoding: chunked" if "transfer-encoding" in headers else b"Content-Length: " + (length or b"0")
    )
    return b"POST / HTTP/1.1\r\nConnection: close\r\n" + framing + b"\r\n\r\n"
