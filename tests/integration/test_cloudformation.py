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
REGION = "us-east-1"
ACCOUNT = "000000000000"
TARGET = f"arn:aws:sqs:{REGION}:{ACCOUNT}:out"
SECRET_NAME = "webhook"
NAME = "stream-router"
LETS_THE_RULE_IN = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": TARGET,
            "Condition": {
                "ArnEquals": {
                    "aws:SourceArn": [
                        f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{bus}/cxone-webhook-router"
                        for bus in ("cxone", "keyed")
                    ]
                }
            },
        }
    ],
}
"""What the target's owner does, as the README says: it is no resource of the stack."""
LETS_EVENTBRIDGE_USE_IT = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "kms:*", "Resource": "*"},
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": ["kms:GenerateDataKey", "kms:Decrypt", "kms:DescribeKey"],
            "Resource": "*",
        },
    ],
}
"""What the key's owner does, as the README says."""


UNKNOWN_HERE = ("ReceiverScale", "ReceiverScaleOnCpu")
"""The emulator has no Application Auto Scaling: cfn-lint alone has looked at these."""


class Cloud:
    """ministack with the stack in it; later with a second one, which has a key and a bucket of its own."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.session = boto3.Session("test", "test", region_name=REGION)

    def client(self, service: Any) -> Any:
        return self.session.client(service, endpoint_url=self.url)

    def prepare(self) -> None:
        """What is there before the stack: target, secret, network, and a bucket with the nested template.

        `aws cloudformation package` and `deploy` bring that one there.
        """
        self.client("sqs").create_queue(QueueName="out", Attributes={"Policy": json.dumps(LETS_THE_RULE_IN)})
        secret = self.client("secretsmanager").create_secret(Name=SECRET_NAME, SecretString="0123456789abcdef" * 2)
        self.secret = secret["ARN"]
        s3 = self.client("s3")
        s3.create_bucket(Bucket="templates")
        nested = (FOLDER / "observability/cloudwatch/observability.yaml").read_bytes()
        s3.put_object(Bucket="templates", Key="observability.yaml", Body=nested)
        ec2 = self.client("ec2")
        self.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnets = ",".join(
            ec2.create_subnet(VpcId=self.vpc, CidrBlock=f"10.0.{n}.0/24")["Subnet"]["SubnetId"] for n in range(2)
        )

    def deploy(self, stack: str = NAME, **more: str) -> None:
        """The template with these parameters beside those that it must have, until it is settled."""
        template = yaml.safe_load((FOLDER / "cloudformation/stream-router.yaml").read_text("utf-8"))
        template["Resources"]["Observability"]["Properties"]["TemplateURL"] = f"{self.url}/templates/observability.yaml"
        for service in ("ReceiverService", "ConsumerService"):
            # The emulator hands a parameter on as text, and fails on a count that is one; and with any other count than
            # 0 it would ask for a Docker daemon. So no container runs here.
            template["Resources"][service]["Properties"]["DesiredCount"] = 0
        for name in UNKNOWN_HERE:
            del template["Resources"][name]
        given = {
            "Image": "none",
            "TargetArn": TARGET,
            "VpcId": self.vpc,
            "PublicSubnets": self.subnets,
            "PrivateSubnets": self.subnets,
            "CertificateArn": f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/1",
            "WebhookScheme": "hmac",
            "WebhookSecretArn": self.secret,
            **more,
        }
        self.client("cloudformation").create_stack(
            StackName=stack,
            TemplateBody=json.dumps(template),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        until(lambda: not self.status(stack).endswith("IN_PROGRESS"), 60, "the stack is settled")

    def status(self, stack: str = NAME) -> str:
        return str(self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"])

    def resources(self, stack: str = NAME) -> dict[str, dict[str, str]]:
        found = self.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
        return {one["LogicalResourceId"]: one for one in found}

    def outputs(self, stack: str = NAME) -> dict[str, str]:
        (told,) = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in told["Outputs"]}

    def doctor(self, stack: str = NAME, **more: str) -> dict[str, dict[str, str]]:
        """What `doctor` finds of a stack, by code."""
        environment = {
            "PATH": "/usr/bin:/bin",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url,
            "STREAM_ROUTER_EVENT_BUS": "cxone",
            "EVENTBRIDGE_TARGET_ARN": TARGET,
            "SQS_DLQ_URL": self.outputs(stack)["DeadLetterQueueUrl"],
            "STREAM_ROUTER_WEBHOOK_SCHEME": "hmac",
            "STREAM_ROUTER_WEBHOOK_SECRETS": f"secretsmanager:{self.secret}",
            "STREAM_ROUTER_BUCKETS": "16",
            "STREAM_ROUTER_MASKING": "default",
            **more,
        }
        done = subprocess.run(
            [PROGRAM, "doctor", "--json"], env=environment, capture_output=True, text=True, check=False
        )
        return {check["code"]: check for check in json.loads(done.stdout)["checks"]}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    port = free_port()
    cloud = Cloud(port)
    environment = {"GATEWAY_PORT": str(port), **ONLY_LOOPBACK, "LOG_LEVEL": "WARNING", "PATH": "/usr/bin:/bin"}
    home = tmp_path_factory.mktemp("ministack")
    environment["TMPDIR"] = str(home)
    log = home / "log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "ministack"], env=environment, stdout=out, stderr=out)

    def answers() -> bool:
        try:
            return httpx.get(f"{cloud.url}/_ministack/health", timeout=1.0).status_code == 200
        except httpx.TransportError:
            return False

    until(answers, 30, "ministack answers")
    cloud.prepare()
    cloud.deploy()
    yield cloud
    process.terminate()
    process.wait(10)


def test_every_resource_comes_to_be(cloud: Cloud) -> None:
    """All of the template's, and the alarms and the dashboard of the nested one."""
    events = cloud.client("cloudformation").describe_stack_events(StackName=NAME)["StackEvents"]
    failed = [
        (event["LogicalResourceId"], event.get("ResourceStatusReason"))
        for event in events
        if "FAILED" in event["ResourceStatus"]
    ]
    assert cloud.status() == "CREATE_COMPLETE", failed
    template = yaml.safe_load((FOLDER / "cloudformation/stream-router.yaml").read_text("utf-8"))
    made = cloud.resources()
    wanted = set(template["Resources"]) - {"Bucket", *UNKNOWN_HERE}
    assert {name: one["ResourceStatus"] for name, one in made.items()} == dict.fromkeys(wanted, "CREATE_COMPLETE")
    nested = yaml.safe_load((FOLDER / "observability/cloudwatch/observability.yaml").read_text("utf-8"))
    assert set(cloud.resources(made["Observability"]["PhysicalResourceId"])) == set(nested["Resources"])


