"""The children's snapshots on disk: one file each, in the state folder; written by `consumer/child/snapshot.py`."""

import contextlib
from pathlib import Path
from typing import Any

import orjson

from stream_router.model import SNAPSHOTS


def snapshot_file(folder: Path, shard_id: str, pid: int) -> Path:
    """Where a child's snapshot is, in the `folder` of them."""
    return folder / f"{shard_id}.{pid}.json"


def read_snapshots(folder: Path) -> list[dict[str, Any]]:
    """Every snapshot under a state folder, of children that live and of those before them; unreadable ones left out."""
    found = []
    for file in sorted((folder / SNAPSHOTS).glob("*.json")):
        with contextlib.suppress(OSError, orjson.JSONDecodeError):
            found.append(orjson.loads(file.read_bytes()))
    return found
