"""What holds for every test of the simulator."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _cycles_are_looked_for_between_two_seeds() -> Iterator[None]:
    """As in the child itself (`consumer/child/__main__.py`): events make no cycles, and what was imported stays."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()
