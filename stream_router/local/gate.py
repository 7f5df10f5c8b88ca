"""Proxy to a service that can be cut off: it forwards every byte until `shut` cuts every connection."""

import asyncio
import threading

PIECE_BYTES = 256 * 1024


class CuttableProxy:
    """Proxy that forwards `port` of the loopback to `to_port` there, in a thread of its own.

    It is open at first. Raises OSError if `port` is taken.
    """

    def __init__(self, port: int, to_port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._to_port = to_port
        self._is_open = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(asyncio.start_server(self._pass, "127.0.0.1", port))
        threading.Thread(target=self._loop.run_forever, name=f"gate-{port}", daemon=True).start()

    def shut(self) -> None:
        """Make the service unreachable: cut all connections now, and each new one at once, until `open` is called."""
        self._is_open = False
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def open(self) -> None:
        """Forward connections that are opened from now on."""
        self._is_open = True

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection until one side ends it or `shut` cuts it, then cut both sides.

        A connection that is opened while the proxy is shut is cut at once, as if the service were unreachable.
        """
        own_writers = {writer}
        self._writers |= own_writers
        try:
            if self._is_open:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
                own_writers.add(far_writer)
                self._writers |= own_writers
                await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        except OSError:
            pass  # the connection was cut; or ministack has ended, which `Programs.must_run` reports
        finally:
            self._writers -= own_writers
            for own_writer in own_writers:
                own_writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
    writer.close()
