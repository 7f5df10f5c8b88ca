"""The tools of the chaos run do what they say: the proxy's troubles, and the clock that can be set wrong."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compiler import needs_a_compiler
from tests.fault.chaos_run.clock import Clock
from tests.fault.chaos_run.proxy import Proxy, Trouble, Wires


@pytest.fixture
def wires() -> Iterator[Wires]:
    result = Wires()
    yield result
    result.close()


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that answers with what it got."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                here, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=repeat, args=(here,), daemon=True).start()

    def repeat(here: socket.socket) -> None:
        with here:
            try:
                while data := here.recv(1000):
                    here.sendall(data)
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(server.getsockname()[1])
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)


def ask(connection: socket.socket) -> float:
    """Seconds until the answer came."""
    begun = time.monotonic()
    connection.sendall(b"x")
    assert connection.recv(1) == b"x"
    return time.monotonic() - begun


def connected(proxy: Proxy) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", proxy.port))
    connection.settimeout(5)
    return connection


def test_a_line_without_trouble_carries_both_ways_and_the_tap_sees_it(wires: Wires, echo: int) -> None:
    """What is sent comes back, and is seen on its way up and down."""
    seen: list[tuple[bool, bytes]] = []
    proxy = wires.proxy("line", echo, lambda _, up, data: seen.append((up, data)))
    with connected(proxy) as connection:
        ask(connection)
    assert seen == [(True, b"x"), (False, b"x")]
    assert not proxy.bites


def test_latency_is_added_each_way_and_can_be_taken_away(wires: Wires, echo: int) -> None:
    """0.2 s up and 0.2 s down; then none."""
    proxy = wires.proxy("line", echo)
    with connected(proxy) as connection:
        proxy.trouble = Trouble(latency_s=0.2)
        assert ask(connection) >= 0.4
        proxy.trouble = Trouble()
        ask(connection)
    assert proxy.bites["latency"] == 2, "the last one had none"


def test_a_black_hole_swallows_and_its_connections_never_speak_again(wires: Wires, echo: int) -> None:
    """Silence, and a reset when it is mended; a new connection works."""
    proxy = wires.proxy("line", echo)
    with connected(proxy) as connection:
        proxy.trouble = Trouble(blackhole=True)
        connection.sendall(b"x")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        proxy.trouble = Trouble()
        wires.cut(proxy, all_of_them=False)
        connection.settimeout(5)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with connected(proxy) as connection:
        ask(connection)


def test_connections_are_reset_and_refused(wires: Wires, echo: int) -> None:
    """A cut ends what is open; while it refuses nothing can be asked."""
    proxy = wires.proxy("line", echo)
    with connected(proxy) as connection:
        ask(connection)
        wires.cut(proxy)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    proxy.trouble = Trouble(refuse=True)
    with connected(proxy) as connection, pytest.raises((ConnectionError, AssertionError)):
        ask(connection)
    assert (proxy.bites["reset"], proxy.bites["refuse"]) == (1, 1)


@needs_a_compiler
def test_the_wall_clock_of_a_python_program_can_be_set_wrong_and_nothing_else(tmp_path: Path) -> None:
    """90 s ahead, then 90 s behind, in a program that runs; its monotonic clock and its sleeps stay true."""
    clock = Clock(tmp_path)
    clock.set(90)
    program = (
        "import sys, time; begun = time.monotonic(); print(time.time(), flush=True); sys.stdin.readline();"
        "time.sleep(0.1); print(time.time()); print(time.monotonic() - begun)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, **clock.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdin
        assert running.stdout
        ahead = float(running.stdout.readline()) - time.time()
        clock.set(-90)
        output, _ = running.communicate("\n", timeout=20)
    behind, took_s = (float(line) for line in output.split())
    assert 85 < ahead <= 90
    assert -95 < behind - time.time() <= -90
    assert 0.1 <= took_s < 20
