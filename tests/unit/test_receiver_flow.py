"""How long a request's bytes have been here: never less than is so; the kernel is asked where it may know more."""

import errno
import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from stream_router.receiver.http import flow
from stream_router.receiver.http.flow import Flow

LONG_AGO_S = 0.05


@pytest.fixture
def old() -> Iterator[Flow]:
    """A connection whose bytes came a while ago, and were not looked at since."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        ours, _ = server.accept()
        with ours:
            client.sendall(b"x")
            made = Flow(ours)
            transport: Any = SimpleNamespace(
                set_write_buffer_limits=lambda high: None,
                is_closing=lambda: False,
                pause_reading=lambda: None,
                resume_reading=lambda: None,
            )
            made.attach(transport)
            until_s = time.monotonic() + LONG_AGO_S
            while (asked_s := Flow(ours).waited_s(0.001)) is not None and asked_s < LONG_AGO_S:
                assert time.monotonic() < until_s + 5
            yield made


def test_the_first_request_s_bytes_may_have_waited_before_accept(old: Flow) -> None:
    """However lately the loop came round: the kernel's answer counts."""
    assert (old.waited_s(0.001) or 0) >= LONG_AGO_S


def test_where_the_loop_has_just_looked_the_kernel_is_not_asked(old: Flow) -> None:
    """What it reads all the time cannot have waited longer than since then; where that is long, it is asked."""
    old.waited_s(0.001)
    assert old.waited_s(0.001) == 0.001
    assert (old.waited_s(flow.NEXT_TO_NOTHING_S) or 0) >= LONG_AGO_S


def test_after_a_pause_the_kernel_is_asked_again(old: Flow) -> None:
    """Bytes came meanwhile, and nobody looked."""
    old.waited_s(0.001)
    old.pause()
    old.read_on()
    assert (old.waited_s(0.001) or 0) >= LONG_AGO_S


def test_the_end_of_a_connection_that_is_gone_is_no_error(old: Flow) -> None:
    """Its client has reset it and the loop does not know yet: whoever answers it, or ends what is overdue, goes on."""

    def write_eof() -> None:
        raise OSError(errno.ENOTCONN, "")

    transport: Any = SimpleNamespace(
        set_write_buffer_limits=lambda high: None,
        is_closing=lambda: False,
        can_write_eof=lambda: True,
        write_eof=write_eof,
    )
    old.attach(transport)
    old.end()
