"""Ports of the loopback for programs that are told theirs before they start."""

import contextlib
import itertools
import os
import socket

_FIRST, _EACH = 20_000, 2_000
"""Below 32768, where Linux begins to take ports for outgoing connections: none of these gets one before its program."""


def _of_this_process() -> range:
    """Its share of them: each worker of pytest has another, so none takes what a second one has just chosen."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw4").removeprefix("gw")) % 5
    first = _FIRST + worker * _EACH
    return range(first, first + _EACH)


_ports = itertools.islice(itertools.cycle(_of_this_process()), os.getpid() % _EACH, None)


def free_port() -> int:
    """A port that nobody uses now, another with each call."""
    while True:
        port = next(_ports)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
