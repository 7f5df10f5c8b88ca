"""deploy/cloudformation on ministack's CloudFormation: what of it comes to be, and what `doctor` says of that."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import yaml

from tests.ports import ONLY_LOOPBACK, free_port
from tests.system.world import PROGRAM, until

pytestmark = pytest.mark.timeout(120)

FOLDER = Path(__file__).parents[2] / "deploy"
REGION, ACCOUNT = "us-east-1", "000000000000"
TARGET = f"arn:aws:sqs:{REGION}:{ACCOUNT}:out"
RULE = "cxone-webhook-router"
NESTED = "observability.yaml"
RULES = [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{bus}/{RULE}" for bus in ("cxone", "keyed")]
EVENTBRIDGE = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}}
OF_THE_TARGET = {
    **EVENTBRIDGE,
    "Action": "sqs:SendMessage",
    "Resource": TARGET,
    "Condition": {"ArnEquals": {"aws:SourceArn": RULES}},
}
"""What the target's owner does, as the README says: it is no resource of the stack."""
OF_THE_KEY = {**EVENTBRIDGE, "Action": ["kms:GenerateDataKey", "kms:Decrypt", "kms:DescribeKey"], "Resource": "*"}
"""What the key's owner does, as the README says."""
UNKNOWN_HERE = (
    *("ReceiverScale", "ReceiverScaleOnCpu"),
    *("ConsumerScale", "ConsumerScaleOut", "ConsumerScaleIn", "ConsumersBehind", "ConsumersIdle"),
)
"""The emulator has no Application Auto Scaling: cfn-lint alone has looked at these."""
OF_A_KEY = ("Bucket", "BusUndeliveredQueue", "BusUndeliveredQueuePolicy")


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def template() -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load((FOLDER / "cloudformation/stream-router.yaml").read_text("utf-8"))
    return made