def test_the_rule_lets_our_types_through_to_the_target(cloud: Cloud) -> None:
    """With the parameter's list in the pattern, three retries, and the undelivered queue behind."""
    events = cloud.client("events")
    rule = events.describe_rule(Name="cxone-webhook-router", EventBusName="cxone")
    assert json.loads(rule["EventPattern"])["detail-type"] == [
        "interaction.created",
        "conversation.updated",
        "agent.status.changed",
    ]
    (target,) = events.list_targets_by_rule(Rule="cxone-webhook-router", EventBusName="cxone")["Targets"]
    assert target["Arn"] == TARGET
    assert "RetryPolicy" not in target, "AWS's own: 185 tries in 24 hours"
    assert target["DeadLetterConfig"] == {"Arn": cloud.outputs()["UndeliveredQueueArn"]}


def test_doctor_finds_nothing_wrong_with_it(cloud: Cloud) -> None:
    """It warns that no consumer has run, and of what the emulator leaves out: the encryption."""
    found = cloud.doctor()
    assert _wrong(found) == {}
    assert {code for code, one in found.items() if one["verdict"] == "warning"} == {"SR003", "SR160"}
    looked_at = {"SR101", "SR103", "SR120", "SR130", "SR143", "SR145"}
    assert {found[code]["verdict"] for code in looked_at} == {"well"}


def test_with_a_key_and_a_bucket_of_yours_nothing_is_wrong_either(cloud: Cloud) -> None:
    """The bucket comes to be, the key is the queues', and `doctor`, with the same settings, sees both."""
    policy = json.dumps(LETS_EVENTBRIDGE_USE_IT)
    key = cloud.client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]
    target = {"TargetArn": TARGET, "KmsKeyArn": key, "OffloadBucket": "large-events"}
    names = {"Stream": "keyed", "EventBus": "keyed", "Rule": "cxone-webhook-router", "Application": "keyed"}
    cloud.deploy("keyed", **target, **names)
    assert cloud.status("keyed") == "CREATE_COMPLETE"
    assert cloud.resources("keyed")["Bucket"]["PhysicalResourceId"] == "large-events"
    queue = cloud.outputs("keyed")["DeadLetterQueueUrl"]
    attributes = cloud.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert attributes["KmsMasterKeyId"] == key
    found = cloud.doctor(
        "keyed",
        STREAM_ROUTER_STREAM="keyed",
        STREAM_ROUTER_EVENT_BUS="keyed",
        STREAM_ROUTER_APPLICATION="keyed",
        STREAM_ROUTER_KMS_KEY=key,
        STREAM_ROUTER_OFFLOAD_BUCKET="large-events",
    )
    assert _wrong(found) == {}
    assert {found[code]["verdict"] for code in ("SR101", "SR104", "SR121", "SR143")} == {"well"}


def _wrong(found: dict[str, dict[str, str]]) -> dict[str, str]:
    return {code: one["says"] for code, one in found.items() if one["verdict"] not in ("well", "warning", "skipped")}
