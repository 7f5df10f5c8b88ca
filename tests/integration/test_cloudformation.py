"""deploy/cloudformation on ministack's CloudFormation: the resources that it makes, and the doctor's verdict."""

import json
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.ports import ONLY_LOOPBACK, free_port
from tests.stack_account import REGION, RULE, TARGET, StackAccount, load_nested_template, load_template
from tests.system.world import PROGRAM, until

pytestmark = pytest.mark.timeout(120)

UNKNOWN_HERE = (
    *("ReceiverScale", "ReceiverScaleOnCpu"),
    *("ConsumerScale", "ConsumerScaleOut", "ConsumerScaleIn", "ConsumersBehind", "ConsumersIdle"),
)
"""Resources that only cfn-lint has checked: the emulator has no Application Auto Scaling."""

NEEDS_PARAMETERS = ("Bucket", "BusUndeliveredQueue", "BusUndeliveredQueuePolicy")
"""Resources that a stack has only with a key or a bucket of the customer's."""

KEYED = {"Stream": "keyed", "EventBus": "keyed", "Application": "keyed", "OffloadBucket": "large-events"}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackAccount]:
    """ministack with what a stack needs."""
    port = free_port()
    home = tmp_path_factory.mktemp("ministack")
    environment = {"GATEWAY_PORT": str(port), **ONLY_LOOPBACK, "TMPDIR": str(home), "PATH": "/usr/bin:/bin"}
    with (home / "log").open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "ministack"], env=environment, stdout=out, stderr=out)
    until(lambda: answers(port), 30, "ministack answers")
    account = StackAccount(port, "cxone", "keyed")
    account.prepare()
    yield account
    process.terminate()
    process.wait(10)


def answers(port: int) -> bool:
    """Return whether ministack answers on the port."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/_ministack/health", timeout=1.0).status_code == 200
    except httpx.TransportError:
        return False


def deploy(account: StackAccount, stack: str, **parameters: str) -> None:
    """Create the stack without what the emulator cannot make, and wait for the end."""
    template = load_template()
    for service in ("ReceiverService", "ConsumerService"):
        # The emulator hands a parameter on as text, and fails on a count that is one; and with any other count than
        # 0 it would ask for a Docker daemon. So no container runs here.
        template["Resources"][service]["Properties"]["DesiredCount"] = 0
    for name in UNKNOWN_HERE:
        del template["Resources"][name]
    account.client("cloudformation").create_stack(**account.stack_request(stack, template, **parameters))
    account.await_stack(stack, 60)


def run_doctor(account: StackAccount, **settings: str) -> dict[str, list[str]]:
    """Return the codes of the doctor's checks by verdict."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": account.url,
        "EVENTBRIDGE_TARGET_ARN": TARGET,
        "STREAM_ROUTER_WEBHOOK_SCHEME": "hmac",
        "STREAM_ROUTER_WEBHOOK_SECRETS": f"secretsmanager:{account.parameters['WebhookSecretArn']}",
        "STREAM_ROUTER_BUCKETS": "16",
        "STREAM_ROUTER_MASKING": "default",
        # On the default ports another program of this host might answer, and doctor would judge that program.
        "STREAM_ROUTER_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
        "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
        **settings,
    }
    words = [PROGRAM, "doctor", "--json"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    codes: dict[str, list[str]] = {}
    for check in json.loads(done.stdout)["checks"]:
        codes.setdefault(check["verdict"], []).append(check["code"])
    return codes


@pytest.mark.parametrize("keyed", [False, True])
def test_every_resource_comes_to_be_and_doctor_finds_nothing_wrong(account: StackAccount, keyed: bool) -> None:
    """With AWS's keys, and with a key and a bucket of yours; the types pass the rule, with its queue behind the target.

    `doctor` warns that no consumer has run, and of the encryption that the emulator leaves out.
    """
    stack = "keyed" if keyed else "stream-router"
    deploy(account, stack, **({**KEYED, "KmsKeyArn": account.key} if keyed else {}))
    events = account.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
    failed = [event for event in events if "FAILED" in event["ResourceStatus"]]
    assert account.describe_stack(stack)["StackStatus"] == "CREATE_COMPLETE", failed
    resources = account.read_resources(stack)
    wanted = set(load_template()["Resources"]) - {*UNKNOWN_HERE, *(() if keyed else NEEDS_PARAMETERS)}
    statuses = {name: resource["ResourceStatus"] for name, resource in resources.items()}
    assert statuses == dict.fromkeys(wanted, "CREATE_COMPLETE")
    alarms = set(load_nested_template()["Resources"]) - (set() if keyed else {"BusUndelivered"})
    assert set(account.read_resources(resources["Observability"]["PhysicalResourceId"])) == alarms
    bus = "keyed" if keyed else "cxone"
    outputs = account.read_outputs(stack)
    rule = account.client("events").describe_rule(Name=RULE, EventBusName=bus)
    types = ["interaction.created", "conversation.updated", "agent.status.changed"]
    assert json.loads(rule["EventPattern"])["detail-type"] == types
    (target,) = account.client("events").list_targets_by_rule(Rule=RULE, EventBusName=bus)["Targets"]
    assert (target["Arn"], target["DeadLetterConfig"]["Arn"]) == (TARGET, outputs["UndeliveredQueueArn"])
    settings = {"SQS_DLQ_URL": outputs["DeadLetterQueueUrl"], "STREAM_ROUTER_EVENT_BUS": bus}
    if keyed:
        settings |= {"STREAM_ROUTER_STREAM": "keyed", "STREAM_ROUTER_APPLICATION": "keyed"}
        settings |= {"STREAM_ROUTER_KMS_KEY": account.key, "STREAM_ROUTER_OFFLOAD_BUCKET": "large-events"}
    codes = run_doctor(account, **settings)
    assert codes.keys() == {"well", "warning", "skipped"}
    assert keyed or set(codes["warning"]) == {"SR003", "SR160"}
    well = {"SR101", "SR104", "SR121", "SR143"} if keyed else {"SR101", "SR103", "SR120", "SR130", "SR143", "SR145"}
    assert well <= set(codes["well"])
