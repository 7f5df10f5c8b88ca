"""Tests that are started by hand side by side take no port that another of them has just chosen."""

import contextlib
import socket

from tests.ports import claim_of, free_port


def test_a_port_that_another_process_chose_is_passed_over() -> None:
    """Its program listens only in a while: a look whether the port is in use would say that it is free."""
    port = free_port()
    others = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for at, other in enumerate(others, 1):
        with contextlib.suppress(OSError):  # claimed by yet another one, which is as good
            other.bind(claim_of(port + at))
    assert free_port() not in range(port, port + 4)
    for other in others:
        other.close()
