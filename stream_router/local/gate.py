"""Proxy to a service that can be cut off: it forwards every byte until `shut` cuts every connection."""

import asyncio
import threading

PIECE_BYTES = 256 * 1024


class CuttableProxy:
    """Proxy that forwards a port of the loopback to another port, in a thread of its own."""

    def __init__(self, port: int, to_port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._to_port = to_port
        self._is_open = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(asyncio.start_server(self._pass, "127.0.0.1", port))
        threading.Thread(target=self._loop.run_forever, name=f"gate-{port}", daemon=True).start()

    def shut(self) -> None:
        """Cut all connections, and every connection that is opened from now on."""
        self._is_open = False
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def open(self) -> None:
        """Forward connections that are opened from now on."""
        self._is_open = True

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection. If one side ends, cut both, as if the service were unreachable."""
        own_writers = {writer}
        self._writers |= own_writers
        try:
            if self._is_open:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
                own_writers.add(far_writer)
                self._writers |= own_writers
                await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        except OSError:
            pass  # cut, or ministack has ended, which is noticed elsewhere
        finally:
            self._writers -= own_writers
            for own_writer in own_writers:
                own_writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
    writer.close()
