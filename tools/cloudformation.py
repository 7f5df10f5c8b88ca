"""Writes the roles' statements of deploy/cloudformation from the code of `setup --policy`.

The template's parameters stand in the settings as words of their own, and become `${Parameter}` in what is written. A
statement on a key or a bucket is there only where the parameter is given.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import asked
from settings_alone import set_alone

from stream_router.operate.arns import Home
from stream_router.operate.policy import build_policy

FILE = Path(__file__).resolve().parent.parent / "deploy" / "cloudformation" / "stream-router.yaml"
PART = re.compile(
    r"^( *)# (\w+): written by `make docs` from operate/policies\n.*?^ *# end\n", re.MULTILINE | re.DOTALL
)
HOME = Home("aws", "eu-central-1", "123456789012")
SECRET = f"arn:aws:secretsmanager:{HOME.region}:{HOME.account}:secret:cx-AbCdEf"
MASKING_KEY = f"arn:aws:secretsmanager:{HOME.region}:{HOME.account}:secret:masking-AbCdEf"
TARGET = f"arn:aws:lambda:{HOME.region}:{HOME.account}:function:target"
KEY = f"arn:aws:kms:{HOME.region}:{HOME.account}:key/the-key"
SETTINGS = {
    "AWS_REGION": HOME.region,
    "STREAM_ROUTER_STREAM": "the-stream",
    "STREAM_ROUTER_APPLICATION": "the-application",
    "STREAM_ROUTER_EVENT_BUS": "the-bus",
    "STREAM_ROUTER_RULE": "the-rule",
    "STREAM_ROUTER_WEBHOOK_SCHEME": "bearer",
    "STREAM_ROUTER_WEBHOOK_SECRETS": f"secretsmanager:{SECRET}",
    "STREAM_ROUTER_TRUSTED_PROXIES": "10.0.0.0/8",
    "STREAM_ROUTER_MASKING": "default",
    "STREAM_ROUTER_MASKING_KEY": f"secretsmanager:{MASKING_KEY}",
    "EVENTBRIDGE_TARGET_ARN": TARGET,
    "STREAM_ROUTER_KMS_KEY": KEY,
    "STREAM_ROUTER_OFFLOAD_BUCKET": "the-bucket",
    "STREAM_ROUTER_SPILL_QUEUE": f"https://sqs.{HOME.region}.amazonaws.com/{HOME.account}/the-stream-spill",
    "SQS_DLQ_URL": f"https://sqs.{HOME.region}.amazonaws.com/{HOME.account}/the-stream-dead-letters",
}
NAMES = {
    SECRET: "${WebhookSecretArn}",
    MASKING_KEY: "${MaskingKeySecretArn}",
    TARGET: "${TargetArn}",
    KEY: "${KmsKeyArn}",
    "the-bucket": "${OffloadBucket}",
    "the-stream": "${Stream}",
    "the-application": "${Application}",
    "the-bus": "${EventBus}",
    "the-rule": "${Rule}",
    HOME.region: "${AWS::Region}",
    HOME.account: "${AWS::AccountId}",
    "arn:aws:": "arn:${AWS::Partition}:",
}
"""Longer ones first: an ARN is replaced whole."""
CONDITIONS = {KEY: "HasKey", "the-bucket": "HasBucket", MASKING_KEY: "HasMaskingKey"}


def text() -> str:
    """The template as it should be. Reads the environment."""
    return PART.sub(_part, FILE.read_text("utf-8"))


def _part(outcome: re.Match[str]) -> str:
    space, name = outcome[1], outcome[2]
    statements = build_policy(name, HOME)["Statement"]
    lines = [f"{space}  - {json.dumps(_conditional(statement))}\n" for statement in statements]
    begin = f"{space}# {name}: written by `make docs` from operate/policies\n"
    return f"{begin}{space}Statement:\n{''.join(lines)}{space}# end\n"


def _conditional(statement: dict[str, Any]) -> Any:
    """A statement; where only one of its resources is of a condition, that one alone is."""
    resource = statement["Resource"]
    if isinstance(resource, list):
        return {**_named(statement), "Resource": [_if_given(item) for item in resource]}
    result = _if_given(resource)
    return (
        {"Fn::If": [result["Fn::If"][0], _named(statement), result["Fn::If"][2]]}
        if "Fn::If" in result
        else _named(statement)
    )


def _if_given(resource: str) -> Any:
    """A resource with the parameters' names in it, as CloudFormation has it only where they are given."""
    named = _named(resource)
    condition = next((condition for word, condition in CONDITIONS.items() if word in resource), None)
    return {"Fn::If": [condition, named, {"Ref": "AWS::NoValue"}]} if condition else named


def _named(value: Any) -> Any:
    """The value with the parameters' names in it."""
    if isinstance(value, dict):
        return {key: _named(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_named(inner) for inner in value]
    result = str(value)
    for word, name in NAMES.items():
        result = result.replace(word, name)
    return {"Fn::Sub": result} if result != value else value


if __name__ == "__main__":
    asked.for_help(__doc__)
    set_alone(SETTINGS)
    FILE.write_text(text(), "utf-8")
    sys.stdout.write(f"{FILE} written\n")
