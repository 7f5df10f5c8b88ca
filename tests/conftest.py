"""What holds for every test of the session."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import environment, schema_check
from tests.fakeaws.process import FakeAwsProcess

settings.register_profile("tests", deadline=None)
settings.load_profile("tests")
"""Tests assert no speed: by default Hypothesis fails an example that took 0.2 s, as any does on a busy machine."""

LONGEST = ("/fault/chaos_run/", "/system/", "/simulation/")
"""Folders whose tests take minutes each. They begin first, else one of them runs alone at the end of all."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first; all else stays in its order."""
    items.sort(key=lambda item: next((n for n, name in enumerate(LONGEST) if name in str(item.path)), len(LONGEST)))


@pytest.fixture(scope="session", autouse=True)
def _what_is_emitted_conforms() -> Iterator[None]:
    """Every object that a schema of docs/schemas describes is held against it, whichever test made it."""
    with pytest.MonkeyPatch.context() as patch:
        schema_check.install(patch)
        yield


@pytest.fixture
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of this machine reaches the test."""
    environment.empty(monkeypatch)


@pytest.fixture
def fake_aws(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FakeAwsProcess]:
    """A fake AWS of the test's own, with the plan, the seed and the options that FAKE_AWS of its module names."""
    with FakeAwsProcess(tmp_path / "ledger", *getattr(request.module, "FAKE_AWS", ())) as running:
        yield running
