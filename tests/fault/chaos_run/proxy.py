"""A TCP proxy that makes trouble when it is told to: latency, resets, silence, a narrow line, refused connections.

All proxies of a run live on one event loop in a thread of their own. `trouble` may be set from any thread.
"""

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

Tap = Callable[[int, bool, bytes], None]
"""Sees what passes: the connection's number, whether it goes up (to the server), the bytes."""

LATE_S = 0.5
"""An answer that takes longer is noted: its asker may have given up."""

LAST_WORDS_S = 10.0
"""How long a server may go on after it was told that nothing more comes."""

_RESET = struct.pack("ii", 1, 0)


class Trouble(NamedTuple):
    """What is wrong with the line. A black hole swallows what comes; such a connection never carries anything again."""

    latency_s: float = 0.0
    bytes_s: float = 0.0
    blackhole: bool = False
    refuse: bool = False


class Wires:
    """The thread and the event loop of the proxies."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._proxies: list[Proxy] = []

    def proxy(self, name: str, to_port: int, tap: Tap | None = None) -> "Proxy":
        """A proxy in front of a port; its own is `port`."""
        result = Proxy(name, to_port, tap)
        asyncio.run_coroutine_threadsafe(result.listen(), self.loop).result(10)
        self._proxies.append(result)
        return result

    def cut(self, proxy: "Proxy", *, all_of_them: bool = True) -> None:
        """Reset a proxy's connections, or those alone that a black hole has spoilt."""
        asyncio.run_coroutine_threadsafe(proxy.cut(all_of_them), self.loop).result(10)

    def close(self) -> None:
        """Close everything."""
        for proxy in self._proxies:
            asyncio.run_coroutine_threadsafe(proxy.close(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


class _Line:
    """One connection: the client's end and the server's."""

    def __init__(self, number: int, here: asyncio.StreamWriter, there: asyncio.StreamWriter) -> None:
        self.number, self.here, self.there = number, here, there
        self.spoilt = False
        self.asked_at = 0.0
        """When it was asked for what it has not answered yet; 0.0 where nothing is open."""

    def reset(self) -> None:
        """The client gets a reset. The server only hears that nothing more comes: an emulator may die of a reset."""
        self.spoilt = True
        with contextlib.suppress(OSError):
            self.here.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.here.transport.abort()


class Proxy:
    """One proxy. `bites` counts by fault what was hit: pieces of traffic, or connections.

    `late` are the times in which the server owed an answer for longer than LATE_S: from, to.
    """

    def __init__(self, name: str, to_port: int, tap: Tap | None) -> None:
        self.name = name
        self.trouble = Trouble()
        self.bites: Counter[str] = Counter()
        self.late: list[tuple[float, float]] = []
        self.port = 0
        self._to_port, self._tap = to_port, tap
        self._lines: set[_Line] = set()
        self._number = 0

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self, all_of_them: bool) -> None:
        for line in [line for line in self._lines if all_of_them or line.spoilt]:
            self.bites["reset"] += 1
            line.reset()

    async def close(self) -> None:
        self._server.close()
        for line in list(self._lines):
            line.reset()
        await asyncio.sleep(0.1)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.trouble.refuse:
                raise ConnectionRefusedError
            upward, there = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            self.bites["refuse"] += self.trouble.refuse
            writer.transport.abort()
            return
        self._number += 1
        line = _Line(self._number, writer, there)
        self._lines.add(line)
        down = asyncio.create_task(self._pump(line, upward, writer, up=False))
        try:
            await self._pump(line, reader, there, up=True)
            with contextlib.suppress(OSError):
                there.write_eof()
            await asyncio.wait([down], timeout=LAST_WORDS_S)
        finally:
            down.cancel()
            self._answered(line)
            self._lines.discard(line)
            for end in (writer, there):
                end.close()

    async def _pump(self, line: _Line, source: asyncio.StreamReader, to: asyncio.StreamWriter, *, up: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                trouble = self.trouble
                line.spoilt = line.spoilt or trouble.blackhole
                if line.spoilt:
                    self.bites["blackhole"] += trouble.blackhole
                    continue
                if trouble.latency_s or trouble.bytes_s:
                    self.bites["latency" if trouble.latency_s else "bandwidth"] += 1
                    await asyncio.sleep(trouble.latency_s + (len(data) / trouble.bytes_s if trouble.bytes_s else 0.0))
                if self._tap:
                    self._tap(line.number, up, data)
                await self._pass_on(line, data, to)
                if not up:
                    self._answered(line)
                elif not line.asked_at:
                    line.asked_at = time.time()
        if not up:
            to.close()

    def _answered(self, line: _Line) -> None:
        now, asked_at, line.asked_at = time.time(), line.asked_at, 0.0
        if asked_at and now - asked_at >= LATE_S:
            self.late.append((asked_at, now))

    async def _pass_on(self, line: _Line, data: bytes, to: asyncio.StreamWriter) -> None:
        try:
            to.write(data)
            await to.drain()
        except OSError:
            # What still comes from the other side is read to its end, so that it is not reset.
            line.spoilt = True