class Cloud:
    """ministack, with what is there before a stack: target, secret, key, network, and a bucket of templates."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.session = boto3.Session("test", "test", region_name=REGION)

    def client(self, service: Any) -> Any:
        return self.session.client(service, endpoint_url=self.url)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/_ministack/health", timeout=1.0).status_code == 200
        except httpx.TransportError:
            return False

    def prepare(self) -> None:
        self.client("sqs").create_queue(QueueName="out", Attributes={"Policy": policy(OF_THE_TARGET)})
        secret = self.client("secretsmanager").create_secret(Name="webhook", SecretString="0123456789abcdef" * 2)
        owner = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "kms:*", "Resource": "*"}
        self.key = self.client("kms").create_key(Policy=policy(owner, OF_THE_KEY))["KeyMetadata"]["Arn"]
        s3, ec2 = self.client("s3"), self.client("ec2")
        s3.create_bucket(Bucket="templates")
        nested = (FOLDER / "observability/cloudwatch" / NESTED).read_bytes()
        s3.put_object(Bucket="templates", Key=NESTED, Body=nested)  # as `aws cloudformation package` does
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        made = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24")["Subnet"]["SubnetId"] for n in range(2)]
        subnets = ",".join(made)
        self.given = {
            "Image": "none",
            "TargetArn": TARGET,
            "VpcId": vpc,
            "PublicSubnets": subnets,
            "PrivateSubnets": subnets,
            "CertificateArn": f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/1",
            "WebhookScheme": "hmac",
            "WebhookSecretArn": secret["ARN"],
        }

    def deploy(self, stack: str, given: dict[str, str]) -> None:
        """The template with these parameters beside those that it must have, until it is settled."""
        made = template()
        made["Resources"]["Observability"]["Properties"]["TemplateURL"] = f"{self.url}/templates/{NESTED}"
        for service in ("ReceiverService", "ConsumerService"):
            # The emulator hands a parameter on as text, and fails on a count that is one; and with any other count than
            # 0 it would ask for a Docker daemon. So no container runs here.
            made["Resources"][service]["Properties"]["DesiredCount"] = 0
        for name in UNKNOWN_HERE:
            del made["Resources"][name]
        told = [{"ParameterKey": key, "ParameterValue": value} for key, value in {**self.given, **given}.items()]
        self.client("cloudformation").create_stack(
            StackName=stack, TemplateBody=json.dumps(made), Parameters=told, Capabilities=["CAPABILITY_IAM"]
        )
        until(lambda: not self.told(stack)["StackStatus"].endswith("IN_PROGRESS"), 60, "the stack is settled")

    def told(self, stack: str) -> dict[str, Any]:
        (found,) = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return dict(found)

    def resources(self, stack: str) -> dict[str, dict[str, str]]:
        found = self.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
        return {one["LogicalResourceId"]: one for one in found}

    def doctor(self, settings: dict[str, str]) -> dict[str, list[str]]:
        """The codes of what `doctor` finds, by verdict."""
        environment = {
            "PATH": "/usr/bin:/bin",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url,
            "EVENTBRIDGE_TARGET_ARN": TARGET,
            "STREAM_ROUTER_WEBHOOK_SCHEME": "hmac",
            "STREAM_ROUTER_WEBHOOK_SECRETS": f"secretsmanager:{self.given['WebhookSecretArn']}",
            "STREAM_ROUTER_BUCKETS": "16",
            "STREAM_ROUTER_MASKING": "default",
            **settings,
        }
        words = [PROGRAM, "doctor", "--json"]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        found: dict[str, list[str]] = {}
        for check in json.loads(done.stdout)["checks"]:
            found.setdefault(check["verdict"], []).append(check["code"])
        return found


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    port = free_port()
    made = Cloud(port)
    home = tmp_path_factory.mktemp("ministack")
    environment = {"GATEWAY_PORT": str(port), **ONLY_LOOPBACK, "TMPDIR": str(home), "PATH": "/usr/bin:/bin"}
    with (home / "log").open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "ministack"], env=environment, stdout=out, stderr=out)
    until(made.answers, 30, "ministack answers")
    made.prepare()
    yield made
    process.terminate()
    process.wait(10)


NAMES = {"Stream": "keyed", "EventBus": "keyed", "Application": "keyed"}


@pytest.mark.parametrize("keyed", [False, True])
def test_every_resource_comes_to_be_and_doctor_finds_nothing_wrong(cloud: Cloud, keyed: bool) -> None:
    """With AWS's keys, and with a key and a bucket of yours; the types pass the rule, with its queue behind the target.

    `doctor` warns that no consumer has run, and of the encryption that the emulator leaves out.
    """
    stack = "keyed" if keyed else "stream-router"
    cloud.deploy(stack, {**NAMES, "KmsKeyArn": cloud.key, "OffloadBucket": "large-events"} if keyed else {})
    told = cloud.told(stack)
    events = cloud.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
    failed = [event for event in events if "FAILED" in event["ResourceStatus"]]
    assert told["StackStatus"] == "CREATE_COMPLETE", failed
    made = cloud.resources(stack)
    wanted = set(template()["Resources"]) - {*UNKNOWN_HERE, *(() if keyed else OF_A_KEY)}
    assert {name: one["ResourceStatus"] for name, one in made.items()} == dict.fromkeys(wanted, "CREATE_COMPLETE")
    nested = yaml.safe_load((FOLDER / "observability/cloudwatch" / NESTED).read_text("utf-8"))
    alarms = set(nested["Resources"]) - (set() if keyed else {"BusUndelivered"})
    assert set(cloud.resources(made["Observability"]["PhysicalResourceId"])) == alarms
    bus = "keyed" if keyed else "cxone"
    outputs = {one["OutputKey"]: one["OutputValue"] for one in told["Outputs"]}
    rule = cloud.client("events").describe_rule(Name=RULE, EventBusName=bus)
    types = ["interaction.created", "conversation.updated", "agent.status.changed"]
    assert json.loads(rule["EventPattern"])["detail-type"] == types
    (target,) = cloud.client("events").list_targets_by_rule(Rule=RULE, EventBusName=bus)["Targets"]
    assert (target["Arn"], target["DeadLetterConfig"]["Arn"]) == (TARGET, outputs["UndeliveredQueueArn"])
    settings = {"SQS_DLQ_URL": outputs["DeadLetterQueueUrl"], "STREAM_ROUTER_EVENT_BUS": bus}
    if keyed:
        settings |= {"STREAM_ROUTER_STREAM": "keyed", "STREAM_ROUTER_APPLICATION": "keyed"}
        settings |= {"STREAM_ROUTER_KMS_KEY": cloud.key, "STREAM_ROUTER_OFFLOAD_BUCKET": "large-events"}
    found = cloud.doctor(settings)
    assert found.keys() == {"well", "warning", "skipped"}
    assert keyed or set(found["warning"]) == {"SR003", "SR160"}
    well = {"SR101", "SR104", "SR121", "SR143"} if keyed else {"SR101", "SR103", "SR120", "SR130", "SR143", "SR145"}
    assert well <= set(found["well"])
