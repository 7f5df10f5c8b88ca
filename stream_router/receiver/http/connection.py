"""One HTTP/1.1 connection: what a request may cost, how long it may take, and its answers in order.

llhttp (by httptools) parses; everything that a client could hold or delay is bounded here, from accept to the last byte
that it reads.
"""

import asyncio
import math
import socket
from collections import deque
from typing import Any, cast

from stream_router.receiver.http import answers, parse
from stream_router.receiver.http.answers import Response
from stream_router.receiver.http.connections import Connections
from stream_router.receiver.http.flow import LINGER_S, Flow
from stream_router.receiver.http.request import MAX_FIELDS, Handler, Limits, Request
from stream_router.receiver.http.turns import Turn, Turns


class Connection(asyncio.Protocol):
    """A connection from accept to its end."""

    def __init__(
        self,
        client: str,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        connections: Connections,
        handler: Handler,
        limits: Limits,
        turns: Turns,
    ) -> None:
        self.client = self.sender = client
        self.reading_bytes = self._beside_bytes = 0
        self.accepted_s = loop.time()
        self.deadline_s = self.accepted_s + limits.body_timeout_s
        self.opening: asyncio.Task[Any] | None = None
        self._loop, self._connections, self._handler, self._limits = loop, connections, handler, limits
        self._transport: asyncio.Transport | None = None
        self._parser = parse.parser(self)
        self._request: Request | None = None
        self._waiting: deque[Request] = deque()
        self._body: bytes | bytearray = b""
        self._early: Response | None = None
        self._in_head, self._discarding, self._known = True, False, False
        self._flow = Flow(sock)
        self._turn = Turn(turns, self._feed, self._flow.waited_s, known=connections.stands(client))
        self._rest, self._left_of_the_unknown = b"", limits.answers_to_the_unknown

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._flow.attach(self._transport)
        self.opening = None

    def connection_lost(self, error: Exception | None) -> None:
        self.gone()

    def gone(self) -> None:
        """It is closed, or never opened: no circle holds it, which would wait half an hour for the collector."""
        self._transport, self._parser, self._request, self._rest = None, None, None, b""
        self._turn.end()
        self._connections.gone(self)

    def known(self) -> None:
        """A sender that is known uses this connection."""
        if not self._known:
            self._known = self._turn.known = True
            self._connections.known(self)

    def cut(self) -> None:
        """End it now, whatever is under way."""
        if self.opening is not None:
            self.opening.cancel()
        if self._transport is not None:
            self._transport.abort()

    def close_if_idle(self) -> None:
        """End it where nobody waits for an answer on it; with TLS its client has a moment to say so as well."""
        if self._transport is not None and not self._waiting and self._request is None and not self._rest:
            self._transport.close()
            self.deadline_s = min(self.deadline_s, self._loop.time() + LINGER_S)

    def cut_body(self) -> None:
        """Its body is not waited for any longer: others need the room."""
        self._refuse(answers.BUSY)

    def overdue(self, now_s: float) -> None:
        """Its time is over: a body gets its 408, or 503 where it waits for us; everything else is closed."""
        in_body = self._request is not None and not self._in_head and not self._discarding
        if in_body and self._flow.write_deadline_s > now_s:
            self._refuse(answers.BUSY if self._rest or self._flow.paused else answers.CUT)
        else:
            self.cut()

    def on_message_begin(self) -> None:
        self._in_head, self._early = True, None
        self._request = Request(self.flush, self.known, self._turn.waited_s)

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
        request.path = parse.path_of(request.url)
        refusal = request.read_head(self._limits.header_bytes, self._parser.get_http_version)
        self.sender = self._connections.client_of(self.client, request.headers)
        self._deadline(self._loop.time() + self._limits.body_timeout_s)
        self._early = refusal or self._handler.begin(request) or request.too_large(self._limits.body_bytes)
        if self._early is not None:
            if self._early.close or request.is_long or request.waits:
                self._refuse(self._early)
        elif request.waits and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._beside_bytes = 0
        if self._request is None or self._early is not None:
            return
        if not self._body:
            self._body = body  # most come whole: those are never copied
        elif isinstance(self._body, bytearray):
            self._body += body
        else:
            self._body = bytearray(self._body) + body
        if len(self._body) > self._limits.body_bytes:
            self._refuse(answers.TOO_LARGE)

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            return  # only its head is here
        request = self._request
        if request is None or self._discarding:
            return
        self._connections.read_no_more(self)
        self._beside_bytes, self._in_head = 0, True
        request.keep_alive = self._parser.should_keep_alive()
        self._waiting.append(request)
        self._deadline(math.inf)
        request.body, self._body = bytes(self._body), b""
        answer = self._early or self._handler.complete(request)  # where it raises, `_refuse` answers this one
        self._request = None
        if answer is not None:
            request.finish(answer)
        elif len(self._waiting) >= self._limits.waiting_answers:
            self._flow.pause()

    def data_received(self, data: bytes) -> None:
        self._rest = b"" if self._discarding else self._rest + data
        came = self._turn.came(len(data), kept=not self._discarding)
        if not came and max(len(data), len(self._rest)) >= parse.BODY_PIECE_BYTES:
            self._flow.pause()

    def _feed(self) -> None:
        """Parse what is there: of requests one after the other a little at a time, so that others come in between."""
        while self._rest and not self._discarding and self._flow.write_deadline_s == math.inf:
            piece, self._rest = parse.cut(self._rest, in_head=self._in_head)
            self._parse(piece)
            if self._rest and self._in_head:
                self._flow.pause()
                self._turn.again()
                return
        if len(self._waiting) < self._limits.waiting_answers and self._flow.write_deadline_s == math.inf:
            self._turn.read_on(self._flow)

    def _parse(self, piece: bytes) -> None:
        self._beside_bytes += len(piece)  # also trailers: httptools holds one, and joins it anew for each packet
        behind_head, refusal = parse.feed(self._parser, piece)
        if behind_head is not None and self._request is not None:
            self._parser = parse.parser_of_body(self)
            refusal = parse.feed(self._parser, parse.head_of_body(self._request.headers) + behind_head)[1]
        if refusal is not None:
            self._refuse(refusal)
        many = self._request is not None and len(self._request.fields) > MAX_FIELDS  # tiny ones take much memory
        if many or self._beside_bytes > self._limits.header_bytes:
            self._refuse(answers.HEADERS_TOO_LARGE)
        elif len(self._body) > self.reading_bytes:
            self._connections.reading(self, len(self._body) - self.reading_bytes)

    def eof_received(self) -> bool:
        """Half closed: what is in is answered all the same."""
        self._turn.hurry()
        if self._request is not None:
            self._refuse(answers.BAD_REQUEST)
        elif self._waiting:
            self._waiting[-1].keep_alive = False
        return bool(self._waiting) and self._flow.half_closes

    def pause_writing(self) -> None:
        self.deadline_s = self._flow.stalled(self._loop.time() + self._limits.write_timeout_s)

    def resume_writing(self) -> None:
        self._flow.flows()
        self._loop.call_soon(self._feed)
        self._deadline(math.inf if self._waiting else self._loop.time() + self._limits.header_timeout_s)

    def flush(self) -> None:
        """Write the answers that are there, in the order of their requests."""
        waiting = self._waiting
        while waiting and (answer := waiting[0].answer) is not None:
            request = waiting.popleft()
            self._handler.answered(request, answer)
            if self._transport is None:
                continue
            self._left_of_the_unknown -= not self._known
            self._turn.known &= self._known or answer.reason not in answers.REFUSED
            close = answer.close or not request.keep_alive or self._handler.closing or not self._left_of_the_unknown
            head_only, kept_s = request.method == "HEAD", self._limits.kept_s
            reads = self._flow.write(answer.wire(close=close, head_only=head_only, kept_s=kept_s))
            if close:
                self._discarding = True
                waiting.clear()
                self.deadline_s = self._loop.time() + LINGER_S
                self._flow.end()
                return
            if not reads:
                self.cut()
                return
        if not waiting and self._transport is not None:
            # What is here of the next request, if anything, may have been read no further while these waited.
            timeout_s = self._limits.header_timeout_s if self._in_head else self._limits.body_timeout_s
            self._deadline(self._loop.time() + timeout_s)
            if self._flow.write_deadline_s == math.inf and not self._rest:
                self._flow.read_on()

    def _deadline(self, deadline_s: float) -> None:
        """When its time is over; who is not known has a last one from accept on, between requests."""
        if not self._known and not self._waiting:
            deadline_s = min(deadline_s, self.accepted_s + self._limits.unknown_for_s)
        self.deadline_s = min(deadline_s, self._flow.write_deadline_s)

    def _refuse(self, answer: Response) -> None:
        """Answer behind what is still waiting, read nothing more, and end."""
        if self._discarding:
            return
        request, self._request = self._request or Request(self.flush, self.known, self._turn.waited_s), None
        self._discarding, self._body, request.keep_alive = True, b"", False
        self._connections.read_no_more(self)
        if request not in self._waiting:
            self._waiting.append(request)
        request.finish(answer)
