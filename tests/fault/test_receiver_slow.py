"""Slow and hostile connections beside good traffic: nobody good is lost or kept waiting."""

import contextlib
import json
import multiprocessing
import resource
import socket
import time
from collections import Counter
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from tests.constants import BODY_S, HEAD_S, with_constants
from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import event, receiver, stored_ids
from tests.receiver_load import Outcome, percentile_s, post, send

SPAWN = multiprocessing.get_context("spawn")
"""The pressure is a process of its own: it must not slow down the load that measures."""
SHORT = {"slow": 300, "rate": 200, "seconds": 4}
LONG = {"slow": 2_000, "rate": 500, "seconds": 20}
GOOD_P99_S = 0.25
SLACK_S = 0.15
ROUNDS = 3
RSS_BYTES = 256 * 1024 * 1024
DRIP_EVERY_S = 0.5


class SlowSenders:
    """Connections that send a byte now and then: a third headers, a third bodies, a third never read their answers.

    A connection that the receiver closes is opened again, so the pressure stays.
    """

    def __init__(self, address: tuple[str, int], count: int) -> None:
        self._address = address
        self._count = count
        self._open: dict[int, socket.socket] = {}
        self.refused = 0

    def run(self, stop: Event) -> None:
        """Keep it up until told to stop."""
        while not stop.is_set():
            for number in range(self._count):
                if number not in self._open:
                    self._connect(number)
            for number, connection in list(self._open.items()):
                self._drip(number, connection)
            stop.wait(DRIP_EVERY_S)
        for connection in self._open.values():
            connection.close()

    def _connect(self, number: int) -> None:
        connection = socket.socket()
        connection.settimeout(2)
        if number % 3 == 2:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        try:
            connection.connect(self._address)
            connection.sendall(self._opening(number))
        except OSError:
            self.refused += 1
            connection.close()
            return
        connection.setblocking(False)
        self._open[number] = connection

    def _opening(self, number: int) -> bytes:
        if number % 3 == 0:
            return b"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Slow: "
        if number % 3 == 1:
            length = 700_000 if number % 2 else 5_000
            return b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n{" % length
        return b"GET /nothing-here HTTP/1.1\r\nHost: x\r\n\r\n" * 50

    def _drip(self, number: int, connection: socket.socket) -> None:
        try:
            if number % 3 == 2:
                connection.send(b"GET /nothing-here HTTP/1.1\r\nHost: x\r\n\r\n")
            else:
                connection.send(b"a")
                with contextlib.suppress(BlockingIOError):
                    if not connection.recv(4096):
                        raise ConnectionResetError
        except BlockingIOError:
            return
        except OSError:
            connection.close()
            del self._open[number]


def press(address: tuple[str, int], count: int, stop: Event, refused: "Synchronized[int]") -> None:
    """The slow senders' process."""
    _raise_open_files()
    slow = SlowSenders(address, count)
    slow.run(stop)
    refused.value = slow.refused


def _raise_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))


def _unharmed(outcomes: list[Outcome]) -> bool:
    """Whether every good event was taken, and in time."""
    return {one.status for one in outcomes} == {202} and percentile_s(outcomes, 0.99) < GOOD_P99_S + SLACK_S


@pytest.mark.parametrize("shape", [SHORT, pytest.param(LONG, marks=pytest.mark.long)], ids=["short", "long"])
def test_slow_connections_do_not_harm_good_ones(tmp_path: Path, shape: dict[str, int]) -> None:
    """Beside thousands of slow headers, bodies and readers: every good event 202 and stored, p99 within 250 ms."""
    _raise_open_files()
    with (
        FakeAwsProcess(tmp_path / "ledger") as fake_aws,
        receiver(fake_aws.url, tmp_path, **with_constants({HEAD_S: 5, BODY_S: 5})) as running,
    ):
        stop, refused = SPAWN.Event(), SPAWN.Value("i", 0)
        requests = [post(event(number, conversation=number % 50)) for number in range(shape["rate"] * shape["seconds"])]

        pressure = SPAWN.Process(target=press, args=(running.address, shape["slow"], stop, refused))
        pressure.start()
        time.sleep(2.0)
        rounds = [send(running.address, requests, shape["rate"], 64)]
        # The pressure is in each round; a stall of a shared machine is not.
        while not _unharmed(rounds[-1]) and len(rounds) < ROUNDS:
            rounds.append(send(running.address, requests, shape["rate"], 64))
        most_rss_bytes = running.rss_bytes()
        stop.set()
        pressure.join()
        assert _unharmed(rounds[-1])
        statuses = Counter(outcome.status for outcomes in rounds for outcome in outcomes)
        assert statuses.keys() <= {202, 503}
        promised = {outcome.identity for outcomes in rounds for outcome in outcomes if outcome.status == 202}
        assert len(promised) == len(requests)
        assert promised <= set(stored_ids(fake_aws.lines("PutRecords")))
        assert most_rss_bytes < RSS_BYTES
        assert refused.value == 0
        assert running.stop() == 0
        assert all(json.loads(line) for line in running.log.read_text().splitlines())
