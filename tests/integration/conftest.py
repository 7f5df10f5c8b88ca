"""An embedded stack for a module's tests, and the control plane's clients pointed at it."""

from collections.abc import Iterator

import pytest

from stream_router.aws.clients import Clients
from stream_router.local import stack
from stream_router.local.programs import REGION, Programs, clean_environment


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with Programs() as programs:
        yield stack.start(programs)[1]


@pytest.fixture
def clients(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Clients:
    for key, value in clean_environment(endpoint).items():
        monkeypatch.setenv(key, value)
    return Clients(REGION)
