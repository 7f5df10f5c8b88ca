"""Listens for the fake AWS: on the port that clients use, and on one for the admin that stays open in an outage."""

import asyncio
import ssl

from tests.fakeaws.http import Connection, Reply, Request
from tests.fakeaws.server import FakeAws, admin

HOST = "127.0.0.1"


class Listener:
    """The sockets. A plan's `outage` with `how: refuse` closes the clients' port and their connections for a while."""

    def __init__(self, fake_aws: FakeAws, tls: ssl.SSLContext | None = None) -> None:
        self._fake_aws = fake_aws
        self._tls = tls
        self._connections: set[Connection] = set()
        self._admins: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._admin_server: asyncio.Server | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.admin_port = 0

    async def start(self, port: int) -> int:
        """Listen on `port` (0: a free one); the port listened on."""
        self.port = await self._listen(port)
        loop = asyncio.get_running_loop()
        self._admin_server = await loop.create_server(lambda: Connection(self._answer, self._admins), HOST, 0)
        self.admin_port = int(self._admin_server.sockets[0].getsockname()[1])
        self._follow_plan()
        return self.port

    def close(self) -> None:
        """Stop listening and drop every connection."""
        for timer in self._timers:
            timer.cancel()
        for server in (self._server, self._admin_server):
            if server:
                server.close()
        for connection in [*self._connections, *self._admins]:
            connection.reset()

    async def _listen(self, port: int) -> int:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._answer, self._connections), HOST, port, ssl=self._tls, backlog=512
        )
        return int(self._server.sockets[0].getsockname()[1])

    def _answer(self, request: Request) -> Reply:
        if not request.path.startswith("/_"):
            self._fake_aws.ledger.note_in_flight(sum(1 for connection in self._connections if connection.busy))
            return self._fake_aws.handle(request)
        plan = self._fake_aws.plan
        reply = admin(self._fake_aws, request)
        if self._fake_aws.plan is not plan:
            self._follow_plan()
        return reply

    def _follow_plan(self) -> None:
        """Set the timers of the plan's refusing windows; those of an older plan are void."""
        loop = asyncio.get_running_loop()
        for timer in self._timers:
            timer.cancel()
        self._timers = []
        if self._server is None:
            self._open()
        for from_s, to_s in self._fake_aws.plan.refusing_windows_s:
            self._timers.append(loop.call_later(from_s, self._shut))
            if to_s != float("inf"):
                self._timers.append(loop.call_later(to_s, self._open))

    def _shut(self) -> None:
        self._fake_aws.ledger.faults["refuse"] += 1
        if self._server:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.reset()

    def _open(self) -> None:
        task = asyncio.get_running_loop().create_task(self._reopen())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reopen(self) -> None:
        if self._server is None:
            await self._listen(self.port)
