"""Kill -9 in the middle of the traffic: nothing is lost, and whatever comes twice is the same event.

Long lane: what it kills, tests/fault/lane/test_lane.py kills in `make test`, with more beside.
"""

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from tests.system.world import World, until

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(300)]

EVENTS = 4_000
RATE = 250.0


def test_nothing_is_lost_when_a_child_and_then_the_daemon_are_killed(make_world: Callable[..., World]) -> None:
    """A child dies and takes the JVM with it; later the JVM is killed itself; every event comes out all the same."""
    world = make_world()
    world.start_all()
    sent: dict[str, bytes] = {}
    traffic = threading.Thread(target=lambda: sent.update(world.post_many(EVENTS, RATE)))
    arrived: list[dict[str, Any]] = []
    traffic.start()

    _until_flowing(world, arrived)
    victims = world.children()
    os.kill(victims[0], signal.SIGKILL)
    until(lambda: not set(victims) & set(world.children()), 20, "the daemon ended with its child")
    until(lambda: len(world.children()) >= 2, 60, "the supervisor started it again")

    _until_flowing(world, arrived)
    victims = world.children()
    os.kill(world.jvm(), signal.SIGKILL)
    until(lambda: not set(victims) & set(world.children()), 20, "no child outlives its daemon")

    traffic.join()
    assert len(sent) == EVENTS

    def all_came() -> bool:
        arrived.extend(world.drain(world.target))
        return len({event["detail"]["eventId"] for event in arrived}) >= EVENTS

    until(all_came, 120, "every event came out")
    world.consumer.terminate()
    assert world.consumer.wait(30) == 0
    arrived.extend(world.drain(world.target))
    assert not world.drain(world.dead_letters), "no good event is buried"

    identities: dict[str, set[str]] = defaultdict(set)
    for event in arrived:
        identities[event["detail"]["eventId"]].add(event["detail"]["correlationId"])
    assert identities.keys() == sent.keys()
    assert all(len(correlations) == 1 for correlations in identities.values())


def _until_flowing(world: World, arrived: list[dict[str, Any]]) -> None:
    """Wait until further events come out."""
    before = len(arrived)

    def more() -> bool:
        arrived.extend(world.drain(world.target))
        return len(arrived) > before + 200

    until(more, 90, "events flow")
    time.sleep(0.05)
