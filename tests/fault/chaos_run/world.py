"""The world of a run: receiver, Kinesis, DynamoDB, one or two workers, the fake AWS, and a proxy between any two."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from stream_router.local.stack import seed_leases
from tests.constants import LINGER_S, with_constants
from tests.fakeaws.process import FakeAwsProcess
from tests.fault.chaos_run.chaos import rules_at_rest
from tests.fault.chaos_run.clock import Clock
from tests.fault.chaos_run.kinesis_local import kinesis_local
from tests.fault.chaos_run.lease_tap import LeaseTap
from tests.fault.chaos_run.proxy import Proxy, Wires
from tests.system.world import MARK, PROGRAM, REGION, SHIPPED, World, daemons, until

ROLE = "CHAOS_RUN_ROLE"
ONE_WORKERS_SHARDS = 2
FLEET = {
    "failoverTimeMillis": "5000",
    "parentShardPollIntervalMillis": "1000",
    "shardSyncIntervalMillis": "2000",
    "jvm.system.aws.cborEnabled": "false",
    # kinesis-local is slow by the call, by the record that it keeps, and by what a read gives back.
    "idleTimeBetweenReadsInMillis": "500",
    "maxRecords": "300",
    "STREAM_ROUTER_JVM_OPTIONS": "-Xmx256m -XX:TieredStopAtLevel=1",
}
"""What a fleet's daemons run with beside the shipped properties: an emulator speaks JSON, and a run is short. Leases
are balanced at the shipped intervals; at those of local.properties, on a busy machine, they only go to and fro."""

STREAM, APPLICATION = "cxone-events", "cxone-event-router"

SPILL_QUEUE = "spill"
SPILLS = ("disk", "disk", "none", "none", "queue", "disk", "disk", "none")
"""The receiver's spill by the seed modulo 8. Odd seeds have conversation order, which a spill queue does not keep."""


