"""Which connections there are, counted from accept: how many, whose, for how long, and who goes where room is needed.

A connection is *unknown* until it has carried a request of an authenticated sender. Where there is no room, the oldest
unknown one goes: a sender shows who it is within milliseconds, who only holds a place does not.
"""

import asyncio
import functools
import ipaddress
import logging
from collections.abc import Sequence
from typing import Protocol

from stream_router.receiver.headers import Headers
from stream_router.telemetry.receiver.receiver_stats import Stats

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 0.25
STOOD_STILL_S = 1.0
"""A sweep that comes so late cuts nobody: what was sent while the process stood still is read first."""
MAX_READING_BYTES = 48 * 1024 * 1024
"""Bytes of all bodies that are half read; half of it for one client. Where it is more, the oldest such body is cut."""

MOST_STANDING = 4_096
"""Addresses of known senders that are remembered; NICE posts from few."""

LONGEST_ADDRESS_CHARS = 64
"""Of IPv6, with the name of an interface; what is longer is none, and is not kept."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def whose(address: str) -> str:
    """Who is counted for an address: itself, or its /64 of IPv6, of which a single host has every address."""
    return _network_of(address) if ":" in address and len(address) <= LONGEST_ADDRESS_CHARS else address


@functools.lru_cache(4096)
def _network_of(address: str) -> str:
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(found.ipv4_mapped or ipaddress.IPv6Network((found, 64), strict=False))


class Tracked(Protocol):
    """What is known of a connection here."""

    client: str
    """Its address."""
    sender: str
    """Who sends through it: not its client where that is a trusted proxy."""
    reading_bytes: int
    deadline_s: float

    def cut(self) -> None: ...
    def cut_body(self) -> None: ...
    def overdue(self, now_s: float) -> None: ...


class Connections:
    """All connections of one worker."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        most: int,
        most_of_client: int,
        proxies: Sequence[Network],
        stats: Stats,
    ) -> None:
        self._loop = loop
        self._most = most
        self._most_of_client = most_of_client
        self._proxies = proxies
        self._stats = stats
        self.all: set[Tracked] = set()
        self._unknown: dict[Tracked, None] = {}
        self._unknown_of: dict[str, dict[Tracked, None]] = {}
        self._standing: dict[str, None] = {}
        """Addresses from which a sender showed who it is, the latest last. Nobody else can put one here."""
        self._reading: dict[Tracked, None] = {}
        self._reading_of: dict[str, int] = {}
        self._reading_bytes = 0
        self._cut: set[Tracked] = set()
        """Those that are counted as cut and are still there: answered, they linger, and go with a later sweep."""
        self._stood_still = False
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
        if not self._proxies or not self.trusted(peer):
            return whose(peer)
        forwarded = headers.get_all("x-forwarded-for")
        for address in reversed([item.strip() for value in forwarded for item in value.split(",")]):
            if not self.trusted(address):
                return whose(address)
        return peer

    def admit(self, connection: Tracked) -> bool:
        """Whether a new connection may stay; room is made for it where that is possible."""
        if not self.trusted(connection.client):
            own = self._unknown_of.get(whose(connection.client), {})
            if len(own) >= self._most_of_client:
                self._evict(next(iter(own)))
        if len(self.all) >= self._most and not self.make_room():
            self._stats.connections_refused += 1
            return False
        self._stats.connections_accepted += 1
        self.all.add(connection)
        self._stats.connections = len(self.all)
        self._unknown[connection] = None
        self._unknown_of.setdefault(whose(connection.client), {})[connection] = None
        return True

    def make_room(self) -> bool:
        """Cut the oldest unknown connection; False where there is none."""
        oldest = next(iter(self._unknown), None)
        if oldest is None:
            return False
        self._evict(oldest)
        return True

    def known(self, connection: Tracked) -> None:
        """It has carried a request of a sender that is known."""
        if connection in self._unknown:
            self._forget_unknown(connection)
        if not self.trusted(connection.client):
            self._standing.pop(whose(connection.client), None)
            self._standing[whose(connection.client)] = None
            if len(self._standing) > MOST_STANDING:
                del self._standing[next(iter(self._standing))]

    def stands(self, client: str) -> bool:
        """Whether the last that came of this address was a sender that is known. A proxy's says nothing."""
        return whose(client) in self._standing

    def gone(self, connection: Tracked) -> None:
        """It is closed."""
        self.all.discard(connection)
        self._stats.connections = len(self.all)
        if connection in self._unknown:
            self._forget_unknown(connection)
            self._standing.pop(whose(connection.client), None)
        self.read_no_more(connection)
        self._cut.discard(connection)

    def _count_cut(self, connection: Tracked) -> None:
        if connection not in self._cut:
            self._cut.add(connection)
            self._stats.connections_cut += 1

    def _forget_unknown(self, connection: Tracked) -> None:
        del self._unknown[connection]
        client = whose(connection.client)
        own = self._unknown_of[client]
        del own[connection]
        if not own:
            del self._unknown_of[client]

    def _evict(self, connection: Tracked) -> None:
        self._count_cut(connection)
        self.gone(connection)
        connection.cut()

    def reading(self, connection: Tracked, size_bytes: int) -> None:
        """So many more bytes of its body came. Where too much is half read, the oldest bodies of whoever it is are cut.

        One is not enough: a client may have begun any number of bodies with a byte, to be cut for its large ones.
        """
        connection.reading_bytes += size_bytes
        self._reading.setdefault(connection, None)
        sender = connection.sender
        self._reading_of[sender] = self._reading_of.get(sender, 0) + size_bytes
        self._reading_bytes += size_bytes
        if self._reading_of[sender] > MAX_READING_BYTES // 2:
            for one in list(self._reading):  # once through: there may be thousands, and as many to be cut
                if self._reading_of.get(sender, 0) <= MAX_READING_BYTES // 2:
                    break
                if one.sender == sender:
                    self._cut_body(one)
        while self._reading_bytes > MAX_READING_BYTES:
            self._cut_body(next(iter(self._reading)))

    def read_no_more(self, connection: Tracked) -> None:
        """Its body is whole, or not wanted any more."""
        if connection in self._reading:
            del self._reading[connection]
            left = self._reading_of[connection.sender] - connection.reading_bytes
            if left:
                self._reading_of[connection.sender] = left
            else:
                del self._reading_of[connection.sender]
            self._reading_bytes -= connection.reading_bytes
            connection.reading_bytes = 0

    def _cut_body(self, connection: Tracked) -> None:
        self._count_cut(connection)
        self.read_no_more(connection)
        connection.cut_body()

    def _sweep(self) -> None:
        """One timer for all: a timer a request would cost more than its MAC."""
        now_s = self._loop.time()
        # Not twice in a row: who is always that late would cut nobody.
        self._stood_still = now_s - self._due_s > STOOD_STILL_S and not self._stood_still
        # First of all: whatever happens below, there is a next sweep.
        self._sweep_again()
        if self._stood_still:
            return
        late = [one for one in self.all if one.deadline_s <= now_s]
        for connection in sorted(late, key=lambda one: one.deadline_s):
            # Who has shown who it is and is only idle took nobody's time.
            if connection in self._unknown or connection.reading_bytes > 0:
                self._count_cut(connection)
            try:
                connection.overdue(now_s)
            except Exception:
                log.exception(
                    "a connection did not end as it should, and was cut", extra={"event": "connection-not-ended"}
                )
                connection.cut()

    def _sweep_again(self) -> None:
        self._due_s = self._loop.time() + SWEEP_EVERY_S
        self._sweeper = self._loop.call_later(SWEEP_EVERY_S, self._sweep)
