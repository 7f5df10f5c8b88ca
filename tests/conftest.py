"""What holds for every test of the session."""

from collections.abc import Iterator

import pytest

from tests import schema_check


@pytest.fixture(scope="session", autouse=True)
def _what_is_emitted_conforms() -> Iterator[None]:
    """Every object that a schema of docs/schemas describes is held against it, whichever test made it."""
    with pytest.MonkeyPatch.context() as patch:
        schema_check.install(patch)
        yield
