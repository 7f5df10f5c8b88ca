"""The HTTP server: a listening socket, its connections, limits on what they may hold, and their end.

Connections are counted from accept. A connection is *unknown* until it has carried a request of an authenticated
sender. If there is no room, the oldest unknown connection is cut. A real sender authenticates within milliseconds; a
client that only occupies a place does not.
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
from stream_router.log import Seldom
from stream_router.receiver.app import App
from stream_router.receiver.connection import HEAD_S, Connection
from stream_router.receiver.request import Headers
from stream_router.receiver.stats import Stats
from stream_router.settings import types
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import split_host_port

log = logging.getLogger(__name__)

BACKLOG = 4096
AT_ONCE = 256
"""Maximum number of connections accepted in a round of the loop."""
AT_ONCE_OF_TLS = 8
"""The same limit with TLS: each handshake takes half a millisecond or more, and all of them block the same round."""
NO_FILES_PAUSE_S = 0.05
_NO_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

SWEEP_EVERY_S = 0.25
MAX_READ_BYTES = 48 * 1024 * 1024
"""Maximum bytes of all requests that are incomplete, or read and not parsed.

Above it the connections that hold the most bytes are refused until a quarter is free. The senders that fill the memory
thus lose their own requests, and an ordinary body is never among the largest.
"""
WORK_S = 0.01
"""Maximum number of seconds for which a round of the loop parses requests.

Answers of the stream and deadlines are handled between these rounds.
"""
LONGEST_ADDRESS_CHARS = 64
"""Maximum number of characters kept of an address: more than an IPv6 address with the name of an interface has."""

DRAIN_LOOK_EVERY_S = 0.02
LAST_REQUEST_S = 1.0
"""Seconds that an idle sender has for a first or further request once the receiver ends.

