"""What is read from a connection, and until when its client must have read what was written."""

import asyncio
import contextlib
import math
import socket
import sys

LINGER_S = 1.0
"""How long a connection that was told to close may still send, unread, until it is cut."""
UNREAD_BYTES = 64 * 1024
"""Written and not read by the client: beyond it nothing more is read from it, and its time runs."""

MOST_UNREAD_BYTES = 256 * 1024
NEXT_TO_NOTHING_S = 0.005
"""A bound this close is as good as the kernel's answer, which costs 2 µs a request: its own clock has 4 ms steps."""
LAST_DATA_END = 56
"""Where `tcpi_last_data_recv` ends in Linux's struct tcp_info: milliseconds since data came."""
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)


class Flow:
    """One connection's pauses."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._transport: asyncio.Transport | None = None
        self.paused = False
        """Whether nothing is read for now: what the client sends waits with the kernel."""
        self._read_all_the_time = False
        """Not before its first request, nor after a pause until the next one: bytes may wait unseen for any time."""
        self.write_deadline_s = math.inf

    def attach(self, transport: asyncio.Transport) -> None:
        """The connection is open."""
        self._transport = transport
        transport.set_write_buffer_limits(high=UNREAD_BYTES)

    def waited_s(self, since_last_look_s: float) -> float | None:
        """How long ago the last bytes came, by the kernel's own account: before accept, and in its buffers, too.

        None where the kernel does not tell. `since_last_look_s` is how long ago the loop looked at what it reads: where
        that is next to nothing, the kernel need not be asked about a connection that is being read all the time.
        """
        if self._read_all_the_time and since_last_look_s < NEXT_TO_NOTHING_S:
            return since_last_look_s
        self._read_all_the_time = True
        if _TCP_INFO is None:
            return None
        try:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, LAST_DATA_END)
        except OSError:
            return None
        return int.from_bytes(info[LAST_DATA_END - 4 :], sys.byteorder) / 1000 if len(info) == LAST_DATA_END else None

    def pause(self) -> None:
        """Read nothing more for now."""
        if not self.paused and self._transport is not None and not self._transport.is_closing():
            self.paused, self._read_all_the_time = True, False
            self._transport.pause_reading()

    def read_on(self) -> None:
        """Read again; not while the client does not read itself."""
        if (
            self.paused
            and self.write_deadline_s == math.inf
            and self._transport is not None
            and not self._transport.is_closing()
        ):
            self.paused = False
            self._transport.resume_reading()

    def write(self, data: bytes) -> bool:
        """Write; False where the client reads so little that it is not worth waiting for."""
        assert self._transport is not None
        self._transport.write(data)
        return self._transport.get_write_buffer_size() <= MOST_UNREAD_BYTES

    def stalled(self, deadline_s: float) -> float:
        """The client does not read: it has until then."""
        self.write_deadline_s = deadline_s
        self.pause()
        return deadline_s

    def flows(self) -> None:
        """It has read."""
        self.write_deadline_s = math.inf
        self.read_on()

    @property
    def half_closes(self) -> bool:
        """Whether one direction can end before the other: not with TLS."""
        return self._transport is not None and self._transport.can_write_eof()

    def end(self) -> None:
        """Write no more, and read on for a while where that can be: closing on unread bytes would reset the answer."""
        if self._transport is None or self._transport.is_closing():
            return
        self.write_deadline_s = math.inf
        if self.half_closes:
            # asyncio's own loop raises where the client has reset the connection; that it is lost is told in a moment.
            with contextlib.suppress(OSError):
                self._transport.write_eof()
            self.read_on()
        else:
            self._transport.close()
