"""Folders that settings name: a missing one is made and logged, unless the one above it is missing too."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from stream_router.consumer.state_dir import StateDir
from stream_router.telemetry import audit


def make_state_folder(folder: Path) -> None:
    StateDir(folder).close()


@pytest.mark.parametrize("make", [make_state_folder, audit.prepare])
def test_a_folder_that_is_made_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Path], None]
) -> None:
    """A misspelt path shows in the log of the first start; a folder that exists is not news."""
    folder = tmp_path / "misspelt"
    with caplog.at_level(logging.WARNING):
        make(folder)
        make(folder)
    (record,) = [record for record in caplog.records if getattr(record, "event", "") == "folder-made"]
    assert folder.is_dir()
    assert str(folder) in record.getMessage()
