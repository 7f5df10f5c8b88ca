"""`setup` as the command: a setting that is at fault ends it with 78 before anything was made; and what it says."""

from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from stream_router.aws.clients import Clients
from stream_router.control.setup import setup, teardown
from stream_router.errors import SettingsError
from stream_router.local.environment import ACCOUNT, REGION
from stream_router.settings.operators import Setup
from stream_router.settings.reading import load

QUEUES = f"arn:aws:sqs:{REGION}:{ACCOUNT}"


def run(*, plan: bool = False, **given: Any) -> int:
    return setup.run(load(Setup, **given), plan=plan)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("EVENTBRIDGE_TARGET_ARN", {"target_arn": "arn:aws:lambda:eu-central-1:123456789012:function:f"}),
        ("EVENTBRIDGE_TARGET_ARN", {"target_arn": "arn:aws:dynamodb:us-east-1:123456789012:table/t"}),
        ("EVENTBRIDGE_TARGET_ARN", {"target_arn": f"{QUEUES}:q.fifo"}),
        ("EVENTBRIDGE_TARGET_ARN", {"target_arn": "arn:x"}),
        ("EVENTBRIDGE_TARGET_ARN", {"target_arn": f"{QUEUES}:nowhere"}),
        ("STREAM_ROUTER_TARGET_ROLE_ARN", {"target_arn": "arn:aws:states:us-east-1:123456789012:stateMachine:s"}),
        ("STREAM_ROUTER_TARGET_DLQ_ARN", {"target_dlq_arn": f"{QUEUES}:q.fifo"}),
        ("STREAM_ROUTER_TARGET_DLQ_ARN", {"target_dlq_arn": f"{QUEUES}:nowhere"}),
        ("SQS_DLQ_URL", {"sqs_dlq_url": "http://127.0.0.1/000000000000/q.fifo"}),
        ("SQS_DLQ_URL", {"sqs_dlq_url": "http://127.0.0.1/000000000000/nowhere"}),
        ("STREAM_ROUTER_EVENT_BUS", {"event_bus": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/nowhere"}),
        ("STREAM_ROUTER_EVENT_TYPES", {"event_types": ",".join(f"type.number.{n}" for n in range(400))}),
    ],
)
def test_a_setting_at_fault_is_78_and_nothing_was_made(
    clients: Clients, capsys: pytest.CaptureFixture[str], name: str, given: dict[str, Any]
) -> None:
    """The line names it; the stream, which would be made first, is not there."""
    with pytest.raises(SettingsError, match=f"^{name}: .*; "):
        run(stream="untouched", **given)
    assert "untouched" not in clients.kinesis.list_streams()["StreamNames"]
    assert not [url for url in clients.sqs.list_queues().get("QueueUrls", []) if "untouched" in url]
    assert capsys.readouterr().out == ""


