"""A child or a daemon that is stopped and never goes on: said, replaced, and nothing lost."""

import os
import signal
from collections.abc import Callable

import httpx
import pytest

from tests.system.world import World, until

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(480)]

SAID_WITHIN_S = 70
REPLACED_WITHIN_S = 240
STARTED_WITHIN_S = 90
EVENTS = 200


@pytest.mark.parametrize("who", ["child", "daemon"])
def test_what_stays_stopped_is_said_and_replaced(make_world: Callable[..., World], who: str) -> None:
    """Within a minute `/readyz` is 503 and the log names it; after three it is killed, and every event comes out."""
    world = make_world()
    world.start_all()
    sent = world.post_many(EVENTS, 50.0)
    world.all_arrived(sent, 60)
    admin = f"http://{world.environment['STREAM_ROUTER_ADMIN_LISTEN']}"
    victim = world.children()[0] if who == "child" else world.jvm()
    os.kill(victim, signal.SIGSTOP)
    later = {world.post_patiently(f"later-{n}", body): body for n, body in enumerate(sent.values())}
    until(lambda: httpx.get(f"{admin}/readyz").status_code == 503, SAID_WITHIN_S, "it is not ready")
    log = world.folder / "consume.log"
    assert '"event":"consumer-hangs"' in log.read_text("utf-8")
    assert httpx.get(f"{admin}/healthz").status_code == 200
    until(lambda: not os.path.exists(f"/proc/{victim}"), REPLACED_WITHIN_S, "it is killed")  # noqa: PTH110
    until(lambda: len(world.children()) >= 2, STARTED_WITHIN_S, "the daemon is started again")
    world.all_arrived(later, 120)
    until(lambda: httpx.get(f"{admin}/readyz").status_code == 200, 30, "it is ready again")
    assert not world.drain(world.dead_letters)
