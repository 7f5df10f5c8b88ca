"""The HTTP server: a listening socket, its connections, limits on what they may hold, and their end.

A connection counts from accept. It is *unknown* until it has carried a request of an authenticated sender. If there are
too many connections, the oldest unknown one is cut. A real sender authenticates within milliseconds; a client that only
occupies a connection does not.
"""

import asyncio
import errno
import functools
import ipaddress
import logging
import socket
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable

from stream_router.errors import SettingsError
from stream_router.log import LogLimiter
from stream_router.receiver.app import App
from stream_router.receiver.connection import HEAD_S, Connection
from stream_router.receiver.request import Headers
from stream_router.receiver.stats import Stats
from stream_router.settings import types
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import split_host_port

log = logging.getLogger(__name__)

BACKLOG = 4096
ACCEPTS_PER_ROUND = 256
"""Maximum number of connections accepted in a round of the loop."""
TLS_ACCEPTS_PER_ROUND = 8
"""The same limit with TLS. Each handshake takes half a millisecond or more of the round."""
NO_FILES_PAUSE_S = 0.05
"""Seconds for which nothing is accepted after the limit of open files was reached."""
_NO_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

SWEEP_INTERVAL_S = 0.25
MAX_READ_BYTES = 48 * 1024 * 1024
"""Maximum bytes of all requests that are incomplete, or read and not parsed.

Above this number the connections that hold the most bytes are refused, until a quarter is free. So the senders that
fill the memory lose their own requests. Ordinary bodies are not among the largest.
"""
WORK_S = 0.01
"""Maximum number of seconds for which a round of the loop parses requests.

The loop then handles answers of the stream and deadlines, before it parses on.
"""
MAX_ADDRESS_CHARS = 64
"""Maximum number of characters kept of an address: more than an IPv6 address with the name of an interface has."""

DRAIN_CHECK_INTERVAL_S = 0.02
LAST_REQUEST_S = 1.0
"""Seconds for which an idle connection stays open once the receiver drains.

A request that is on its way then still gets an answer, which announces that the connection closes.
"""
HANDSHAKE_S = 3.0
"""Seconds that a TLS handshake may take once the receiver drains. A thousand handshakes at once take 0.5 s."""


