"""A receiver that ends: who has sent a request to it, or is about to, gets an answer."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trustme
import uvloop

from stream_router.receiver import connection, server
from stream_router.receiver.server import HttpServer, bound
from stream_router.receiver.stats import Stats
from stream_router.receiver.tls import Tls
from stream_router.settings.receiver import Receiver
from tests.ports import free_port
from tests.receiver_kit import AtOnce

REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
WITHIN_S = 5.0
NO_TLS: Mapping[str, Path] = {}


class Client:
    """A sender's connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S)
        self._socket.setblocking(False)

    async def post(self) -> str:
        """What comes of one more request: its status, with "close" where the connection ends with it."""
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(self._socket, REQUEST)
            answer = await asyncio.wait_for(loop.sock_recv(self._socket, 65536), WITHIN_S)
        except OSError as error:
            return type(error).__name__
        return " ".join([answer[9:12].decode(), *["close"] * (b"connection: close" in answer)]) if answer else "nothing"

    async def ends(self) -> bool:
        """Whether the receiver closes it without a word."""
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._socket, 1), WITHIN_S) == b""

    def close(self) -> None:
        self._socket.close()


@contextlib.asynccontextmanager
async def serving(
    drain_delay_s: float = 0.0, tls: Mapping[str, Path] = NO_TLS
) -> AsyncIterator[tuple[HttpServer, AtOnce, Callable[[], Client]]]:
    """A server, what answers in it, and what makes a client."""
    port, handler = free_port(), AtOnce()
    listen = f"127.0.0.1:{port}"
    settings = Receiver(aws_region="x", webhook_scheme="none", listen=listen, drain_delay_s=drain_delay_s, **tls)
    tls_files = Tls(settings)
    running = HttpServer(
        asyncio.get_running_loop(), settings, bound(settings), cast("Any", handler), lambda: tls_files.context, Stats()
    )
    with contextlib.ExitStack() as stack:
        yield running, handler, lambda: stack.enter_context(contextlib.closing(Client(port)))


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def awaited() -> None:
        await test()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(awaited())


def test_connections_that_the_kernel_has_taken_are_served() -> None:
    """They stand in its queue as the listener closes: with that they would be reset, their requests unread."""

    async def test() -> None:
        async with serving() as (running, handler, connect):
            clients = [connect() for _ in range(300)]
            handler.draining = True
            answers, drained = [asyncio.create_task(client.post()) for client in clients], running.drain(WITHIN_S)
            assert await drained
            assert await asyncio.gather(*answers) == ["202 close"] * 300

    run(test)


def test_a_sender_between_two_requests_has_its_next_one_answered() -> None:
    """It cannot know that the receiver ends: it is told with that answer, and nothing it sent is left without one."""

    async def test() -> None:
        async with serving() as (running, handler, connect):
            client, new = connect(), connect()
            assert await client.post() == "202"
            handler.draining = True
            drained = asyncio.create_task(running.drain(WITHIN_S))
            await asyncio.sleep(0.05)
            assert [await client.post(), await new.post()] == ["202 close"] * 2
            assert await drained

    run(test)


@pytest.mark.parametrize("drain_delay_s", [0.0, 60.0])
def test_a_connection_that_stays_idle_is_closed(drain_delay_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A while after the receiver was told to end: where it served on for longer, at once."""
    monkeypatch.setattr(server, "LAST_REQUEST_S", 30.0)

    async def test() -> None:
        async with serving(drain_delay_s) as (running, handler, connect):
            client, loop, ahead_s = connect(), asyncio.get_running_loop(), [0.0]
            assert await client.post() == "202"
            moved = SimpleNamespace(time=lambda: loop.time() + ahead_s[0], remove_reader=loop.remove_reader)
            cast("Any", running).loop = moved
            ahead_s[0] += server.LAST_REQUEST_S
            handler.draining = True
            drained, ends = asyncio.create_task(running.drain(100.0)), asyncio.create_task(client.ends())
            await asyncio.wait([ends], timeout=WITHIN_S if drain_delay_s else 0.1)
            assert ends.done() == (drain_delay_s > 0.0)
            ahead_s[0] += server.LAST_REQUEST_S
            assert await ends
            assert await drained

    run(test)


@pytest.mark.parametrize("does", ["posts once", "never says a word"])
def test_a_tls_client_that_does_nothing_holds_up_no_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str
) -> None:
    """TLS ends when both sides said so, and a connection that is kept for later may be read when it is used again."""
    monkeypatch.setattr(server, "LAST_REQUEST_S", 0.1)
    monkeypatch.setattr(server, "HANDSHAKE_S", 0.1)
    monkeypatch.setattr(connection, "LINGER_S", 0.1)
    authority, files = trustme.CA(), {"tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem"}
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(str(files["tls_cert"]))
    issued.private_key_pem.write_to_path(str(files["tls_key"]))
    context = ssl.create_default_context()
    authority.configure_trust(context)

    def post(kept: Client) -> ssl.SSLSocket:
        kept._socket.settimeout(WITHIN_S)
        secured = context.wrap_socket(kept._socket, server_hostname="127.0.0.1")
        secured.sendall(REQUEST)
        assert secured.recv(65536)[9:12] == b"202"
        return secured

    async def test() -> None:
        async with serving(tls=files) as (running, handler, connect):
            client, secured = connect(), None
            if does == "posts once":
                secured = await asyncio.to_thread(post, client)
            handler.draining = True
            assert await running.drain(WITHIN_S)
            if secured:
                secured.close()

    run(test)


def test_a_connection_that_is_cut_before_it_began_to_open_is_closed() -> None:
    """Many come in one round of the loop, and others need the room: its socket waits for no garbage collector."""

    async def test() -> None:
        async with serving() as (running, _, _connect):
            ours, theirs = socket.socketpair()
            running.take(ours, "1.2.3.4")
            (opening,) = running.connections
            opening.cut()
            for _ in range(3):
                await asyncio.sleep(0)
            assert ours.fileno() == -1
            assert not running.connections
            theirs.close()
            assert await running.drain(WITHIN_S)

    run(test)