def test_a_function_is_told_the_command_that_lets_eventbridge_in(
    clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without it each delivery is refused, and every event ends in the target's dead-letter queue."""
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:mine"
    assert run(stream="f", rule="f.1", target_arn=function) == 0
    assert (
        f"aws lambda add-permission --function-name {function} --statement-id stream-router-f-1 "
        "--action lambda:InvokeFunction --principal events.amazonaws.com "
        f"--source-arn arn:aws:events:{REGION}:{ACCOUNT}:rule/f.1\n"
    ) in capsys.readouterr().out


def test_a_rule_of_another_stream_is_not_taken_over(clients: Clients) -> None:
    """A second deployment of the account that names its own stream alone: the first one's rule stays as it is.

    Whoever means to replace a stream hands the rule over by its tag.
    """
    assert run(stream="first", rule="shared", event_types="order.created") == 0
    before = clients.events.describe_rule(Name="shared")
    with pytest.raises(
        SettingsError, match="STREAM_ROUTER_RULE: rule shared on bus default is of stream first; "
    ) as no:
        run(stream="second-of-two", rule="shared")
    assert "second-of-two" not in clients.kinesis.list_streams()["StreamNames"]
    assert clients.events.describe_rule(Name="shared")["EventPattern"] == before["EventPattern"]
    assert f"--resource-arn {before['Arn']} --tags Key=stream-router-setup,Value=second-of-two" in str(no.value)
    tag: Any = {"Key": "stream-router-setup", "Value": "second-of-two"}
    clients.events.tag_resource(ResourceARN=before["Arn"], Tags=[tag])
    assert run(stream="second-of-two", rule="shared") == 0


def test_a_run_says_what_it_made_once(clients: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    """What is looked at first is not said; and a plan with nothing in it offers nothing to run."""
    assert run(stream="s", rule="s") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(set(lines))
    assert lines[-2] == "4 made, 2 changed"
    assert run(stream="s", rule="s", plan=True) == 0
    assert "nothing to change" in capsys.readouterr().out.splitlines()
    clients.events.remove_targets(Rule="s", Ids=["x"])
    clients.events.delete_rule(Name="s")
    assert run(stream="s", rule="s", plan=True) == 0
    assert capsys.readouterr().out.splitlines()[-2].startswith("plan: 1 to make, 0 to change, ")


def test_a_plan_is_a_difference_and_its_exit_code_says_whether_there_is_one(
    clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    """`+`, `~` and `=`, from what to what; 2 where something would change, 0 where nothing would, as in a pipeline."""
    clients.sqs.create_queue(QueueName="p-dead-letters", Attributes={"MessageRetentionPeriod": "345600"})
    wanted = load(Setup, stream="p", rule="p")
    assert setup.run(wanted, plan=True, exit_code=True) == 2
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "+ stream p: 2 shards (stream-router-setup=p)"
    assert "~ queue p-dead-letters: MessageRetentionPeriod 345600 -> 1209600" in {line.split(",")[0] for line in said}
    assert "= event bus default" in said
    assert said[-1].startswith("SQS_DLQ_URL=")
    assert said[-2] == "plan: 3 to make, 3 to change, 2 as they should be; run `stream-router setup` to do it"
    assert setup.run(wanted, plan=True) == 0
    assert setup.run(wanted, plan=False) == 0
    assert setup.run(wanted, plan=True, exit_code=True) == 0
    capsys.readouterr()
    clients.events.disable_rule(Name="p")
    assert setup.run(wanted, plan=True, exit_code=True) == 1, "what only the operator can mend is no change"


def refusing(monkeypatch: pytest.MonkeyPatch, operation: str, error: BaseException) -> pytest.MonkeyPatch:
    """From now on this operation of AWS ends so, before it does anything."""
    make_call: Any = BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(client: Any, name: str, arguments: Any) -> Any:
        if name == operation:
            raise error
        return make_call(client, name, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    return monkeypatch


DENIED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "PutRule")


@pytest.mark.parametrize("ends", [DENIED, KeyboardInterrupt()], ids=["a right is missing", "Ctrl-C"])
def test_a_run_that_is_broken_off_says_what_is_done_and_the_next_goes_on(
    clients: Clients, capsys: pytest.CaptureFixture[str], ends: BaseException
) -> None:
    """Stream and queue are there, the rule is not: neither is left without a word."""
    name = f"half-{type(ends).__name__.lower()}"
    with pytest.MonkeyPatch.context() as monkeypatch:
        refusing(monkeypatch, "PutRule", ends)
        if isinstance(ends, KeyboardInterrupt):
            with pytest.raises(KeyboardInterrupt):
                run(stream=name, rule=name)
        else:
            assert run(stream=name, rule=name) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"+ queue {name}-dead-letters") for line in lines)
    assert any(line.startswith(f"! rule {name} ") and line.endswith(": not finished") for line in lines)
    assert lines[-1].startswith("  note: broken off: what stands above with + or ~ is done; run `stream-router setup`")
    assert run(stream=name, rule=name) == 0
    assert run(stream=name, rule=name, plan=True) == 0
    assert "nothing to change" in capsys.readouterr().out.splitlines()


def test_a_right_that_is_missing_to_look_is_told_before_anything_is_made(
    clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is half done, and so nothing is said of it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        refusing(monkeypatch, "DescribeRule", DENIED)
        assert run(stream="unseen", rule="unseen") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "setup --policy setup" in said.err
    assert "unseen" not in clients.kinesis.list_streams()["StreamNames"]


def test_a_teardown_that_is_broken_off_says_so(clients: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    """And the next one takes what is left."""
    assert run(stream="torn", rule="torn") == 0
    wanted = load(Setup, stream="torn", rule="torn")
    with pytest.MonkeyPatch.context() as monkeypatch:
        refusing(monkeypatch, "DeleteQueue", DENIED)
        capsys.readouterr()
        assert teardown.run(wanted, yes=True, force=False) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[-2].startswith("deleted rule torn")
    assert said[-1].startswith("broken off at queue torn-")
    assert said[-1].endswith("still there; run `stream-router teardown --yes` again")
    assert teardown.run(wanted, yes=True, force=False) == 0
