"""A way to a service that can be shut: it passes on every byte, until `shut` cuts every connection."""

import asyncio
import contextlib
import threading

PIECE_BYTES = 256 * 1024


class Gate:
    """Listens at a port of the loopback and passes all on to another, from a thread of its own."""

    def __init__(self, port: int, to_port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port, self._to_port = port, to_port
        self._is_open = True
        self._ways: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        listening = threading.Event()
        threading.Thread(target=self._run, args=(listening,), name=f"gate-{port}", daemon=True).start()
        listening.wait()

    def shut(self) -> None:
        """Cut what is under way, and every connection that comes from now on."""
        self._is_open = False
        self._loop.call_soon_threadsafe(lambda: [way.cancel() for way in self._ways])

    def open(self) -> None:
        """Let through what comes from now on."""
        self._is_open = True

    def _run(self, listening: threading.Event) -> None:
        self._loop.run_until_complete(asyncio.start_server(self._pass, "127.0.0.1", self._port))
        self._loop.call_soon(listening.set)
        self._loop.run_forever()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        way = asyncio.current_task()
        assert way
        self._ways.add(way)
        writers = [writer]
        try:
            if not self._is_open:
                return
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
            writers.append(far_writer)
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass  # the other end sees the connection end, as that of a service which is away
        finally:
            self._ways.discard(way)
            for one in writers:
                one.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
