"""The largest: eight shards with a backlog of records of 1 MiB and one worker. Heap and memory are bounded and printed.

A long test. ministack takes records of 1 MiB at most and, other than Kinesis, bounds an answer by records alone: so
`maxRecords` stands for Kinesis's 10 MiB an answer here.
"""

import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakeaws.process import FakeAwsProcess
from tests.fault.soak import TOOK, Watch, ledger
from tests.system.world import PROGRAM, SHIPPED, World, until

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(470)]

SHARDS, RECORDS, LINES = 8, 40, 10
RECORD_BYTES = 1024 * 1024
ANSWER_BYTES = 10 * 1024 * 1024
HEAP_MIB = 512
CHILD_MIB = 300
"""What one child may take: a window of 64 MiB, as it stands, opened, and on its way out, beside 60 MiB of program."""

_FULL = re.compile(r"Pause Full .*? (\d+)M->(\d+)M\((\d+)M\)")
"""A collection of the whole heap: what is left is in use. What a young one leaves is mostly garbage too."""


def _record(shard: int, number: int) -> bytes:
    """A record of 1 MiB to the byte: ten envelopes, as large as its room lets them be."""
    lines = []
    for line in range(LINES):
        identity = (shard * RECORDS + number) * LINES + line
        head = (
            f'{{"v":1,"id":"{identity:032x}","idFrom":"delivery","receivedAt":{int(time.time() * 1000)},"body":'
            f'{{"interactionId":"i-{identity}","conversationId":"c-{identity}","eventType":"interaction.created",'
            '"timestamp":"2026-11-24T09:30:00.123Z","payload":{"text":"'
        )
        room = (RECORD_BYTES - LINES + 1) // LINES + (1 if line < (RECORD_BYTES - LINES + 1) % LINES else 0)
        lines.append(f'{head}{"x" * (room - len(head) - 4)}"}}}}}}')
    return "\n".join(lines).encode()


def test_a_backlog_of_the_largest_records_is_drained_in_bounded_memory(
    make_world: Callable[..., World], fake_aws: FakeAwsProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing restarts, nothing is lost or copied; the JVM stays in its heap, each child below its bound."""
    properties, gc_log = tmp_path / "largest.properties", tmp_path / "gc.log"
    shipped = SHIPPED.read_text()
    assert "maxRecords = 2000\n" in shipped
    properties.write_text(
        shipped.replace("maxRecords = 2000\n", f"maxRecords = {ANSWER_BYTES // RECORD_BYTES}\n")
        + "\njvm.system.aws.cborEnabled = false\n"
    )
    world = make_world(
        STREAM_ROUTER_SHARDS=str(SHARDS),
        STREAM_ROUTER_PROPERTIES=str(properties),
        STREAM_ROUTER_JVM_OPTIONS=f"-Xlog:gc:file={gc_log}",
    )
    world.start_stack()
    world.run_setup()
    _fill(world)
    world.seed_leases()
    watch, begun = Watch(world), time.monotonic()
    world.start("consume", PROGRAM, "consume", AWS_ENDPOINT_URL_EVENTBRIDGE=fake_aws.url, STREAM_ROUTER_RULE="none")
    wanted = {f"{identity:032x}" for identity in range(SHARDS * RECORDS * LINES)}
    until(lambda: _took(fake_aws).keys() >= wanted, 300, "the backlog is drained")
    seconds = time.monotonic() - begun
    watch.close()
    took = _took(fake_aws)
    most = {
        role: max(
            (item.rss_bytes / 2**20 for (of, _), s in watch.samples.items() if of == role for item in s), default=0
        )
        for role in ("jvm", "child", "supervisor")
    }
    heap = [tuple(map(int, result.groups())) for result in _FULL.finditer(gc_log.read_text())]
    with capsys.disabled():
        sys.stdout.write(
            f"\n  {SHARDS} shards, {SHARDS * RECORDS} records of 1 MiB drained in {seconds:.0f} s (start included); "
            f"JVM {most['jvm']:.0f} MiB resident, at most {max(h[1] for h in heap)} MiB of its heap in use after "
            f"{len(heap)} full collections; the largest child {most['child']:.0f} MiB, supervisor "
            f"{most['supervisor']:.0f} MiB\n"
        )
    assert set(took.values()) == {1}
    assert "is started again" not in (tmp_path / "consume.log").read_text()
    assert len([1 for role, _ in watch.samples if role == "child"]) == SHARDS, "no child was replaced"
    assert heap, "the heap was filled"
    assert max(h[1] for h in heap) < HEAP_MIB * 0.9, "room is left"
    assert most["child"] < CHILD_MIB
    assert not world.drain(world.dead_letters)


def _fill(world: World) -> None:
    """The same number of records into each shard."""
    for shard, description in enumerate(world.kinesis.list_shards(StreamName="cxone-events")["Shards"]):
        key = description["HashKeyRange"]["StartingHashKey"]
        for first in range(0, RECORDS, 4):
            world.kinesis.put_records(
                StreamName="cxone-events",
                Records=[
                    {"Data": _record(shard, number), "PartitionKey": "p", "ExplicitHashKey": key}
                    for number in range(first, first + 4)
                ],
            )


def _took(fake_aws: FakeAwsProcess) -> Counter[str]:
    return Counter(line["eventId"] for line in ledger(fake_aws) if line["verdict"] in TOOK)
