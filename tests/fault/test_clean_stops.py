"""SIGTERM to `consume` under load, twenty times: it ends in time, nothing is lost, nothing comes twice.

`make prove PROVE='-k clean_stop'`, eight minutes. What it prints is what docs/proof.md states.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.fakeaws.process import FakeAwsProcess
from tests.fault.soak import TOOK, Sender, account, ledger
from tests.system.world import PROGRAM, World, until

pytestmark = [pytest.mark.prove, pytest.mark.timeout(900)]

STOPS, CLEAN = 20, 19
RATE = 200.0
ENDS_WITHIN_S = 20.0


class Stop(NamedTuple):
    """One stop: seconds to the exit, its status, copies that the bus took between it and the next one."""

    took_s: float
    status: int
    copies: int


class Load:
    """Sends on a thread until it is closed."""

    def __init__(self, world: World) -> None:
        self.sender = Sender(world, RATE, slice_s=2.0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            self.sender.slice()

    def close(self) -> None:
        self._over.set()
        self._thread.join()


def test_a_clean_stop_under_load_twenty_times(
    make_world: Callable[..., World], fake_aws: FakeAwsProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 0 within 20 s each time, every 202 delivered, no copy after the restart in at least 19."""
    world = make_world()
    world.start_stack("tests.fault.long_ministack")
    world.run_setup()
    world.seed_leases()
    world.receiver = world.start("receive", PROGRAM, "receive")
    until(world.is_ready, 30, "the receiver is ready")
    load = Load(world)
    stops: list[Stop] = []
    copies = 0
    for _ in range(STOPS):
        consumer = world.start(
            "consume", PROGRAM, "consume", AWS_ENDPOINT_URL_EVENTBRIDGE=fake_aws.url, STREAM_ROUTER_RULE="none"
        )
        _until_it_keeps_up(fake_aws, load.sender)
        now = account(fake_aws, load.sender.acked)["copies"]
        if stops:
            stops[-1] = stops[-1]._replace(copies=now - copies)
        copies = now
        stopped_s = time.monotonic()
        consumer.terminate()
        status = consumer.wait(ENDS_WITHIN_S + 20)
        stops.append(Stop(round(time.monotonic() - stopped_s, 1), status, 0))
    load.close()
    world.start("consume", PROGRAM, "consume", AWS_ENDPOINT_URL_EVENTBRIDGE=fake_aws.url, STREAM_ROUTER_RULE="none")
    until(lambda: not account(fake_aws, load.sender.acked)["lost"], 60, "every event came out")
    result = account(fake_aws, load.sender.acked)
    stops[-1] = stops[-1]._replace(copies=result["copies"] - copies)
    with capsys.disabled():
        took = sorted(stop.took_s for stop in stops)
        clean = sum(not stop.copies for stop in stops)
        sys.stdout.write(
            f"\n  {STOPS} stops under {RATE:.0f} events/s: {result}; exit after {took[0]} to {took[-1]} s; "
            f"{clean} without a copy, the others {[stop.copies for stop in stops if stop.copies]}\n"
        )
    assert {stop.status for stop in stops} == {0}
    assert max(stop.took_s for stop in stops) < ENDS_WITHIN_S
    assert sum(not stop.copies for stop in stops) >= CLEAN


def _until_it_keeps_up(fake_aws: FakeAwsProcess, sender: Sender) -> None:
    """Until what is acknowledged comes out within seconds."""

    def keeps_up() -> bool:
        acked = set(sender.acked)
        time.sleep(3.0)
        took = {line["eventId"] for line in ledger(fake_aws) if line["verdict"] in TOOK}
        return bool(acked) and acked <= took

    until(keeps_up, 120, "the consumer keeps up")
