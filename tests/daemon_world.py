"""A world for the real KCL daemon: ministack, two shards with seeded leases, `consume`, scripted children."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream_router.local.stack import SERVER
from tests import supervised
from tests.system import world

SECRET = "customer-secret-4711-é"


class World(world.World):
    """ministack (or a program of ours with it inside), a stream of two shards with seeded leases, and `consume`."""

    def __init__(self, folder: Path, server: str = SERVER) -> None:
        self.answers = folder / "answers"
        own = {
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "STREAM_ROUTER_ADMIN_LISTEN": "127.0.0.1:0",
            "STREAM_ROUTER_RULE": "none",
            "STREAM_ROUTER_STATE_DIR": str(folder / "state dir é"),
            "CHILD_LOG": str(folder / "heard"),
            "ANSWERS": str(self.answers),
            "LC_ALL": "C",
        }
        super().__init__(folder, **own)
        (folder / "heard").mkdir()
        self.answers.mkdir()
        self.start_stack(server)
        self.environment["SQS_DLQ_URL"] = self.target
        self.kinesis.create_stream(StreamName="cxone-events", ShardCount=2)
        self.seed_leases()

    def client(self, service: str) -> Any:
        return self._client(service)

    def consume(self) -> subprocess.Popen[bytes]:
        return self.start("consume", sys.executable, supervised.__file__, "consume")

    def put(self, count: int) -> set[str]:
        records = [{"Data": f"{SECRET} {n}".encode(), "PartitionKey": f"ключ-{n}"} for n in range(count)]
        answer = self.kinesis.put_records(StreamName="cxone-events", Records=records)
        return {record["SequenceNumber"] for record in answer["Records"]}

    def heard(self) -> dict[int, list[dict[str, Any]]]:
        """What each child heard, by process id, without the calls that had no records."""
        result = {}
        for file in (self.folder / "heard").iterdir():
            lines = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
            result[int(file.name)] = [line for line in lines if line.get("records") != []]
        return result

    def records(self) -> list[dict[str, Any]]:
        return [record for lines in self.heard().values() for line in lines for record in line.get("records", [])]

    def numbers(self) -> set[str]:
        """The sequence numbers of what the children were given."""
        return {record["sequenceNumber"] for record in self.records()}

    def lines(self) -> str:
        """The consumer's log."""
        return (self.folder / "consume.log").read_text("utf-8")

    def until(self, is_so: Callable[[], bool], timeout_s: float, kind: str) -> None:
        world.until(is_so, timeout_s, f"{kind}; {self.folder}/consume.log")
