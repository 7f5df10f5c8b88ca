"""A world of real processes for each test that asks for one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.world import World


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes worlds, not started yet; whatever they started is ended after the test."""
    worlds: list[World] = []

    def make(**settings: str) -> World:
        worlds.append(World(tmp_path, **settings))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()
        assert not world.left_behind()
