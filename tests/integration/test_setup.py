"""`setup` against ministack, which really keeps what it is told; and `local`, which serves it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from stream_router.aws.clients import Clients
from stream_router.consumer.supervisor.watches.rule_check import RuleCheck
from stream_router.control.arns import Home
from stream_router.control.setup import rule_match, setup
from stream_router.local.environment import ACCOUNT, REGION, clean
from stream_router.settings.operators import Setup
from stream_router.settings.reading import load

TARGET = f"arn:aws:sqs:{REGION}:{ACCOUNT}:out"


@pytest.fixture
def clients(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Clients:
    for key, value in clean(endpoint, "test").items():
        monkeypatch.setenv(key, value)
    for key in list(os.environ):
        if key.startswith(("STREAM_ROUTER_", "SQS_", "EVENTBRIDGE_")) and key not in clean(endpoint, "test"):
            monkeypatch.delenv(key)
    return Clients(REGION)


def _setup(clients: Clients, *, plan: bool = False, **given: Any) -> tuple[setup.Made, list[str]]:
    said: list[str] = []
    made = setup.ensure(load(Setup, **given), clients, said.append, plan=plan)
    return made, said


def test_setup_makes_everything_once(clients: Clients) -> None:
    """What is there afterwards is what the contract says, and a second run changes nothing."""
    clients.sqs.create_queue(QueueName="out")
    made, _ = _setup(clients, stream="one", rule="one", target_arn=TARGET)
    assert made.steps.changes == 8
    summary = clients.kinesis.describe_stream_summary(StreamName="one")["StreamDescriptionSummary"]
    assert (summary["RetentionPeriodHours"], summary["EncryptionType"], summary["OpenShardCount"]) == (168, "KMS", 2)
    rule = clients.events.describe_rule(Name="one")
    assert json.loads(rule["EventPattern"])["source"] == ["nice.cxone.webhook"]
    (target,) = clients.events.list_targets_by_rule(Rule="one")["Targets"]
    assert target["RetryPolicy"] == {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 3600}
    assert target["DeadLetterConfig"]["Arn"].endswith(":one-undelivered")
    assert made.dead_letters_url
    assert made.dead_letters_url.endswith("/one-dead-letters")
    again, said = _setup(clients, stream="one", rule="one", target_arn=TARGET)
    assert again.steps.changes == 0, said


def test_a_second_target_takes_nothing_from_the_first(clients: Clients) -> None:
    """Set up again for another queue: both are targets of the rule, and both runs find all right afterwards."""
    queues = [f"{TARGET}-{name}" for name in ("first", "second")]
    for queue in queues:
        clients.sqs.create_queue(QueueName=queue.rsplit(":", 1)[-1])
        _setup(clients, stream="pair", rule="pair", target_arn=queue)
    targets = clients.events.list_targets_by_rule(Rule="pair")["Targets"]
    assert sorted(target["Arn"] for target in targets) == queues
    for queue in queues:
        again, said = _setup(clients, stream="pair", rule="pair", target_arn=queue)
        assert again.steps.changes == 0, said


def test_a_rule_that_is_called_otherwise_leaves_the_old_one_told(clients: Clients) -> None:
    """Both let each event through; the first run has nothing to tell."""
    _, said = _setup(clients, stream="renamed", rule="before", event_bus="names")
    assert not [line for line in said if "gets our events too" in line]
    _, said = _setup(clients, stream="renamed", rule="after", event_bus="names")
    (line,) = [line for line in said if "gets our events too" in line]
    assert "rule before " in line


def test_a_plan_leaves_everything_as_it_is(clients: Clients) -> None:
    """--plan says as many changes as a run then makes, and makes none."""
    planned, said = _setup(clients, plan=True, stream="two", rule="two", event_bus="cx")
    assert planned.dead_letters_url is None
    assert said[0] == "+ stream two: 2 shards (stream-router-setup=two)"
    assert "two" not in clients.kinesis.list_streams()["StreamNames"]
    assert "cx" not in [bus["Name"] for bus in clients.events.list_event_buses()["EventBuses"]]
    made, _ = _setup(clients, stream="two", rule="two", event_bus="cx")
    assert made.steps.changes == planned.steps.changes


def test_without_testeventpattern_real_events_prove_the_rule(clients: Clients) -> None:
    """They go over the bus to a queue of their own, and nothing of the proof is left."""

    def lacking(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "UnknownOperationException", "Message": ""}}, "TestEventPattern")

    clients.events.test_event_pattern = lacking  # type: ignore[method-assign]
    queues = clients.sqs.list_queues().get("QueueUrls", [])
    made, said = _setup(clients, stream="three", rule="three")
    assert [line for line in said if "real events" in line]
    assert made.steps.problems == 0
    left = set(clients.sqs.list_queues()["QueueUrls"]) - set(queues)
    assert not [url for url in left if "proof" in url]
    assert not [rule for rule in clients.events.list_rules()["Rules"] if "proof" in rule["Name"]]
    home = Home("aws", REGION, ACCOUNT)
    with pytest.raises(rule_match.NothingProvedError):
        rule_match.prove(clients, home, "default", "{}", ["interaction.created"], may_send=False)


def test_the_consumers_look_at_the_rule_finds_what_was_done_to_it(clients: Clients) -> None:
    """What setup made is right; changed, disabled, without its target, deleted: each is found at the next look."""
    clients.sqs.create_queue(QueueName="out")
    made = load(Setup, stream="four", rule="four", target_arn=TARGET)
    setup.ensure(made, clients, lambda _: None, plan=False)
    look = RuleCheck(clients.events, "four", "default", REGION, made.event_type_list)
    assert look() == []
    other = json.dumps({"source": ["nice.cxone.webhook"], "detail-type": ["agent.status.changed"]})
    clients.events.put_rule(Name="four", EventPattern=other, State="DISABLED")
    (target,) = clients.events.list_targets_by_rule(Rule="four")["Targets"]
    clients.events.remove_targets(Rule="four", Ids=[target["Id"]])
    assert [fault.problem for fault in look() or []] == [
        "rule four is disabled",
        "rule four has no target",
        "rule four does not match our events of type interaction.created, conversation.updated",
    ]
    clients.events.delete_rule(Name="four")
    assert [fault.problem for fault in look() or []] == ["rule four does not exist on bus default"]


def test_the_local_command_serves_until_it_is_told(tmp_path: Path) -> None:
    """Prints the exports that point a shell at it, and the line that reads them; ends with 0, leaves nothing behind."""
    program = Path(sys.executable).parent / "stream-router"
    (folder := tmp_path / "a folder").mkdir()
    with (tmp_path / "err").open("w") as errors:
        local = subprocess.Popen(
            [program, "local", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "TMPDIR": str(folder)},
        )
    with local:
        try:
            assert local.stdout
            lines = [local.stdout.readline() for _ in range(6)]
            (url,) = [line.partition("=")[2].strip() for line in lines if "AWS_ENDPOINT_URL" in line]
            assert f"export AWS_DEFAULT_REGION={REGION}\n" in lines, "boto3 itself reads this one alone"
            session = boto3.Session("test", "test", region_name=REGION)
            assert session.client("sqs", endpoint_url=url).list_queues()
            reads = lines[0].partition("first: ")[2].strip()
            shell = subprocess.run(
                ["sh", "-c", f"{reads} && echo $AWS_ENDPOINT_URL"], check=True, stdout=subprocess.PIPE, text=True
            )
            assert shell.stdout.strip() == url, "also where the folder's name has a space"
        finally:
            local.send_signal(signal.SIGTERM)
        assert local.wait(20) == 0
    assert not list(folder.iterdir())
