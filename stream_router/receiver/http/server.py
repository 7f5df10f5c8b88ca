"""The HTTP server of one worker: a listener, its connections, and how they end."""

import asyncio
import socket
from typing import cast

from stream_router.receiver.http.app import App
from stream_router.receiver.http.connection import Connection
from stream_router.receiver.http.connections import Connections
from stream_router.receiver.http.listener import Listener, listening
from stream_router.receiver.http.loop_clock import LoopClock
from stream_router.receiver.http.request import Limits
from stream_router.receiver.http.tls import Tls
from stream_router.receiver.http.turns import Turns
from stream_router.settings import types
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import split_host_port
from stream_router.telemetry.receiver.receiver_stats import Stats

LOOK_EVERY_S = 0.02
LAST_REQUEST_S = 1.0
"""What a sender that has nothing under way has for one more request, or its first, once the receiver ends: the answer
tells it that the connection closes. Were it closed at once, a request that is on its way would have no answer."""

HANDSHAKE_S = 3.0
"""What it then waits for a TLS handshake: before that no request can come. A thousand at once take half a second."""


HEADER_BYTES = 16_384
"""The largest head of a request: what nginx and most load balancers take, and more than any webhook's."""

IDLE_S = 75.0
"""What a connection may wait for its next request, or its head take. Longer than AWS's load balancers keep an idle one
(60 s): else one would send on a connection that is just being closed, and answer 502."""

BODY_S = 10.0
"""What a body, an answer, a handshake or a connection's first head may take: ten times as long as a sender waits."""

UNKNOWN_S = 30.0
"""How long a connection may be open that never carried a request of a known sender."""


class HttpServer:
    """Serves from its construction on. Raises OSError where nothing can listen there."""

    def __init__(self, settings: Receiver, app: App, tls: Tls, stats: Stats, clock: LoopClock, *, shared: bool) -> None:
        loop = asyncio.get_running_loop()
        sock = listening(*split_host_port(settings.listen), shared=shared)
        self._loop = loop
        self._stats = stats
        self._drain_delay_s = settings.drain_delay_s
        self._connections = Connections(
            loop,
            settings.max_connections,
            settings.client_connections,
            types.networks(settings.trusted_proxies),
            stats,
        )
        limits = Limits(
            HEADER_BYTES,
            settings.max_body_bytes,
            IDLE_S,
            BODY_S,
            write_timeout_s=BODY_S,
            unknown_for_s=UNKNOWN_S,
        )

        turns = Turns(loop, clock)

        def make(client: str, sock: socket.socket) -> Connection:
            return Connection(client, sock, loop, self._connections, app, limits, turns)

        self._listener = Listener(loop, sock, self._connections, make, lambda: tls.context, BODY_S)

    async def drain(self, within_s: float) -> bool:
        """Take no more connections, answer what is in and comes soon, at most so long; whether all of it was."""
        self._listener.close()
        told_s = self._loop.time() - self._drain_delay_s
        deadline_s = self._loop.time() + within_s
        while open_ones := [cast("Connection", one) for one in self._connections.all]:
            now_s = self._loop.time()
            for connection in open_ones:
                waited_s = now_s - max(told_s, connection.accepted_s)
                if connection.opening is not None and waited_s >= HANDSHAKE_S:
                    connection.cut()
                elif waited_s >= LAST_REQUEST_S:
                    connection.close_if_idle()
            if now_s >= deadline_s:
                break
            await asyncio.sleep(LOOK_EVERY_S)
        left = [cast("Connection", one) for one in self._connections.all]
        for connection in left:
            connection.cut()
        self._connections.stop()
        return not left
