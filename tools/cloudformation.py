"""Writes the roles' statements of deploy/cloudformation from the code of `setup --policy`.

The template's parameters stand in the settings as words of their own, and become `${Parameter}` in what is written. A
statement on a key or a bucket is there only where the parameter is given.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from settings_alone import set_alone

from stream_router.operate.arns import Home
from stream_router.operate.policy import document

FILE = Path(__file__).resolve().parent.parent / "deploy" / "cloudformation" / "stream-router.yaml"
PART = re.compile(
    r"^( *)# (\w+): written by `make docs` from operate/policies\n.*?^ *# end\n", re.MULTILINE | re.DOTALL
)
HOME = Home("aws", "eu-central-1", "123456789012")
SECRET = f"arn:aws:secretsmanager:{HOME.region}:{HOME.account}:secret:cx-AbCdEf"
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
    "EVENTBRIDGE_TARGET_ARN": TARGET,
    "STREAM_ROUTER_KMS_KEY": KEY,
    "STREAM_ROUTER_OFFLOAD_BUCKET": "the-bucket",
}
NAMES = {
    SECRET: "${WebhookSecretArn}",
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
CONDITIONS = {KEY: "HasKey", "the-bucket": "HasBucket"}


def text() -> str:
    """The template as it should be. Reads the environment."""
    return PART.sub(_part, FILE.read_text("utf-8"))


def _part(found: re.Match[str]) -> str:
    space, name = found[1], found[2]
    statements = document(name, HOME)["Statement"]
    lines = [f"{space}  - {json.dumps(_conditional(statement))}\n" for statement in statements]
    begin = f"{space}# {name}: written by `make docs` from operate/policies\n"
    return f"{begin}{space}Statement:\n{''.join(lines)}{space}# end\n"


def _conditional(statement: dict[str, Any]) -> dict[str, Any]:
    for word, condition in CONDITIONS.items():
        if word in json.dumps(statement["Resource"]):
            return {"Fn::If": [condition, _named(statement), {"Ref": "AWS::NoValue"}]}
    named: dict[str, Any] = _named(statement)
    return named


def _named(value: Any) -> Any:
    """The value with the parameters' names in it."""
    if isinstance(value, dict):
        return {key: _named(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_named(inner) for inner in value]
    made = str(value)
    for word, name in NAMES.items():
        made = made.replace(word, name)
    return {"Fn::Sub": made} if made != value else value


if __name__ == "__main__":
    set_alone(SETTINGS)
    FILE.write_text(text(), "utf-8")
    sys.stdout.write(f"{FILE} written\n")
