"""`doctor` beside the real programs: what `--end-to-end` leaves behind, and says where there is no receiver."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stream_router.local.stack import seed_leases
from tests.ports import free_port
from tests.system.world import PROGRAM, World, until

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(300)]


def doctor(world: World, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [PROGRAM, "doctor", "--json", *arguments],
        env={**os.environ, **world.environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    parsed = json.loads(done.stdout)
    return done.returncode, {check["code"]: check for check in parsed["checks"]}


def test_a_probe_leaves_nothing_behind_and_reaches_no_target(tmp_path: Path) -> None:
    """No rule, no queue, no delivered event; without a receiver it is a failure."""
    world = World(tmp_path, STREAM_ROUTER_MASKING="default", STREAM_ROUTER_DROP_TYPES="stream_router.probe")
    try:
        world.start_stack()
        world.run_setup()
        # A lease table that is there: the KCL would wait up to half a minute before it makes its own.
        seed_leases(world.kinesis, world._client("dynamodb"), "cxone-events", "cxone-event-router")
        world.consumer = world.start("consume", PROGRAM, "consume")
        world.receiver = world.start("receive", PROGRAM, "receive")
        until(world.is_ready, 30, "the receiver is ready")
        until(lambda: len(world.children()) >= 2, 90, "two children run")
        events: Any = world._client("events")
        events.put_rule(Name="theirs", EventPattern=json.dumps({"source": ["nice.cxone.webhook"]}))
        status, findings = doctor(world, "--end-to-end")
        assert status == 0, [value for value in findings.values() if value["verdict"] not in ("well", "skipped")]
        assert re.fullmatch(r"answered 202 in \d+ ms", findings["SR201"]["says"])
        assert [rule["Name"] for rule in events.list_rules()["Rules"]] == ["cxone-webhook-router", "theirs"]
        assert not [url for url in world.sqs.list_queues()["QueueUrls"] if "probe" in url]
        assert world.drain(world.target) == []
        assert world.drain(world.dead_letters) == []
        world.receiver.terminate()
        assert world.receiver.wait(30) == 0
        status, findings = doctor(world, "--end-to-end", "--url", f"http://127.0.0.1:{free_port()}/v1/events")
        assert status == 1
        assert (findings["SR201"]["verdict"], findings["SR202"]["verdict"]) == ("wrong", "skipped")
        assert "start `stream-router receive`" in findings["SR201"]["cure"]
        assert not [url for url in world.sqs.list_queues()["QueueUrls"] if "probe" in url]
        world.consumer.terminate()
        assert world.consumer.wait(60) == 0
        status, findings = doctor(world)
        assert status == 1
        assert findings["SR160"]["verdict"] == "wrong"
    finally:
        world.close()