class ChaosWorld:
    """Starts everything; `close` ends everything. Programs are started from the thread that made the world alone."""

    def __init__(
        self, folder: Path, seed: int, *, reshards: bool, clock: bool, in_order: bool, spill: str, shards: int
    ) -> None:
        self.folder = folder
        self.wires = Wires()
        self.world = World(
            folder,
            STREAM_ROUTER_SHARDS=str(shards),
            STREAM_ROUTER_BUCKETS="16",
            STREAM_ROUTER_ORDERING="conversation" if in_order else "none",
            **({"STREAM_ROUTER_SPILL_DIR": str(folder / "spill")} if spill == "disk" else {}),
            **(with_constants({LINGER_S: 0.25}) if reshards else {}),
        )
        (folder / "spill").mkdir()
        if shards > ONE_WORKERS_SHARDS:
            self._use_the_fleets_properties()
        self._reshards = reshards
        self._spill = spill
        self.clock = Clock(folder) if clock else None
        self.tap = LeaseTap()
        self.fake_aws = FakeAwsProcess(folder / "ledger", {"rules": rules_at_rest()}, seed, "--payloads")
        self.proxies: dict[str, Proxy] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    # --- start and end ------------------------------------------------------------------------------------------

    def start_aws(self) -> None:
        """Kinesis, DynamoDB, what `setup` makes in them, the leases, the proxies."""
        world = self.world
        kinesis_port = world.port
        if self._reshards:
            kinesis_port = kinesis_local(world, self.folder)
            world.environment["AWS_ENDPOINT_URL_KINESIS"] = f"http://127.0.0.1:{kinesis_port}"
        self.kinesis = self._client("kinesis", kinesis_port)
        world.start_stack()
        world.run_setup()
        self.dynamodb = self._client("dynamodb", world.port)
        seed_leases(self.kinesis, self.dynamodb, STREAM, APPLICATION)
        ports = {"kinesis in": kinesis_port, "kinesis out": kinesis_port, "sink": self.fake_aws.port}
        self.proxies = {name: self.wires.proxy(name, port) for name, port in ports.items()}
        self.proxies["front"] = self.wires.proxy("front", int(world.url.rpartition(":")[2]))
        self.proxies["dynamodb"] = self.wires.proxy("dynamodb", world.port, self.tap)

    def _use_the_fleets_properties(self) -> None:
        environment = self.world.environment
        kept = [line for line in SHIPPED.read_text().splitlines() if line.partition(" ")[0] not in FLEET]
        own = [f"{name} = {value}" for name, value in FLEET.items() if not name.isupper()]
        path = self.folder / "fleet.properties"
        path.write_text("\n".join([*kept, *own]) + "\n")
        environment["STREAM_ROUTER_PROPERTIES"] = str(path)
        environment["STREAM_ROUTER_JVM_OPTIONS"] = FLEET["STREAM_ROUTER_JVM_OPTIONS"]

    def start_receiver(self) -> None:
        address = f"http://127.0.0.1:{self.proxies['kinesis in'].port}"
        queue = {}
        if self._spill == "queue":
            sink = f"http://127.0.0.1:{self.proxies['sink'].port}"
            queue = {"STREAM_ROUTER_SPILL_QUEUE": f"{sink}/000000000000/{SPILL_QUEUE}", "AWS_ENDPOINT_URL_SQS": sink}
        self._start("receiver", "receive", AWS_ENDPOINT_URL_KINESIS=address, **queue)

    def start_worker(self, name: str) -> None:
        """A supervisor, with a state folder of its own, that keeps its name."""
        sink = f"http://127.0.0.1:{self.proxies['sink'].port}"
        self._start(
            name,
            "consume",
            STREAM_ROUTER_WORKER=name,
            STREAM_ROUTER_RULE="none",
            STREAM_ROUTER_STATE_DIR=str(self.folder / f"state-{name}"),
            STREAM_ROUTER_ADMIN_LISTEN="127.0.0.1:0",
            SQS_DLQ_URL=f"{sink}/000000000000/dead-letters",
            AWS_ENDPOINT_URL_SQS=sink,
            AWS_ENDPOINT_URL_EVENTBRIDGE=sink,
            AWS_ENDPOINT_URL_CLOUDWATCH=self.fake_aws.url,
            AWS_ENDPOINT_URL_KINESIS=f"http://127.0.0.1:{self.proxies['kinesis out'].port}",
            AWS_ENDPOINT_URL_DYNAMODB=f"http://127.0.0.1:{self.proxies['dynamodb'].port}",
        )

    def _start(self, name: str, command: str, **more: str) -> None:
        clock = self.clock.environment if self.clock else {}
        self.processes[name] = self.world.start(name, PROGRAM, command, **{ROLE: name}, **clock, **more)

    def close(self) -> None:
        """End everything, whatever state it is in."""
        for pid in self.world.left_behind():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.world.close()
        self.wires.close()
        self.fake_aws.stop()

    # --- what runs ----------------------------------------------------------------------------------------------

    def pids(self, name: str, part: str) -> list[int]:
        """The processes of a worker or of the receiver: child, jvm, supervisor, receiver, or everything."""
        result = [(pid, words) for pid, role, words in self._running() if role == name]
        if part == "child":
            return [pid for pid, words in result if words[1:3] == ["-m", "stream_router.consumer.child"]]
        if part == "jvm":
            # With its properties file: without one it only shows, before it is started, that it loads.
            return daemons((pid, words) for pid, words in result if "--properties-file" in words)
        if part in ("supervisor", "receiver"):
            own = self.processes[name].pid
            return [own] if self.processes[name].poll() is None else []
        return [pid for pid, _ in result]

    def _running(self) -> Iterator[tuple[int, str, list[str]]]:
        marked = f"{MARK}={self.world.mark}".encode()
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                environment = (place / "environ").read_bytes().split(b"\0")
                if marked in environment:
                    role = next((item[len(ROLE) + 1 :] for item in environment if item.startswith(ROLE.encode())), b"")
                    words = (place / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                    yield int(place.name), role.decode(), words

    def is_ready(self) -> bool:
        """Whether the receiver answers that it is ready."""
        return self.world.is_ready()

    def spilled(self) -> list[str]:
        """Files and messages that are in the receiver's spill, by name."""
        files = [path.name for path in (self.folder / "spill").glob("*.seg")]
        return files + [message["id"] for message in self.fake_aws.queues().get(SPILL_QUEUE, [])]

    def leases(self) -> dict[str, str]:
        """The owner of each shard's lease, "" where it has none."""
        rows = self.dynamodb.scan(TableName=APPLICATION, ConsistentRead=True)["Items"]
        shards = [row for row in rows if row["leaseKey"]["S"].startswith("shardId-")]
        return {row["leaseKey"]["S"]: row.get("leaseOwner", {}).get("S", "") for row in shards if not _ended(row)}

    def is_ending(self) -> bool:
        """Whether a shard that was split or merged is not through yet: those after it are read only then."""
        return not self.leases().keys() <= set(self.open_shards())

    def is_read(self) -> bool:
        """Whether each lease that has not ended has an owner, and there is a child for each."""
        leases = self.leases()
        workers = [name for name in self.processes if name != "receiver"]
        return all(leases.values()) and len(leases) == sum(len(self.pids(name, "child")) for name in workers)

    def leader(self) -> str:
        """The worker that holds the KCL's leader lock; "" while nobody does."""
        for row in self.dynamodb.scan(TableName=APPLICATION, ConsistentRead=True)["Items"]:
            if "leader" in row["leaseKey"]["S"].lower():
                return next((row[key]["S"] for key in ("ownerName", "leaseOwner", "owner") if key in row), "")
        return ""

    # --- the stream ---------------------------------------------------------------------------------------------

    def shards(self) -> list[dict[str, Any]]:
        """Every shard of the stream, ended ones too."""
        return list(self.kinesis.list_shards(StreamName=STREAM)["Shards"])

    def open_shards(self) -> list[str]:
        return [
            shard["ShardId"] for shard in self.shards() if "EndingSequenceNumber" not in shard["SequenceNumberRange"]
        ]

    def _client(self, service: Any, port: int) -> Any:
        session = boto3.Session("test", "test", region_name=REGION)
        config = Config(retries={"max_attempts": 5}, read_timeout=20)
        return session.client(service, endpoint_url=f"http://127.0.0.1:{port}", config=config)

    def until_children(self, name: str, timeout_s: float) -> None:
        until(lambda: bool(self.pids(name, "child")), timeout_s, f"children of {name} run")


def _ended(row: dict[str, Any]) -> bool:
    return bool(row.get("checkpoint", {}).get("S") == "SHARD_END")
