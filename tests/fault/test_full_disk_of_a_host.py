"""The real programs on a host whose disk is full to the last byte: senders are answered, events go out, it is said."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from tests import small_disk
from tests.system.world import REGION, World, event_id, until, webhook

pytestmark = [pytest.mark.long, pytest.mark.timeout(420)]

FULL_S = 45.0
"""The last proof of the bus is too old for the children after 15 s; then they ask by themselves, every 10 s."""
PER_S = 5


def test_a_full_disk_holds_up_neither_receiver_nor_supervisor_nor_child(tmp_path: Path) -> None:
    """State folder and spill on a tmpfs of 4 MB that another program filled; once there is room, all is told."""
    disk = tmp_path / "disk"
    disk.mkdir()
    output, _ = small_disk.run_on(disk, "tests.fault.test_full_disk_of_a_host", "4m")
    told: dict[str, Any] = json.loads(output)
    assert told["slowestAnswerS"] < 0.9
    assert told["health"] == [[200, 200]]
    assert told["state"] == "catching up"
    assert told["reason"].startswith("its child has said nothing for ")
    assert told["headroomS"] > 0
    assert told["checkpointsMoved"], "a crash of the host would bring back seconds, not all since the disk was full"
    log = (tmp_path / "consume.log").read_text()
    assert "the state folder cannot be written: No space left on device" in log
    assert "the metrics' snapshot was not written: No space left on device" in log
    assert told["deliveredAfter"] == told["sent"], "nothing of what was counted meanwhile is missing"


class Host(World):
    """A world whose state and spill are on the small disk; its logs are not."""

    def __init__(self, disk: Path) -> None:
        spill = disk / "spill"
        spill.mkdir()
        own = {"STREAM_ROUTER_STATE_DIR": str(disk / "state"), "STREAM_ROUTER_SPILL_DIR": str(spill)}
        super().__init__(disk.parent, **own)
        self.admin = f"http://{self.environment['STREAM_ROUTER_ADMIN_LISTEN']}"
        session = boto3.Session("test", "test", region_name=REGION)
        self.leases = session.resource("dynamodb", endpoint_url=self.environment["AWS_ENDPOINT_URL"]).Table(
            "cxone-event-router"
        )

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = httpx.get(f"{self.admin}/status", timeout=5).json()
        return told

    def checkpoints(self) -> dict[str, str]:
        found = [one for one in self.leases.scan(ConsistentRead=True)["Items"] if "checkpoint" in one]
        return {str(one["leaseKey"]): str(one["checkpoint"]) for one in found}


def inside(disk: Path) -> dict[str, Any]:
    """What happens on the small disk."""
    world = Host(disk)
    try:
        world.start_all()
        sent = world.post_many(20, 10)
        world.all_arrived(sent, 60)
        until(lambda: world.status()["state"] == "caught up", 60, "it is caught up")
        hog = small_disk.fill(disk)
        told = _while_full(world, sent)
        hog.unlink()
        until(lambda: _delivered(world) == len(sent) and world.status()["state"] == "caught up", 60, "all is told")
        return {**told, "sent": len(sent), "deliveredAfter": _delivered(world)}
    finally:
        world.close()


def _while_full(world: Host, sent: dict[str, bytes]) -> dict[str, Any]:
    before, number, slowest_s = world.checkpoints(), 1000, 0.0
    health: set[tuple[int, ...]] = set()
    ends = time.monotonic() + FULL_S
    mine: dict[str, bytes] = {}
    while time.monotonic() < ends:
        body, began = webhook(number), time.monotonic()
        assert world.post(f"d-{number}", body).status_code == 202
        slowest_s = max(slowest_s, time.monotonic() - began)
        mine[event_id("hmac", f"d-{number}", 0, body)] = body
        number += 1
        health.add(tuple(httpx.get(f"{world.admin}{path}").status_code for path in ("/healthz", "/readyz")))
        time.sleep(1 / PER_S)
    world.all_arrived(mine, 10)
    sent |= mine
    status = world.status()
    return {
        "slowestAnswerS": slowest_s,
        "health": [list(one) for one in health],
        "state": status["state"],
        "reason": status["reason"],
        "headroomS": status["lag"]["retentionHeadroomS"],
        "checkpointsMoved": before != world.checkpoints(),
    }


if __name__ == "__main__":
    json.dump(inside(Path(sys.argv[1])), sys.stdout)


def _delivered(world: Host) -> int:
    return int(world.status()["totals"]["counters"]["delivered"])
