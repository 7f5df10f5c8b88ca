"""Reads the KCL's writes to its lease table as they pass on their way to DynamoDB: checkpoints and owners.

A write is noted before it is passed on, so whatever it says must have been true by then.
"""

import json
import re
import time
from typing import Any

from tests.fault.chaos_run.evidence import Checkpoint, Owner

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_TARGET = re.compile(rb"x-amz-target: *DynamoDB_20120810\.(\w+)", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")


class LeaseTap:
    """A proxy's tap. DynamoDB's clients speak HTTP/1.1, one request after the other on a connection."""

    def __init__(self) -> None:
        self.checkpoints: list[Checkpoint] = []
        self.owners: list[Owner] = []
        self.calls = 0
        self._buffers: dict[int, bytes] = {}
        self._asked: dict[int, list[Checkpoint | Owner]] = {}

    def __call__(self, connection: int, up: bool, data: bytes) -> None:
        if not up:
            self._answered(connection, data)
            return
        buffer = self._buffers.get(connection, b"") + data
        while (end := buffer.find(b"\r\n\r\n")) >= 0:
            head = buffer[:end]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(buffer) < whole:
                break
            target = _TARGET.search(head)
            self._asked_for(connection, target[1] if target else b"", buffer[end + 4 : whole])
            buffer = buffer[whole:]
        self._buffers[connection] = buffer

    def _asked_for(self, connection: int, operation: bytes, body: bytes) -> None:
        self.calls += 1
        self._asked[connection] = []
        if operation == b"UpdateItem":
            self._asked[connection] = _written(json.loads(body), time.time())

    def _answered(self, connection: int, data: bytes) -> None:
        status = _STATUS.match(data)
        if not status:
            return
        for item in self._asked.pop(connection, []):
            if isinstance(item, Checkpoint):
                self.checkpoints.append(item._replace(taken=status[1] == b"200"))
            elif status[1] == b"200":
                self.owners.append(item)

    def end(self) -> None:
        """What was asked for and never answered counts as asked for."""
        for asked in self._asked.values():
            self.checkpoints += [item for item in asked if isinstance(item, Checkpoint)]
        self._asked.clear()


def _written(call: dict[str, Any], now: float) -> list[Checkpoint | Owner]:
    """The checkpoint and the owner that an UpdateItem of a shard's lease writes, where it does."""
    shard = str(call["Key"].get("leaseKey", {}).get("S", ""))
    changes = {name: change.get("Value", {}).get("S") for name, change in call.get("AttributeUpdates", {}).items()}
    if not shard.startswith("shardId-"):
        return []
    result: list[Checkpoint | Owner] = []
    if position := changes.get("checkpoint"):
        result.append(Checkpoint(now, shard, position, taken=False))
    if worker := changes.get("leaseOwner"):
        result.append(Owner(now, shard, worker))
    return result
