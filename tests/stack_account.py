"""An emulated AWS account, and the stacks of deploy/cloudformation in it."""

import json
from pathlib import Path
from typing import Any

import boto3
import yaml

from tests.system.world import until

DEPLOY = Path(__file__).parents[1] / "deploy"
REGION, ACCOUNT = "us-east-1", "000000000000"
TARGET = f"arn:aws:sqs:{REGION}:{ACCOUNT}:out"
RULE = "cxone-webhook-router"
NESTED = "observability.yaml"
EVENTBRIDGE = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}}
KEY_STATEMENT = {**EVENTBRIDGE, "Action": ["kms:GenerateDataKey", "kms:Decrypt", "kms:DescribeKey"], "Resource": "*"}
"""Statement that the key's owner adds, as deploy/cloudformation/README.md says."""


def load_template() -> dict[str, Any]:
    """Return a new copy of deploy/cloudformation/stream-router.yaml."""
    template: dict[str, Any] = yaml.safe_load((DEPLOY / "cloudformation/stream-router.yaml").read_text("utf-8"))
    return template


def load_nested_template() -> dict[str, Any]:
    """Return a new copy of the alarms' and the dashboard's template."""
    template: dict[str, Any] = yaml.safe_load((DEPLOY / "observability/cloudwatch" / NESTED).read_text("utf-8"))
    return template


class StackAccount:
    """An emulator on a loopback port, with what exists before a stack: target, secret, key, network, nested template.

    `buses` are the buses whose rule may send to the target.
    """

    def __init__(self, port: int, *buses: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._session = boto3.Session("test", "test", region_name=REGION)
        self._rules = [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{bus}/{RULE}" for bus in buses]
        self.key = ""
        """ARN of the customer's key."""
        self.parameters: dict[str, str] = {}
        """The parameters without a default."""

    def client(self, service: Any) -> Any:
        """Return a client of the emulator."""
        return self._session.client(service, endpoint_url=self.url)

    def prepare(self) -> None:
        """Make what a stack needs, and fill in the parameters."""
        self.client("sqs").create_queue(QueueName="out", Attributes={"Policy": _policy(self._target_statement())})
        secret = self.client("secretsmanager").create_secret(Name="webhook", SecretString="0123456789abcdef" * 2)
        owner = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "kms:*", "Resource": "*"}
        self.key = self.client("kms").create_key(Policy=_policy(owner, KEY_STATEMENT))["KeyMetadata"]["Arn"]
        s3, ec2 = self.client("s3"), self.client("ec2")
        s3.create_bucket(Bucket="templates")
        body = (DEPLOY / "observability/cloudwatch" / NESTED).read_bytes()
        s3.put_object(Bucket="templates", Key=NESTED, Body=body)  # as `aws cloudformation package` does
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        blocks = [f"10.0.{n}.0/24" for n in range(2)]
        subnets = ",".join(ec2.create_subnet(VpcId=vpc, CidrBlock=block)["Subnet"]["SubnetId"] for block in blocks)
        self.parameters = {
            "Image": "none",
            "TargetArn": TARGET,
            "VpcId": vpc,
            "PublicSubnets": subnets,
            "PrivateSubnets": subnets,
            "CertificateArn": f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/1",
            "WebhookScheme": "hmac",
            "WebhookSecretArn": secret["ARN"],
        }

    def _target_statement(self) -> dict[str, Any]:
        """Return the statement that the target's owner adds: the target is not a resource of the stack."""
        condition = {"ArnEquals": {"aws:SourceArn": self._rules}}
        return {**EVENTBRIDGE, "Action": "sqs:SendMessage", "Resource": TARGET, "Condition": condition}

    def stack_request(self, stack: str, template: dict[str, Any], **parameters: str) -> dict[str, Any]:
        """Return the request that creates or updates a stack, with the nested template in its bucket."""
        template["Resources"]["Observability"]["Properties"]["TemplateURL"] = f"{self.url}/templates/{NESTED}"
        values = {**self.parameters, **parameters}
        return {
            "StackName": stack,
            "TemplateBody": json.dumps(template),
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
            "Capabilities": ["CAPABILITY_IAM"],
        }

    def await_stack(self, stack: str, timeout_s: float) -> str:
        """Wait until no operation on the stack is in progress. Return its status."""

        def status() -> str:
            return str(self.describe_stack(stack)["StackStatus"])

        until(lambda: not status().endswith("IN_PROGRESS"), timeout_s, f"the operation on stack {stack} ends")
        return status()

    def describe_stack(self, stack: str) -> dict[str, Any]:
        """Return a stack's description, by its name or id."""
        (description,) = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return dict(description)

    def read_outputs(self, stack: str) -> dict[str, str]:
        """Return a stack's outputs."""
        outputs = self.describe_stack(stack).get("Outputs", [])
        return {output["OutputKey"]: output["OutputValue"] for output in outputs}

    def read_resources(self, stack: str) -> dict[str, dict[str, str]]:
        """Return a stack's resources by their logical id."""
        resources = self.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
        return {resource["LogicalResourceId"]: resource for resource in resources}


def _policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
