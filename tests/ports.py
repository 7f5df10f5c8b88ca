"""Ports of the loopback for programs that are told theirs before they start."""

import contextlib
import itertools
import os
import socket
from collections import deque

_FIRST, _EACH = 20_000, 2_000
"""Below 32768, where Linux begins to take ports for outgoing connections: none of these gets one before its program."""

ONLY_LOOPBACK = {"BIND_HOST": "127.0.0.1", "IOT_MTLS_ENABLED": "0"}
"""For ministack's environment: its broker of MQTT would listen on every address, whatever the host is."""


def _of_this_process() -> range:
    """Its share of them: each worker of pytest has another, so none takes what a second one has just chosen."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw4").removeprefix("gw")) % 5
    first = _FIRST + worker * _EACH
    return range(first, first + _EACH)


_KEPT = 64
_claimed: deque[socket.socket] = deque()
"""What tells other processes of tests that a port is ours, until its program listens: of the last ports chosen."""


_ports = itertools.islice(itertools.cycle(_of_this_process()), os.getpid() % _EACH, None)


def free_port() -> int:
    """A port that nobody uses now, another with each call, in each process of tests."""
    while True:
        port = next(_ports)
        claim = socket.socket(socket.AF_UNIX)
        with socket.socket() as probe, contextlib.suppress(OSError):
            claim.bind(claim_of(port))
            probe.bind(("127.0.0.1", port))
            _claimed.append(claim)
            if len(_claimed) > _KEPT:
                _claimed.popleft().close()
            return port
        claim.close()


def claim_of(port: int) -> str:
    """The name that a process binds, which the kernel gives to one at a time and takes back however it ends."""
    return f"\0stream-router tests {port}"