The answer announces that the connection closes. If the connection were closed at once, a request on its way would get
no answer.
"""
HANDSHAKE_S = 3.0
"""Seconds that a TLS handshake may then take, since no request can come earlier. A thousand at once take 0.5 s."""


class HttpServer:
    """A server that serves at `listener` from its construction on. `tls` returns the context for a new connection.

    Raises SettingsError if it cannot listen.
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
        self._most, self._most_of_client = settings.max_connections, settings.client_connections
        self._proxies = types.parse_networks(settings.trusted_proxies)
        self.connections: set[Connection] = set()
        self._unknown: dict[Connection, None] = {}
        """Unknown connections, the oldest first."""
        self._unknown_of: Counter[str] = Counter()
        self._turns: deque[Connection] = deque()
        self._turns_due = False
        self._seldom = Seldom(loop.time)
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
        """Accept a batch of connections. Return whether more may be waiting."""
        for _ in range(AT_ONCE if self._tls() is None else AT_ONCE_OF_TLS):
            try:
                sock, address = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                if error.errno in _NO_FILES:
                    self._no_files()
                    return False
                continue  # the client has closed the connection already
            self.take(sock, str(address[0]))
        return True

    def take(self, sock: socket.socket, client: str) -> None:
        """Serve this client, or close its socket if there is no room and none can be made."""
        connection = Connection(client, self)
        if not self.admit(connection):
            sock.close()
            return
        sock.setblocking(False)
        connection.opening = opening = self.loop.create_task(self._open_it(sock, connection))
        opening.add_done_callback(functools.partial(_opened, sock, connection))

    async def _open_it(self, sock: socket.socket, connection: Connection) -> None:
        context = self._tls()
        timeout_s = HEAD_S if context is not None else None
        await self.loop.connect_accepted_socket(lambda: connection, sock, ssl=context, ssl_handshake_timeout=timeout_s)

    def admit(self, connection: Connection) -> bool:
        """Count a new connection, and make room for it if possible. Return whether the connection may stay."""
        client = connection.client
        if self._unknown_of[client] >= self._most_of_client and not self._trusted(client):
            self._evict(next(each for each in self._unknown if each.client == client))
        if len(self.connections) >= self._most and not self._make_room():
            return False
        self.connections.add(connection)
        self._stats.connections = len(self.connections)
        self._unknown[connection] = None
        self._unknown_of[client] += 1
        return True

    def _make_room(self) -> bool:
        """Cut the oldest unknown connection. Return False if there is none."""
        oldest = next(iter(self._unknown), None)
        if oldest is not None:
            self._evict(oldest)
        return oldest is not None

    def _evict(self, connection: Connection) -> None:
        self.gone(connection)
        connection.cut()

    def _no_files(self) -> None:
        """Make room and pause: no descriptor is left, since something else on the host took the reserve."""
        self.loop.remove_reader(self._socket.fileno())
        self.loop.call_later(NO_FILES_PAUSE_S, self._accept_again)
        self._make_room()
        if self._seldom():
            log.error(
                "no open file is left for a connection; raise the limit of open files (ulimit -n)",
                extra={"event": "files-used-up"},
            )

    def _accept_again(self) -> None:
        if self._open:
            self.loop.add_reader(self._socket.fileno(), self._accept)

    # --- reports of connections

    def known(self, connection: Connection) -> None:
        """Record that a connection has carried a request of a known sender."""
        if connection in self._unknown:
            del self._unknown[connection]
            self._unknown_of[connection.client] -= 1
            self._unknown_of += Counter()  # drops the counts that are 0

    def gone(self, connection: Connection) -> None:
        """Record that a connection is closed."""
        self.connections.discard(connection)
        self._stats.connections = len(self.connections)
        self.known(connection)
        self.hold(connection, 0)

    def hold(self, connection: Connection, size_bytes: int) -> None:
        """Record a connection's bytes of incomplete or unparsed requests. Refuse the largest if all hold too many."""
        stats = self._stats
        stats.read_bytes += size_bytes - connection.held_bytes
        connection.held_bytes = size_bytes
        if stats.read_bytes > MAX_READ_BYTES:
            for largest in sorted(self.connections, key=lambda each: each.held_bytes, reverse=True):
                stats.read_bytes -= largest.held_bytes
                largest.held_bytes = 0
                largest.make_room()
                if stats.read_bytes <= MAX_READ_BYTES * 3 // 4:
                    break

    def client_of(self, peer: str, headers: Headers) -> str:
        """Return the sender's address.

        That is the peer, or behind a trusted proxy the rightmost address of X-Forwarded-For that is not a proxy's.
        """
        if self._trusted(peer):
            forwarded = headers.get_all("x-forwarded-for")
            for address in reversed([item.strip() for value in forwarded for item in value.split(",")]):
                if not self._trusted(address):
                    return address[:LONGEST_ADDRESS_CHARS]
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

        Without turns, thousands of connections that are readable at once would be a single round of the loop. During
        that round no timer would ring and no answer of the stream would be read. The wait here measures how late the
        receiver itself is.
        """
        self._turns.append(connection)
        if not self._turns_due:
            self._turns_due = True
            self.loop.call_soon(self._work)

    def _work(self) -> None:
        until_s = time.monotonic() + WORK_S
        try:
            while self._turns and time.monotonic() < until_s:
                self._turns.popleft().work()
        finally:
            self._turns_due = bool(self._turns)
            if self._turns_due:
                self.loop.call_soon(self._work)

    def _sweep(self) -> None:
        """End overdue connections. They share a timer, since a timer per request would cost more than its MAC."""
        now_s = self.loop.time()
        # This comes first, so that the next sweep is certain whatever happens below.
        self._sweep_again()
        for connection in [each for each in self.connections if each.deadline_s <= now_s]:
            try:
                connection.overdue()
            except Exception:
                log.exception(
                    "a connection did not end as it should, and was cut", extra={"event": "connection-not-ended"}
                )
                connection.cut()

    def _sweep_again(self) -> None:
        self._sweeper = self.loop.call_later(SWEEP_EVERY_S, self._sweep)

    # --- the end

    async def drain(self, within_s: float) -> bool:
        """Accept no more connections, and answer the requests that are in or come soon, for at most `within_s`.

        Return whether all connections ended in time.
        """
        self._open = False
        self.loop.remove_reader(self._socket.fileno())
        # The kernel would reset connections that it has accepted already, with their requests unread.
        for _ in range(BACKLOG):
            if not self._accept():
                break
        self._socket.close()
        announced_s = self.loop.time() - self._drain_delay_s
        deadline_s = self.loop.time() + within_s
        while self.connections and self.loop.time() < deadline_s:
            for connection in list(self.connections):
                waited_s = self.loop.time() - max(announced_s, connection.accepted_s)
                if connection.opening is not None and waited_s >= HANDSHAKE_S:
                    connection.cut()
                elif waited_s >= LAST_REQUEST_S:
                    connection.close_if_idle()
            await asyncio.sleep(DRAIN_LOOK_EVERY_S)
        left = list(self.connections)
        for connection in left:
            connection.cut()
        self._sweeper.cancel()
        return not left


def _opened(sock: socket.socket, connection: Connection, opening: "asyncio.Task[None]") -> None:
    """Clean up after an opening that failed or was cancelled. It may never have begun, so `finally` would not run."""
    error = None if opening.cancelled() else opening.exception()
    if error is None and not opening.cancelled():
        return
    sock.close()
    connection.opening = None
    connection.gone()
    if error is not None and not isinstance(error, OSError):
        raise error


def bound(settings: Receiver) -> socket.socket:
    """Return a socket that is bound to the receiver's address and does not listen yet. Raises SettingsError.

    With STREAM_ROUTER_REUSE_PORT other processes may share the address, and the kernel distributes connections.
    """
    try:
        host, port = split_host_port(settings.listen)
        # A name may have addresses of both kinds. IPv4 is the lower number, and a bare HOST has always meant IPv4.
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
