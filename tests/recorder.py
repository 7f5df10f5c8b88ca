"""ministack with a recorder before it: who called what on which resource, one JSON line a call.

`python -m tests.recorder FILE` serves as `python -m ministack` does. Who is calling stands in the signature (the access
key), so each program of a test gets a key of its own. Actions and resources are IAM's, worked out of the wire.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import cbor2

ACCOUNT, REGION = "000000000000", "us-east-1"
_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/")
_TARGETS = {
    "Kinesis_20131202": "kinesis",
    "DynamoDB_20120810": "dynamodb",
    "AWSEvents": "events",
    "AmazonSQS": "sqs",
    "GraniteServiceVersion20100801": "cloudwatch",
}
_NAMED_OTHERWISE = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}
"""The API's name and the action that IAM knows."""

_OF_NOTHING = {"events:ListRules", "events:TestEventPattern", "cloudwatch:PutMetricData"}
_OF_NOTHING |= {"cloudwatch:GetMetricStatistics", "kinesis:UpdateShardCount"}
"""Actions for which IAM knows no resource."""


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


class Recorder:
    """An ASGI application in front of another one."""

    def __init__(self, app: Any, file: Path) -> None:
        self._app = app
        self._file = file.open("a", encoding="utf-8", buffering=1)
        self._streams: dict[str, str] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        parts, more = [], True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        asked, answered = b"".join(parts), list[bytes]()
        is_replayed = False

        async def again() -> Any:
            nonlocal is_replayed
            if is_replayed:
                return await receive()
            is_replayed = True
            return {"type": "http.request", "body": asked, "more_body": False}

        async def tee(message: Any) -> None:
            answered.append(message.get("body", b""))
            await send(message)

        await self._app(scope, again, tee)
        self._record(scope, asked, b"".join(answered))

    def _record(self, scope: Any, asked: bytes, answered: bytes) -> None:
        headers = {key.decode().lower(): value.decode() for key, value in scope["headers"]}
        match = _CREDENTIAL.search(headers.get("authorization", ""))
        if not match:
            return
        who, service = match[1], match[2]
        for action, resource in self._calls(service, scope, headers, asked, answered):
            line = {"who": who, "action": _NAMED_OTHERWISE.get(action, action), "resource": resource}
            self._file.write(json.dumps(line) + "\n")

    def _calls(
        self, service: str, scope: Any, headers: dict[str, str], asked: bytes, answered: bytes
    ) -> list[tuple[str, str]]:
        if service == "s3":
            return _s3(scope)
        if service == "kms":
            operation = headers["x-amz-target"].partition(".")[2]
            key = _read(headers, asked).get("KeyId", "")
            return [(f"kms:{operation}", key if key.startswith("arn:") else arn("kms", f"key/{key}"))]
        if service in ("sts", "iam"):
            return [(f"{service}:{parse_qs(asked.decode())['Action'][0]}", "*")]
        if "/operation/" in scope["path"]:
            operation, body = scope["path"].rsplit("/", 1)[-1], {}
            service = "cloudwatch"
        elif "x-amz-target" in headers:
            prefix, _, operation = headers["x-amz-target"].partition(".")
            service, body = _TARGETS[prefix], _read(headers, asked)
        else:
            return [(f"{service}:{parse_qs(asked.decode()).get('Action', ['?'])[0]}", "*")]
        answer = _read(headers, answered) if service == "kinesis" else {}
        return [(f"{service}:{name}", where) for name, where in self._named(service, operation, body, answer)]

    def _named(self, service: str, operation: str, body: Any, answer: Any) -> list[tuple[str, str]]:
        if f"{service}:{operation}" in _OF_NOTHING:
            return [(operation, "*")]
        match service:
            case "kinesis":
                return self._kinesis(operation, body, answer)
            case "dynamodb":
                index = f"/index/{body['IndexName']}" if body.get("IndexName") else ""
                name = (body.get("TableName") or body.get("ResourceArn", "")).rsplit("/", 1)[-1]
                further = ["TagResource"] if operation == "CreateTable" and body.get("Tags") else []
                return [(item, arn("dynamodb", f"table/{name}{index}")) for item in [operation, *further]]
            case "sqs":
                name = body.get("QueueName") or body.get("QueueUrl", "").rsplit("/", 1)[-1]
                tagged = operation == "CreateQueue" and body.get("tags")
                return [(item, arn("sqs", name)) for item in [operation, *(["TagQueue"] if tagged else [])]]
        return _events(operation, body)

    def _kinesis(self, operation: str, body: Any, answer: Any) -> list[tuple[str, str]]:
        if "ConsumerARN" in body:
            return [(operation, body["ConsumerARN"])]
        name = body.get("StreamName") or body.get("StreamARN", "").rsplit("/", 1)[-1]
        name = name or self._streams.get(body.get("ShardIterator") or body.get("NextToken") or "", "?")
        for handed in ("ShardIterator", "NextShardIterator", "NextToken"):
            if isinstance(answer, dict) and answer.get(handed):
                self._streams[answer[handed]] = name
        further = ["AddTagsToStream"] if operation == "CreateStream" and body.get("Tags") else []
        key = [(operation, body["KeyId"])] if body.get("KeyId", "").startswith("arn:") else []  # IAM asks for both
        return [(item, arn("kinesis", f"stream/{name}")) for item in [operation, *further]] + key


