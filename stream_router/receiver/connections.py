"""The bounds on what all connections may hold: how many there are and whose, what was read, and one round's work.

They count from accept. A connection is *unknown* until it has carried a request of an authenticated sender. Where there
is no room, the oldest unknown one goes: a sender shows who it is within milliseconds, who only holds a place does not.
"""

import asyncio
import ipaddress
import logging
import time
from collections import deque
from collections.abc import Sequence

from stream_router.receiver.connection import Connection
from stream_router.receiver.request import Headers
from stream_router.receiver.stats import Stats

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 0.25
MAX_READ_BYTES = 48 * 1024 * 1024
"""Of all requests that are half there, or read and not parsed. Where it is more, those that hold the most of it are cut
until a quarter is free: whoever fills it loses his own, and an ordinary body is never among the largest."""
WORK_S = 0.01
"""Most that one round of the loop works on requests; answers of the stream and deadlines come round as often."""

LONGEST_ADDRESS_CHARS = 64
"""Of IPv6, with the name of an interface; what is longer is none, and is not kept."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Connections:
    """All connections: at most `most`, of one client at most `most_of_client` that are unknown, but for `proxies`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        most: int,
        most_of_client: int,
        proxies: Sequence[Network],
        stats: Stats,
    ) -> None:
        self._loop = loop
        self._most, self._most_of_client = most, most_of_client
        self._proxies = proxies
        self._stats = stats
        self.all: set[Connection] = set()
        self._unknown: dict[Connection, None] = {}
        self._unknown_of: dict[str, dict[Connection, None]] = {}
        self._sweep_again()

    def stop(self) -> None:
        """No more sweeps."""
        self._sweeper.cancel()

    def trusted(self, address: str) -> bool:
        """Whether the address is one of a proxy in front of us."""
        if not self._proxies:
            return False
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._proxies if network.version == found.version)

    def client_of(self, peer: str, headers: Headers) -> str:
        """Who sends: the peer, or behind trusted proxies the rightmost address of X-Forwarded-For that is none's."""
        if not self.trusted(peer):
            return peer
        forwarded = headers.get_all("x-forwarded-for")
        for address in reversed([item.strip() for value in forwarded for item in value.split(",")]):
            if not self.trusted(address):
                return address[:LONGEST_ADDRESS_CHARS]
        return peer

    def admit(self, connection: Connection) -> bool:
        """Whether a new connection may stay; room is made for it where that is possible."""
        client = connection.client
        own = self._unknown_of.get(client, {})
        if len(own) >= self._most_of_client and not self.trusted(connection.client):
            self._evict(next(iter(own)))
        if len(self.all) >= self._most and not self.make_room():
            return False
        self.all.add(connection)
        self._stats.connections = len(self.all)
        self._unknown[connection] = None
        self._unknown_of.setdefault(client, {})[connection] = None
        return True

    def make_room(self) -> bool:
        """Cut the oldest unknown connection; False where there is none."""
        oldest = next(iter(self._unknown), None)
        if oldest is None:
            return False
        self._evict(oldest)
        return True

    def _evict(self, connection: Connection) -> None:
        self.gone(connection)
        connection.cut()

    def known(self, connection: Connection) -> None:
        """It has carried a request of a sender that is known."""
        if connection in self._unknown:
            del self._unknown[connection]
            client = connection.client
            own = self._unknown_of[client]
            del own[connection]
            if not own:
                del self._unknown_of[client]

    def gone(self, connection: Connection) -> None:
        """It is closed."""
        self.all.discard(connection)
        self._stats.connections = len(self.all)
        self.known(connection)
        self.hold(connection, 0)

    def hold(self, connection: Connection, size_bytes: int) -> None:
        """It holds so many bytes now that are no whole request, or are not parsed."""
        stats = self._stats
        stats.read_bytes += size_bytes - connection.held_bytes
        connection.held_bytes = size_bytes
        if stats.read_bytes > MAX_READ_BYTES:
            for largest in sorted(self.all, key=lambda one: one.held_bytes, reverse=True):
                stats.read_bytes -= largest.held_bytes
                largest.held_bytes = 0
                largest.make_room()
                if stats.read_bytes <= MAX_READ_BYTES * 3 // 4:
                    break

    def _sweep(self) -> None:
        """One timer for all: a timer a request would cost more than its MAC."""
        now_s = self._loop.time()
        # First of all: whatever happens below, there is a next sweep.
        self._sweep_again()
        for connection in [one for one in self.all if one.deadline_s <= now_s]:
            try:
                connection.overdue(now_s)
            except Exception:
                log.exception(
                    "a connection did not end as it should, and was cut", extra={"event": "connection-not-ended"}
                )
                connection.cut()

    def _sweep_again(self) -> None:
        self._sweeper = self._loop.call_later(SWEEP_EVERY_S, self._sweep)


class Turns:
    """Bounds what one round of the loop does for requests; what comes beyond it waits here, in order of arrival.

    Without it thousands of connections that are readable at once are one round of the loop, and for as long as that
    lasts no timer rings and no answer of the stream is read. What waits here is the receiver's own lateness.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: deque[Connection] = deque()
        self._due = False

    def add(self, who: Connection) -> None:
        """Let it work when its turn comes: behind all who wait now."""
        self._queue.append(who)
        if not self._due:
            self._due = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        until_s = time.monotonic() + WORK_S
        try:
            while self._queue and time.monotonic() < until_s:
                self._queue.popleft().work()
        finally:
            self._due = bool(self._queue)
            if self._due:
                self._loop.call_soon(self._go_on)
