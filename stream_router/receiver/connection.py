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
from stream_router.receiver.events import REQUEST_FAILED
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
"""Bytes that are parsed at once: of a head, and of a body.

A connection's turn ends after a piece of a head, so that other connections get their turn between pipelined requests.
Reading pauses at BODY_PIECE_BYTES unparsed bytes.
"""
UNREAD_DEADLINE_BYTES, MAX_UNREAD_BYTES = 64 * 1024, 256 * 1024
"""Bytes written that the client has not read.

Above the first number a deadline starts. Above the second the connection is cut.
"""


class Connection(asyncio.Protocol):
    """A client's connection, from accept to its end."""

    def __init__(self, client: str, server: "HttpServer") -> None:
        self.client = client
        self.held_bytes = self._framing_bytes = 0
        """Bytes of this connection that the server counts as held; bytes parsed since the last part of a body."""
        self.accepted_s = server.loop.time()
        self.deadline_s = self.accepted_s + HEAD_S
        self.opening: asyncio.Task[Any] | None = None
        """Task that opens the connection (the handshake, with TLS); None once the connection is open."""
        self._loop, self._app, self._server = server.loop, server.app, server
        self._transport: asyncio.Transport | None = None
        self._parser: Any = httptools.HttpRequestParser(self)
        self._request: Request | None = None
        self._waiting: deque[Request] = deque()
        self._unparsed, self._body = b"", cast("bytes | bytearray", b"")
        self._read_s = 0.0
        """Time at which the first of the unparsed bytes were read, in monotonic seconds."""
        self._early_answer: Response | None = None
        """Answer to the present request that its head alone decides; None if its body is needed."""
        self._in_head, self._known = True, False
        self._discarding = self._queued = self._working = self._paused = self._stalled = False
        """Whether bytes are dropped; a turn is awaited; parsing goes on; reading is paused; answers are unread."""

    # --- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=UNREAD_DEADLINE_BYTES)
        self.opening = None

    def connection_lost(self, error: Exception | None) -> None:
        self.forget()

    def forget(self) -> None:
        """Drop all references. In a reference cycle a closed connection would stay in memory for half an hour."""
        self._transport, self._parser, self._request = None, None, None
        self._unparsed, self._body, self._discarding = b"", b"", True
        self._server.remove(self)

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
        """Read again from a client that has read its answers."""
        self._stalled = False
        self._set_deadline(math.inf if self._waiting else self._loop.time() + self._idle_s)
        self._resume()

    def _pause(self) -> None:
        """Stop reading for now. Further bytes of the client wait in the kernel."""
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        """Parse the unparsed bytes, or read again if there are none. Do nothing if the connection must wait."""
        if self._discarding or self._working or self._queued or self._must_wait:
            return
        if self._unparsed:
            # The wait so far was for the client or the stream. It must not count as a sign of overload.
            self._read_s = time.monotonic()
            self._wait_for_turn()
        elif self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    @property
    def _must_wait(self) -> bool:
        """Whether parsing has to wait: the client does not read its answers, or too many requests have no answer."""
        return self._stalled or len(self._waiting) >= WAITING_ANSWERS

    # --- the parser's side

    def _report_held_bytes(self) -> None:
        self._server.record_held_bytes(self, len(self._unparsed) + len(self._body))

    def _wait_for_turn(self) -> None:
        """Register the connection for its turn to parse. Stop reading if enough bytes are unparsed."""
        self._report_held_bytes()
        if len(self._unparsed) >= BODY_PIECE_BYTES:
            self._pause()
        if not self._queued:
            self._queued = True
            self._server.wait_for_turn(self)

    def work(self) -> None:
        """Parse the bytes that were read. After a piece of a head let the other connections take their turn."""
        self._queued, self._working = False, True
        while self._unparsed and not self._discarding and not self._must_wait:
            self._parse_piece()
            if self._unparsed and self._in_head:
                break
        self._working = False
        self._report_held_bytes()
        if self._discarding:
            return
        if self._must_wait:
            self._pause()
        elif self._unparsed:
            self._pause()
            self._wait_for_turn()
        elif self._paused:
            self._resume()

    def _parse_piece(self) -> None:
        """Parse the first unparsed bytes. Refuse a request whose head or framing is too large."""
        size = HEAD_PIECE_BYTES if self._in_head else BODY_PIECE_BYTES
        piece, self._unparsed = self._unparsed[:size], self._unparsed[size:]
        # This counts trailers as well, which httptools keeps in memory and copies with each packet.
        self._framing_bytes += len(piece)
        self._feed(piece)
        # `Request.read_head` checks the exact limits, without separators. These checks bound a head that never ends.
        has_too_many_fields = self._request is not None and len(self._request.fields) > MAX_FIELDS
        if has_too_many_fields or self._framing_bytes > MAX_HEAD_BYTES + HEAD_PIECE_BYTES:
            self._refuse(answers.HEADERS_TOO_LARGE)

    def _feed(self, piece: bytes) -> None:
        """Pass bytes to the parser. Refuse the request if they are not valid HTTP, or if handling them fails."""
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            # The receiver ignores the upgrade, since it speaks no other protocol. llhttp would now leave the body
            # unparsed. A second parser therefore gets a head with nothing but the body's framing, then the body.
            if self._request is not None and not self._discarding:
                self._parser = httptools.HttpRequestParser(_BodyCallbacks(self))
                self._feed(_build_body_head(self._request.headers) + piece[upgrade.args[0] :])
        except httptools.HttpParserCallbackError:
            log.exception(REQUEST_FAILED, extra={"event": "request-failed"})
            self._refuse(answers.TROUBLE)
        except httptools.HttpParserError:
            self._refuse(answers.BAD_REQUEST)

    def on_message_begin(self) -> None:
        if self._discarding:
            return
        self._in_head, self._early_answer = True, None
        self._request = Request(self)
        if not self._waiting:
            self._set_deadline(self._loop.time() + HEAD_S)

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
        self._in_head, self._body, self._framing_bytes = False, b"", 0
        request.method = self._parser.get_method().decode("latin-1")
        self._set_deadline(self._loop.time() + BODY_S)
        self._early_answer = request.read_head(self._parser.get_http_version()) or self._app.begin(request)
        if self._early_answer is None and (request.announced_bytes or 0) > self._app.max_body_bytes:
            self._early_answer = answers.TOO_LARGE
        if self._early_answer is not None:
            # A short body is read and dropped, so that the connection can be kept.
            if self._early_answer.close or request.is_long or request.expects:
                self._refuse(self._early_answer)
        elif request.expects and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._framing_bytes = 0
        if self._request is None or self._early_answer is not None:
            return
        if not self._body:
            self._body = body  # most bodies come in one piece, and are not copied
        elif isinstance(self._body, bytearray):
            self._body += body
        else:
            self._body = bytearray(self._body) + body
        if len(self._body) > self._app.max_body_bytes:
            self._refuse(answers.TOO_LARGE)

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            return  # llhttp ends the message after the head; `_feed` handles the body
        request = self._request
        if request is None or self._discarding:
            return
        self._framing_bytes, self._in_head = 0, True
        request.keep_alive = self._parser.should_keep_alive()
        request.read_s = self._read_s
        self._waiting.append(request)
        self._set_deadline(math.inf)
        request.body, self._body, self._request = bytes(self._body), b"", None
        try:
            answer = self._early_answer or self._app.complete(request)
        except Exception:
            # A defect is the receiver's fault, so the answer is 503, which asks the sender to retry.
            log.exception(REQUEST_FAILED, extra={"event": "request-failed"})
            answer = answers.TROUBLE
        if answer is not None:
            request.finish(answer)

    # --- answers, and the end

    def mark_known(self) -> None:
        """Mark the connection as used by a known sender, so that it is not closed to make room for others."""
        if not self._known:
            self._known = True
            self._server.mark_known(self)

    def find_sender(self, headers: Headers) -> str:
        """Return the address of the request's sender, also behind trusted proxies."""
        return self._server.find_client(self.client, headers)

    def flush(self) -> None:
        """Write the answers that are ready, in the order of their requests."""
        waiting, transport = self._waiting, self._transport
        while waiting and (answer := waiting[0].answer) is not None:
            request = waiting.popleft()
            self._app.count_answer(request, answer)
            if transport is None:
                continue
            close = answer.close or not request.keep_alive or self._app.draining
            kept_s = int(self._idle_s) - 1  # less than the real limit, since the answer takes time to arrive
            transport.write(answer.wire(close=close, head_only=request.method == "HEAD", kept_s=kept_s))
            if close:
                self._end()
                return
            if transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
                self.cut()
                return
        if transport is not None and not waiting:
            # A part of the next request may have been read already, while these answers were missing.
            begun = self._request is not None or self._unparsed
            rest_s = HEAD_S if self._in_head else BODY_S
            self._set_deadline(self._loop.time() + (rest_s if begun else self._idle_s))
        if self._paused:
            self._resume()

    @property
    def _idle_s(self) -> float:
        return IDLE_S if self._known else HEAD_S

    def _set_deadline(self, deadline_s: float) -> None:
        """Set the connection's deadline, unless the deadline for reading answers applies."""
        if not self._stalled:
            self.deadline_s = deadline_s

    def overdue(self) -> None:
        """End the connection at its deadline.

        A request with an unfinished body is answered 408; 503 if the receiver itself has not read the body. Otherwise
        the connection is cut.
        """
        if self._request is not None and not self._in_head and not self._discarding and not self._stalled:
            self._refuse(answers.BUSY if self._unparsed or self._paused else answers.CUT)
        else:
            self.cut()

    def make_room(self) -> None:
        """Refuse the request in progress and drop its bytes. The server chose this connection as one of the largest."""
        self._refuse(answers.BUSY)

    def cut(self) -> None:
        """End the connection now, whatever is in progress."""
        if self.opening is not None:
            self.opening.cancel()
        if self._transport is not None:
            self._transport.abort()

    def close_if_idle(self) -> None:
        """Close the connection if it has no request in progress. With TLS the client has LINGER_S to close its side."""
        if self._transport is not None and not self._waiting and self._request is None and not self._unparsed:
            self._transport.close()
            self.deadline_s = min(self.deadline_s, self._loop.time() + LINGER_S)

    def _refuse(self, answer: Response) -> None:
        """Give this answer to the present request, read nothing more, and end the connection.

        The answers to earlier requests are written first.
        """
        if self._discarding:
            return
        request, self._request = self._request or Request(self), None
        self._discarding, request.keep_alive = True, False
        self._unparsed, self._body = b"", b""
        self._report_held_bytes()
        if request not in self._waiting:
            self._waiting.append(request)
        request.finish(answer)

    def _end(self) -> None:
        """Write no more, but read on for LINGER_S if possible.

        Closing with unread bytes would reset the connection, and the client might then miss the last answer.
        """
        self._discarding, self._unparsed, self._body = True, b"", b""
        self._waiting.clear()
        self._report_held_bytes()
        self.deadline_s = self._loop.time() + LINGER_S
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not transport.can_write_eof():  # TLS cannot close a single direction
            transport.close()
            return
        # The call raises if the client has reset the connection; `connection_lost` is called in a moment.
        with contextlib.suppress(OSError):
            transport.write_eof()
        if self._paused:
            self._paused = False
            transport.resume_reading()


class _BodyCallbacks:
    """Parser callbacks that pass the body and its end to `owner`, which has parsed the head already."""

    def __init__(self, owner: Connection) -> None:
        self.on_body, self.on_message_complete = owner.on_body, owner.on_message_complete


def _build_body_head(headers: Headers) -> bytes:
    """Return a request head with nothing but the body's framing from these headers, and Connection: close."""
    length = headers.get("content-length").encode()
    framing = (
        b"Transfer-Encoding: chunked" if "transfer-encoding" in headers else b"Content-Length: " + (length or b"0")
    )
    return b"POST / HTTP/1.1\r\nConnection: close\r\n" + framing + b"\r\n\r\n"