def _read(headers: dict[str, str], body: bytes) -> Any:
    if not body:
        return {}
    try:
        return cbor2.loads(body) if "cbor" in headers.get("content-type", "") else json.loads(body)
    except ValueError:
        return {}


def _s3(scope: Any) -> list[tuple[str, str]]:
    bucket, _, key = scope["path"].lstrip("/").partition("/")
    if not key:
        if b"lifecycle" in scope["query_string"]:
            return [("s3:GetLifecycleConfiguration", f"arn:aws:s3:::{bucket}")]
        action = {"HEAD": "ListBucket", "PUT": "CreateBucket"}.get(scope["method"], scope["method"])
        return [(f"s3:{action}", f"arn:aws:s3:::{bucket}")]
    action = {"PUT": "PutObject", "GET": "GetObject", "HEAD": "GetObject"}.get(scope["method"], scope["method"])
    return [(f"s3:{action}", f"arn:aws:s3:::{bucket}/{key}")]


def _events(operation: str, body: Any) -> list[tuple[str, str]]:
    tagged = [("TagResource", "")] if body.get("Tags") and operation in ("CreateEventBus", "PutRule") else []
    if operation == "PutEvents":
        buses = {entry.get("EventBusName", "default") for entry in body["Entries"]}
        return [(operation, _bus(bus)) for bus in sorted(buses)]
    if "ResourceARN" in body:
        return [(operation, body["ResourceARN"])]
    if operation.endswith("EventBus"):
        where = _bus(body.get("Name") or "default")
    else:
        bus = (body.get("EventBusName") or "default").rsplit("/", 1)[-1]
        rule = body.get("Rule") or body.get("Name")
        where = arn("events", f"rule/{rule}" if bus == "default" else f"rule/{bus}/{rule}")
    roles = {
        target["RoleArn"] for target in body.get("Targets", []) if isinstance(target, dict) and "RoleArn" in target
    }
    return [(name, where) for name, _ in [(operation, ""), *tagged]] + [
        ("iam:PassRole", role) for role in sorted(roles)
    ]


def _bus(name: str) -> str:
    return name if name.startswith("arn:") else arn("events", f"event-bus/{name}")


if __name__ == "__main__":
    import ministack.app

    from stream_router.local.steady_ministack import keep_connections

    keep_connections()
    ministack.app.app = Recorder(ministack.app.app, Path(sys.argv.pop(1)))
    ministack.app.main()
