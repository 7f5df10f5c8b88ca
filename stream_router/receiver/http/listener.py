"""Accepts connections: counted at once, with a time for their TLS handshake, and never without a descriptor left."""

import asyncio
import errno
import functools
import logging
import socket
import ssl
from collections.abc import Callable

from stream_router.log import Seldom
from stream_router.receiver.http.connection import Connection
from stream_router.receiver.http.connections import Connections

log = logging.getLogger(__name__)

BACKLOG = 4096
AT_ONCE = 256
"""Connections taken in one round of the loop."""
AT_ONCE_OF_TLS = 8
"""The same where each of them costs a handshake, which is half a millisecond or more: all of them are one round."""
NO_FILES_PAUSE_S = 0.05
_NO_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Listener:
    """A listening socket on the loop. `tls` gives the context for a new connection, or None for plain HTTP."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        connections: Connections,
        make: Callable[[str, socket.socket], Connection],
        tls: Callable[[], ssl.SSLContext | None],
        handshake_timeout_s: float,
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._connections = connections
        self._make = make
        self._tls = tls
        self._handshake_timeout_s = handshake_timeout_s
        self._seldom = Seldom(loop.time)
        self._open = True
        loop.add_reader(sock.fileno(), self._accept)

    def close(self) -> None:
        """Take no more connections than the kernel has taken already: those would be reset, their requests unread."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._socket.fileno())
            for _ in range(BACKLOG):
                if not self._accept():
                    break
            self._socket.close()

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
        connection = self._make(client, sock)
        if not self._connections.admit(connection):
            sock.close()
            return
        sock.setblocking(False)
        connection.opening = opening = self._loop.create_task(self._open_it(sock, connection))
        opening.add_done_callback(functools.partial(self._opened, sock, connection))

    async def _open_it(self, sock: socket.socket, connection: Connection) -> None:
        context = self._tls()
        timeout_s = self._handshake_timeout_s if context is not None else None
        await self._loop.connect_accepted_socket(lambda: connection, sock, ssl=context, ssl_handshake_timeout=timeout_s)

    @staticmethod
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


def listening(host: str, port: int, *, shared: bool) -> socket.socket:
    """A socket that listens; `shared` between workers, among which the kernel divides connections. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=shared)
    sock.setblocking(False)
    return sock