class HttpServer:
    """A server that accepts at `listener` from its construction on. `tls` returns the context for a new connection.

    The constructor raises SettingsError if the socket cannot listen.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: Receiver,
        listener: socket.socket,
        app: App,
        tls: Callable[[], ssl.SSLContext | None],
        stats: Stats,
    ) -> None:
        self.loop = loop
        self.app = app
        self._tls = tls
        self._stats = stats
        self._drain_delay_s = settings.drain_delay_s
        self._max_connections, self._max_client_connections = settings.max_connections, settings.client_connections
        self._proxies = types.parse_networks(settings.trusted_proxies)
        self.connections: set[Connection] = set()
        self._unknown: dict[Connection, None] = {}
        """Unknown connections, the oldest first."""
        self._unknown_by_client: Counter[str] = Counter()
        self._turns: deque[Connection] = deque()
        self._turns_due = False
        self._log_limiter = LogLimiter(loop.time)
        self._socket = listener
        self._open = True
        try:
            listener.listen(BACKLOG)
        except OSError as error:  # another process listens there already
            raise _cannot_listen(error) from None
        loop.add_reader(listener.fileno(), self._accept)
        self._sweep_again()

    # --- new connections

    def _accept(self) -> bool:
        """Accept a round's number of connections. Return whether more may be waiting."""
        for _ in range(ACCEPTS_PER_ROUND if self._tls() is None else TLS_ACCEPTS_PER_ROUND):
            try:
                sock, address = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                if error.errno in _NO_FILES:
                    self._pause_accepting()
                    return False
                continue  # the client has closed the connection already
            self.take(sock, str(address[0]))
        return True

    def take(self, sock: socket.socket, client: str) -> None:
        """Serve a client, or close its socket if there are too many connections and none can be cut."""
        connection = Connection(client, self)
        if not self.admit(connection):
            sock.close()
            return
        sock.setblocking(False)
        connection.opening = opening = self.loop.create_task(self._open_connection(sock, connection))
        opening.add_done_callback(functools.partial(_clean_up_opening, sock, connection))

    async def _open_connection(self, sock: socket.socket, connection: Connection) -> None:
        context = self._tls()
        timeout_s = HEAD_S if context is not None else None
        await self.loop.connect_accepted_socket(lambda: connection, sock, ssl=context, ssl_handshake_timeout=timeout_s)

    def admit(self, connection: Connection) -> bool:
        """Add a new connection, and cut another to make room if needed. Return whether the new one may stay."""
        client = connection.client
        # Behind a trusted proxy all senders have the proxy's address, so the limit of one client does not apply to it.
        if self._unknown_by_client[client] >= self._max_client_connections and not self._trusted(client):
            self._evict(next(other for other in self._unknown if other.client == client))
        if len(self.connections) >= self._max_connections and not self._make_room():
            return False
        self.connections.add(connection)
        self._stats.connections = len(self.connections)
        self._unknown[connection] = None
        self._unknown_by_client[client] += 1
        return True

    def _make_room(self) -> bool:
        """Cut the oldest unknown connection. Return False if there is none."""
        oldest = next(iter(self._unknown), None)
        if oldest is not None:
            self._evict(oldest)
        return oldest is not None

    def _evict(self, connection: Connection) -> None:
        self.remove(connection)
        connection.cut()

    def _pause_accepting(self) -> None:
        """Pause accepting, and cut a connection, since the process or the host has no file descriptor left."""
        self.loop.remove_reader(self._socket.fileno())
        self.loop.call_later(NO_FILES_PAUSE_S, self._accept_again)
        self._make_room()
        if self._log_limiter():
            log.error(
                "No file descriptor is left for a new connection. Senders wait or are cut, and have to send again. "
                "Raise the limit of open files (ulimit -n).",
                extra={"event": "files-used-up"},
            )

    def _accept_again(self) -> None:
        if self._open:
            self.loop.add_reader(self._socket.fileno(), self._accept)

    # --- reports of connections

    def mark_known(self, connection: Connection) -> None:
        """Record that a connection has carried a request of an authenticated sender."""
        if connection in self._unknown:
            del self._unknown[connection]
            self._unknown_by_client[connection.client] -= 1
            self._unknown_by_client += Counter()  # drops the counts that are 0

    def remove(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self.connections.discard(connection)
        self._stats.connections = len(self.connections)
        self.mark_known(connection)  # takes it from the unknown connections, if it is one
        self.record_held_bytes(connection, 0)

    def record_held_bytes(self, connection: Connection, size_bytes: int) -> None:
        """Record how many bytes of incomplete or unparsed requests a connection holds.

        If the connections together hold more than MAX_READ_BYTES, refuse those that hold the most.
        """
        stats = self._stats
        stats.read_bytes += size_bytes - connection.held_bytes
        connection.held_bytes = size_bytes
        if stats.read_bytes > MAX_READ_BYTES:
            for largest in sorted(self.connections, key=lambda other: other.held_bytes, reverse=True):
                # The bytes are subtracted first: `make_room` reports 0 bytes, and must not subtract them again.
                stats.read_bytes -= largest.held_bytes
                largest.held_bytes = 0
                largest.make_room()
                if stats.read_bytes <= MAX_READ_BYTES * 3 // 4:
                    break

    def find_client(self, peer: str, headers: Headers) -> str:
        """Return the sender's address: the peer's, unless the peer is a trusted proxy.

        Behind trusted proxies it is the rightmost address in X-Forwarded-For that is not a trusted proxy's.
        """
        if self._trusted(peer):
            forwarded = [item.strip() for value in headers.get_all("x-forwarded-for") for item in value.split(",")]
            for address in reversed(forwarded):
                if not self._trusted(address):
                    return address[:MAX_ADDRESS_CHARS]
        return peer

    def _trusted(self, address: str) -> bool:
        """Return whether the address belongs to a trusted proxy in front of the receiver."""
        if not self._proxies:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies if network.version == parsed.version)

    # --- turns and deadlines

    def wait_for_turn(self, connection: Connection) -> None:
        """Let a connection parse its bytes after all connections that wait now.

        Without turns, thousands of readable connections would be handled in one round of the loop. During that round no
        timer would run, and no answer of the stream would be read. The time that a request waits for its turn shows how
        overloaded the receiver is.
        """
        self._turns.append(connection)
        if not self._turns_due:
            self._turns_due = True
            self.loop.call_soon(self._work)

    def _work(self) -> None:
        """Let waiting connections parse for WORK_S, and the rest in the next round of the loop."""
        until_s = time.monotonic() + WORK_S
        try:
            while self._turns and time.monotonic() < until_s:
                self._turns.popleft().work()
        finally:
            self._turns_due = bool(self._turns)
            if self._turns_due:
                self.loop.call_soon(self._work)

    def _sweep(self) -> None:
        """End overdue connections.

        All connections share one timer, since a timer per request would cost more than verifying its signature.
        """
        now_s = self.loop.time()
        # The next sweep is scheduled first, so that it comes even if something below fails.
        self._sweep_again()
        for connection in [other for other in self.connections if other.deadline_s <= now_s]:
            try:
                connection.overdue()
            except Exception:
                log.exception(
                    "A connection did not end as it should, and was cut. Events are not affected. Report this error.",
                    extra={"event": "connection-not-ended"},
                )
                connection.cut()

    def _sweep_again(self) -> None:
        self._sweeper = self.loop.call_later(SWEEP_INTERVAL_S, self._sweep)

    # --- the end

    async def drain(self, within_s: float) -> bool:
        """Accept no more connections, and answer the last requests, for at most `within_s` seconds.

        Return whether all connections ended in time.
        """
        self._open = False
        self.loop.remove_reader(self._socket.fileno())
        # The kernel may have accepted further connections. Closing the socket would reset them, requests included.
        for _ in range(BACKLOG):
            if not self._accept():
                break
        self._socket.close()
        # Since this time `/readyz` has shown that the receiver is stopping.
        announced_s = self.loop.time() - self._drain_delay_s
        deadline_s = self.loop.time() + within_s
        while self.connections and self.loop.time() < deadline_s:
            for connection in list(self.connections):
                waited_s = self.loop.time() - max(announced_s, connection.accepted_s)
                if connection.opening is not None and waited_s >= HANDSHAKE_S:
                    connection.cut()
                elif waited_s >= LAST_REQUEST_S:
                    connection.close_if_idle()
            await asyncio.sleep(DRAIN_CHECK_INTERVAL_S)
        left = list(self.connections)
        for connection in left:
            connection.cut()
        self._sweeper.cancel()
        return not left


def _clean_up_opening(sock: socket.socket, connection: Connection, opening: "asyncio.Task[None]") -> None:
    """Clean up if the task of opening a connection failed or was cancelled.

    A cancelled task may never have begun, so a `finally` in it would not run.
    """
    error = None if opening.cancelled() else opening.exception()
    if error is None and not opening.cancelled():
        return
    sock.close()
    connection.opening = None
    connection.forget()
    if error is not None and not isinstance(error, OSError):
        raise error  # the loop logs it


def bind_socket(settings: Receiver) -> socket.socket:
    """Return a socket that is bound to the receiver's address, and does not listen yet. Raises SettingsError.

    With STREAM_ROUTER_REUSE_PORT other processes may share the address, and the kernel distributes connections.
    """
    try:
        host, port = split_host_port(settings.listen)
        # A name may have addresses of both families. IPv4 has the lower number, and is what a bare HOST means.
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
    return SettingsError("STREAM_ROUTER_LISTEN", f"cannot listen there ({reason})", "choose another HOST:PORT")
