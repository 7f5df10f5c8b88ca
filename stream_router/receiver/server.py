"""The HTTP server: a listening socket, its connections, and how they end.

Connections are counted at once, have a time for their TLS handshake, and never leave the process without a descriptor.
"""

import asyncio
import errno
import functools
import logging
import socket
import ssl
from collections.abc import Callable

from stream_router.errors import SettingsError
from stream_router.log import Seldom
from stream_router.receiver.app import App
from stream_router.receiver.connection import HEAD_S, Connection
from stream_router.receiver.connections import Connections, Turns
from stream_router.receiver.stats import Stats
from stream_router.settings import types
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import split_host_port

log = logging.getLogger(__name__)

BACKLOG = 4096
AT_ONCE = 256
"""Connections taken in one round of the loop."""
AT_ONCE_OF_TLS = 8
"""The same where each of them costs a handshake, which is half a millisecond or more: all of them are one round."""
NO_FILES_PAUSE_S = 0.05
_NO_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

LOOK_EVERY_S = 0.02
LAST_REQUEST_S = 1.0
"""What a sender that has nothing under way has for one more request, or its first, once the receiver ends: the answer
tells it that the connection closes. Were it closed at once, a request that is on its way would have no answer."""
HANDSHAKE_S = 3.0
"""What it then waits for a TLS handshake: before that no request can come. A thousand at once take half a second."""


class HttpServer:
    """Serves at `listener` from its construction on; `tls` gives a new connection's context. Raises SettingsError."""

    def __init__(
        self,
        settings: Receiver,
        listener: socket.socket,
        app: App,
        tls: Callable[[], ssl.SSLContext | None],
        stats: Stats,
    ) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._app, self._tls = app, tls
        self._drain_delay_s = settings.drain_delay_s
        self._socket = listener
        try:
            listener.listen(BACKLOG)
        except OSError as error:  # somebody was quicker
            raise _cannot_listen(error) from None
        proxies = types.networks(settings.trusted_proxies)
        self._connections = Connections(loop, settings.max_connections, settings.client_connections, proxies, stats)
        self._turns = Turns(loop)
        self._seldom = Seldom(loop.time)
        self._open = True
        loop.add_reader(self._socket.fileno(), self._accept)

    async def drain(self, within_s: float) -> bool:
        """Take no more connections, answer what is in and comes soon, at most so long; whether all of it was."""
        self._open = False
        self._loop.remove_reader(self._socket.fileno())
        # What the kernel has taken already would be reset, its requests unread.
        for _ in range(BACKLOG):
            if not self._accept():
                break
        self._socket.close()
        told_s = self._loop.time() - self._drain_delay_s
        deadline_s = self._loop.time() + within_s
        while open_ones := list(self._connections.all):
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
        left = list(self._connections.all)
        for connection in left:
            connection.cut()
        self._connections.stop()
        return not left

    def _accept(self) -> bool:
        """Take some connections; whether there may be more."""
        for _ in range(AT_ONCE if self._tls() is None else AT_ONCE_OF_TLS):
            try:
                sock, address = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                if error.errno in _NO_FILES:
                    self._no_files()
                    return False
                continue  # the client is gone already
            self._take(sock, str(address[0]))
        return True

    def _take(self, sock: socket.socket, client: str) -> None:
        connection = Connection(client, self._loop, self._connections, self._app, self._turns)
        if not self._connections.admit(connection):
            sock.close()
            return
        sock.setblocking(False)
        connection.opening = opening = self._loop.create_task(self._open_it(sock, connection))
        opening.add_done_callback(functools.partial(_opened, sock, connection))

    async def _open_it(self, sock: socket.socket, connection: Connection) -> None:
        context = self._tls()
        timeout_s = HEAD_S if context is not None else None
        await self._loop.connect_accepted_socket(lambda: connection, sock, ssl=context, ssl_handshake_timeout=timeout_s)

    def _no_files(self) -> None:
        """No descriptor is left, though a reserve is kept: somebody else took them. Make room and pause."""
        self._loop.remove_reader(self._socket.fileno())
        self._loop.call_later(NO_FILES_PAUSE_S, self._again)
        self._connections.make_room()
        if self._seldom():
            log.error(
                "no open file is left for a connection; raise the limit of open files (ulimit -n)",
                extra={"event": "files-used-up"},
            )

    def _again(self) -> None:
        if self._open:
            self._loop.add_reader(self._socket.fileno(), self._accept)


def _opened(sock: socket.socket, connection: Connection, opening: "asyncio.Task[None]") -> None:
    """It is open, or its client went or was sent away: perhaps before it began, so no `finally` of it would do."""
    error = None if opening.cancelled() else opening.exception()
    if error is None and not opening.cancelled():
        return
    sock.close()
    connection.opening = None
    connection.gone()
    if error is not None and not isinstance(error, OSError):
        raise error


def bound(settings: Receiver) -> socket.socket:
    """A socket at the receiver's address, which does not listen yet. Raises SettingsError.

    With STREAM_ROUTER_REUSE_PORT others may be there too, and the kernel divides connections among them.
    """
    try:
        host, port = split_host_port(settings.listen)
        # A name may have addresses of both kinds; IPv4 is the lower number, and what a bare HOST meant always.
        family, _, _, _, address = min(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.reuse_port == "on":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
    except (OSError, UnicodeError) as error:
        raise _cannot_listen(error) from None
    sock.setblocking(False)
    return sock


def _cannot_listen(error: Exception) -> SettingsError:
    reason = getattr(error, "strerror", None) or "no such address"
    return SettingsError(f"STREAM_ROUTER_LISTEN: cannot listen there ({reason}); choose another HOST:PORT")
