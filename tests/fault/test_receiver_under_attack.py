"""One client cannot stop the receiver: another's events are taken in time beside it, and memory stays bounded."""

import hashlib
import hmac
import multiprocessing
import resource
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_flood import Flood
from tests.receiver_kit import KEY, ReceiverProcess, event, receiver
from tests.receiver_load import Outcome, percentile_s, post, send
from tests.slow_senders import SlowSenders

SPAWN = multiprocessing.get_context("spawn")
"""The attacker is a process of its own: it must not slow down the load that measures."""
RATE = 200.0
TAKEN_WITHIN_S = 0.9
LEAST_TAKEN = 0.99
MOST_RSS_BYTES = 256 * 1024 * 1024
ROUNDS = 3
"""The machine is shared: a stall of its own falls into one round, not into each."""


class Shape(NamedTuple):
    """How large the attack is: connections of those that hold, and of those that send without pause; seconds of it."""

    holding: int
    sending: int
    seconds: float


SHORT, LONG = Shape(500, 32, 3.0), Shape(2_000, 200, 20.0)


def signed(body: bytes, key: str = KEY) -> bytes:
    return post(body, {"x-signature": hmac.digest(key.encode(), body, hashlib.sha256).hex()})


def silent(address: tuple[str, int], shape: Shape, stop: Event) -> None:
    """Connections that say nothing; each that is closed is opened again."""
    held: list[socket.socket] = []
    while not stop.is_set():
        held = [one for one in held if not _closed(one)]
        while len(held) < shape.holding and not stop.is_set():
            held.append(socket.create_connection(address, 5, (f"127.0.3.{len(held) % 8 + 1}", 0)))
            held[-1].setblocking(False)
        stop.wait(0.2)


def _closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def slow(address: tuple[str, int], shape: Shape, stop: Event) -> None:
    """A third slow heads, a third slow bodies, a third that never read their answers."""
    SlowSenders(address, shape.holding).run(stop)


def forged(address: tuple[str, int], shape: Shape, stop: Event) -> None:
    """Requests with signatures of another secret, as many as the receiver answers."""
    requests = [signed(event(number), "a secret of somebody else") for number in range(50)]
    _without_pause(address, requests, shape.sending, stop)


def arrays(address: tuple[str, int], shape: Shape, stop: Event) -> None:
    """Bodies of 400 events and 700 KB, of a sender that is known, one behind the other."""
    body = b"[" + b",".join(b'{"conversationId":"a-%d","x":"%b"}' % (n, b"y" * 1_700) for n in range(400)) + b"]"
    _without_pause(address, [signed(body)], 2, stop)


def _without_pause(address: tuple[str, int], requests: list[bytes], connections: int, stop: Event) -> None:
    if len(requests[0]) > 64 * 1024:
        threads = [threading.Thread(target=_one_by_one, args=(address, requests[0], stop)) for _ in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return
    flood = Flood(address, connections)
    while not stop.is_set():
        flood.run(requests, 1e9, 0.5)
    flood.close()


def _one_by_one(address: tuple[str, int], request: bytes, stop: Event) -> None:
    while not stop.is_set():
        with socket.create_connection(address, 5) as connection:
            while not stop.is_set():
                connection.sendall(request)
                if b"connection: close" in connection.recv(65536):
                    break


ATTACKS: dict[str, Callable[[tuple[str, int], Shape, Event], None]] = {
    "silent": silent,
    "slow": slow,
    "forged": forged,
    "arrays": arrays,
}


def attack(name: str, address: tuple[str, int], shape: Shape, stop: Event) -> None:
    """The attacker's process."""
    _raise_open_files()
    ATTACKS[name](address, shape, stop)


def _raise_open_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))


@pytest.mark.parametrize("shape", [SHORT, pytest.param(LONG, marks=pytest.mark.long)], ids=["short", "long"])
@pytest.mark.parametrize("name", ATTACKS)
def test_beside_an_attacker_another_sender_is_served(tmp_path: Path, name: str, shape: Shape) -> None:
    """At 200 a second at least 99 % are 202 within 0.9 s, and the receiver has 256 MB at most."""
    _raise_open_files()
    with (
        FakeAwsProcess(plan={"shard_limits": False}) as fake_aws,
        receiver(fake_aws.url, tmp_path, WEBHOOK_SCHEME="hmac", WEBHOOK_SECRETS=KEY) as running,
    ):
        rounds = [_round(running, name, shape) for _ in range(1)]
        while not rounds[-1][0] and len(rounds) < ROUNDS:
            rounds.append(_round(running, name, shape))
        assert rounds[-1][0], [said for _, said in rounds]
        assert running.stop() == 0


def _round(running: ReceiverProcess, name: str, shape: Shape) -> tuple[bool, str]:
    """Whether the good sender was served beside the attack, and its figures."""
    requests = [signed(event(number, number % 97)) for number in range(int(RATE * shape.seconds))]
    quiet = send(running.address, requests[:200], RATE, 16)
    stop, most_rss = SPAWN.Event(), [0]
    attacker = SPAWN.Process(target=attack, args=(name, running.address, shape, stop))
    attacker.start()
    try:
        time.sleep(1.0)

        def watch() -> None:
            while not stop.is_set():
                most_rss[0] = max(most_rss[0], running.rss_bytes())
                time.sleep(0.05)

        watcher = threading.Thread(target=watch)
        watcher.start()
        beside = send(running.address, requests, RATE, 16)
    finally:
        stop.set()
        attacker.join(20)
    watcher.join()
    taken = _taken(beside)
    figures = (
        f"{taken:.4f} taken, p99 {percentile_s(beside, 0.99):.3f} s beside {percentile_s(quiet, 0.99):.3f} s alone"
    )
    print(f"{name}: {figures}, {most_rss[0] / 1e6:.0f} MB")  # noqa: T201 - with -s
    assert most_rss[0] <= MOST_RSS_BYTES
    return taken >= LEAST_TAKEN, figures


def _taken(outcomes: list[Outcome]) -> float:
    """The share that was answered 202 in time."""
    return sum(one.status == 202 and one.waited_s <= TAKEN_WITHIN_S for one in outcomes) / len(outcomes)
