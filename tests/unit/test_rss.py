"""How much memory the daemon has, as the page and /metrics tell it."""

import os

import pytest

from stream_router.consumer.supervisor.admin.status_json import rss_bytes


def test_memory_is_told_in_the_pages_of_this_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """An arm64 kernel may have pages of 64 KiB: told in 4 KiB the daemon would seem to take a sixteenth."""
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 65_536}.__getitem__)
    found = rss_bytes(os.getpid())
    assert found
    assert found > 300_000_000, "this process takes more than 19 MB, in pages of 4 KiB"
    assert rss_bytes(None) is None
