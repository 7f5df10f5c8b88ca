"""A stop while the consumer holds: it ends soon, and what it held comes again."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.system.world import PROGRAM, World, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

ENDS_WITHIN_S = {"local": 15.0, "shipped": 20.0}
"""By the properties: the KCL waits one failoverTimeMillis for its leases, 3 s against an emulator, 10 s as shipped."""


def _refusing_bus() -> tuple[subprocess.Popen[bytes], str]:
    """A bus that exists and refuses every event."""
    command = [sys.executable, "-m", "tests.fakeaws", "--port", "0", "--ledger", "none"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout
    ports: dict[str, Any] = json.loads(process.stdout.readline())
    plan = {"rules": [{"fault": "outage", "operation": "PutEvents"}]}
    url = f"http://127.0.0.1:{ports['port']}"
    request = urllib.request.Request(f"{url}/_plan", json.dumps(plan).encode(), method="POST")
    urllib.request.urlopen(request).read()
    return process, url


@pytest.mark.parametrize("which", ["local", pytest.param("shipped", marks=pytest.mark.long)])
def test_a_consumer_that_holds_ends_soon_and_loses_nothing(
    make_world: Callable[..., World], which: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM to `consume` while the bus refuses everything: exit 0 in time, and all comes out afterwards."""
    world = make_world()
    world.start_stack()
    world.run_setup()
    world.seed_leases()
    if which == "shipped":
        world.use_shipped_properties()
    world.receiver = world.start("receive", PROGRAM, "receive")
    until(world.is_ready, 30, "the receiver is ready")
    bus, url = _refusing_bus()
    try:
        consumer = world.start("consume", PROGRAM, "consume", AWS_ENDPOINT_URL_EVENTBRIDGE=url)
        until(lambda: len(world.children()) >= 2, 90, "two children run")
        sent = world.post_many(200, 200.0)
        log = world.folder / "consume.log"
        until(lambda: "accepts nothing" in log.read_text(), 60, "the consumer holds")
        consumer.terminate()
        stopped_s = time.monotonic()
        assert consumer.wait(ENDS_WITHIN_S[which] + 10) == 0
        took_s = time.monotonic() - stopped_s
        with capsys.disabled():
            sys.stdout.write(f"\n  SIGTERM while holding, {which} properties: exit 0 after {took_s:.1f} s\n")
        assert took_s < ENDS_WITHIN_S[which]
    finally:
        bus.kill()
        bus.communicate()
    world.start("consume", PROGRAM, "consume")
    world.all_arrived(sent, 90)
    assert not world.drain(world.dead_letters)
