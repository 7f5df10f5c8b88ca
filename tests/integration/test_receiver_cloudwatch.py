"""The receiver's numbers in CloudWatch, from the real process: they are the ledger's, and hold nothing up."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tests.constants import METRICS_EVERY_S, with_constants
from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import event, eventually, receiver, stored_ids

FAKE_AWS = ({"shard_limits": False}, 0, "--payloads")


def published(fake_aws: FakeAwsProcess) -> tuple[Counter[str], dict[str, float]]:
    """Of what CloudWatch took for this application: each metric's sum, and its largest value."""
    sums: Counter[str] = Counter()
    largest: dict[str, float] = {}
    for line in fake_aws.lines("PutMetricData", "accepted"):
        datum: dict[str, Any] = json.loads(line["payload"])
        if len(datum["Dimensions"]) == 3 and datum["Values"]:
            name = datum["MetricName"]
            sums[name] += sum(value * count for value, count in zip(datum["Values"], datum["Counts"], strict=True))
            largest[name] = max(largest.get(name, 0.0), *datum["Values"])
    return sums, largest


def test_what_cloudwatch_is_told_is_what_the_ledger_holds(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Answers and refusals, through an outage with a spill, to the last before the end."""
    spill = tmp_path / "spill"
    spill.mkdir()
    answers = Counter[int]()

    def send(number: int) -> None:
        """As CXone does: a busy machine may answer 503 once."""
        status = 503
        while status == 503:
            status = httpx.post(f"{running.url}/v1/events", content=event(number)).status_code
            answers[status // 100] += 1
        assert status == 202

    with receiver(fake_aws.url, tmp_path, SPILL_DIR=str(spill), **with_constants({METRICS_EVERY_S: 0.5})) as running:
        for number in range(30):
            send(number)
        assert httpx.post(f"{running.url}/v1/events", content=b"{").status_code == 400
        fake_aws.plan({"rules": [{"fault": "outage", "operation": "PutRecords"}]})
        for number in range(30, 35):
            send(number)
        of_an_outage = ("SpillBytes", "SpillOldestAgeSeconds", "StreamDown")
        eventually(lambda: all(published(fake_aws)[1].get(name) for name in of_an_outage))
        fake_aws.plan({"shard_limits": False})
        eventually(lambda: len(set(stored_ids(fake_aws.lines("PutRecords")))) == 35, 20.0)
        send(35)
        assert running.stop() == 0
    sums, largest = published(fake_aws)
    assert (sums["Answered2xxCount"], sums["Answered4xxCount"], sums["Answered5xxCount"]) == (answers[2], 1, answers[5])
    assert sums["RecordsFailedCount"] > 0
    assert largest["ReceiverReady"] == 1


def test_a_cloudwatch_that_hangs_holds_up_no_sender_and_no_stop(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Each request stalls for 30 s: events are answered as ever, and a stop ends within its ten seconds."""
    fake_aws.plan({"rules": [{"fault": "stall", "operation": "PutMetricData", "stall_s": 30.0, "accept": False}]})
    with receiver(fake_aws.url, tmp_path, **with_constants({METRICS_EVERY_S: 0.1})) as running:
        for number in range(40):
            answer = httpx.post(f"{running.url}/v1/events", content=event(number), timeout=5.0)
            assert answer.status_code == 202
        assert running.stop() == 0
    assert fake_aws.lines("PutMetricData", "accepted") == []


def test_a_role_that_may_not_send_metrics_is_said_and_serves_on(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """After an upgrade a role may lack the permission: a line says what to allow, events go on."""
    rule = {"fault": "call_error", "operation": "PutMetricData", "code": "AccessDenied", "status": 403}
    fake_aws.plan({"rules": [rule]})
    with receiver(fake_aws.url, tmp_path, **with_constants({METRICS_EVERY_S: 0.2})) as running:
        eventually(lambda: "CloudWatch does not take the metrics: AccessDenied" in running.log.read_text())
        assert httpx.post(f"{running.url}/v1/events", content=event(1)).status_code == 202
        assert running.stop() == 0
