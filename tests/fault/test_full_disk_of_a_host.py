"""The real programs on a host whose disk is full to the last byte: senders are answered, events go out, it is said."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import small_disk
from tests.system.world import World, event_id, until, webhook

pytestmark = [pytest.mark.long, pytest.mark.timeout(420)]

FULL_S = 45.0
"""Long enough that each program notices: the watch on what hangs too, which is to leave them alone."""
PER_S = 5


def test_a_full_disk_holds_up_neither_receiver_nor_supervisor_nor_child(tmp_path: Path) -> None:
    """State folder and spill on a tmpfs of 4 MB that another program filled; once there is room, all is told."""
    disk = tmp_path / "disk"
    disk.mkdir()
    output, _ = small_disk.run_on(disk, "tests.fault.test_full_disk_of_a_host", "4m")
    report: dict[str, Any] = json.loads(output)
    assert report["slowestAnswerS"] < 0.9
    assert report["health"] == [200]
    assert report["code"] == "disk-full"
    assert "(STREAM_ROUTER_STATE_DIR)" in report["reason"]
    assert report["lag"]["retentionHeadroomS"] > 0
    log = (tmp_path / "consume.log").read_text()
    assert "The state folder cannot be written: No space left on device" in log
    assert "so no checkpoint is taken; no event is lost. Free space on its disk." in log
    assert "The snapshot of the metrics was not written (No space left on device)" in log
    assert report["deliveredAfter"] == report["sent"], "nothing of what was counted meanwhile is missing"


def asked(world: World, path: str) -> httpx.Response:
    return httpx.get(f"http://{world.environment['STREAM_ROUTER_ADMIN_LISTEN']}{path}", timeout=5)


def delivered(world: World) -> int | None:
    """Of a consumer that is caught up."""
    status = asked(world, "/status").json()
    return int(status["totals"]["counters"]["delivered"]) if status["code"] == "well" else None


def inside(disk: Path) -> dict[str, Any]:
    """What happens on the small disk, on which state and spill are; the logs are not."""
    spill = disk / "spill"
    spill.mkdir()
    own = {"STREAM_ROUTER_STATE_DIR": str(disk / "state"), "STREAM_ROUTER_SPILL_DIR": str(spill)}
    world = World(disk.parent, **own)
    try:
        world.start_all()
        sent = world.post_many(20, 10)
        until(lambda: delivered(world) == 20, 120, "it is caught up")
        hog = small_disk.fill(disk)
        report = while_full(world, sent)
        hog.unlink()
        until(lambda: delivered(world) == len(sent), 60, "all is told")
        return {**report, "sent": len(sent), "deliveredAfter": delivered(world)}
    finally:
        world.close()


def while_full(world: World, sent: dict[str, bytes]) -> dict[str, Any]:
    mine, slowest_s, health = dict[str, bytes](), 0.0, set[int]()
    ends = time.monotonic() + FULL_S
    while (began := time.monotonic()) < ends:
        name = f"full-{len(mine)}"
        body = webhook(1000 + len(mine))
        assert world.post(name, body).status_code == 202
        slowest_s = max(slowest_s, time.monotonic() - began)
        mine[event_id("hmac", name, 0, body)] = body
        health |= {asked(world, path).status_code for path in ("/healthz", "/readyz")}
        time.sleep(1 / PER_S)
    world.all_arrived(mine, 10)
    sent |= mine
    return {**asked(world, "/status").json(), "slowestAnswerS": slowest_s, "health": [*health]}


if __name__ == "__main__":
    json.dump(inside(Path(sys.argv[1])), sys.stdout)
