"""Which stream an application's checkpoints are of, noted where only an emulator can be asked.

A lease names no stream. AWS refuses an iterator at a number that another stream gave; emulators mostly do not. So with
an emulator `consume` notes the stream in a table of its own, before the KCL makes its lease table. It is no row of the
lease table: the KCL takes a row of a kind that it does not know for a lease (docs/facts.md, "KCL").
"""

import contextlib
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

KEY, STREAM = "application", "stream"
_SOON = {"Delay": 1, "MaxAttempts": 5}


def table(application: str) -> str:
    """The table's name."""
    return f"{application}-stream"


def of(kinesis: Any, stream: str) -> str:
    """The stream's ARN and the time it was made (one of the same name is another); "" where it cannot be asked."""
    with contextlib.suppress(ClientError, BotoCoreError):
        told = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
        return f"{told['StreamARN']} {told['StreamCreationTimestamp'].timestamp():.3f}"
    return ""


def read(dynamodb: Any, application: str) -> str:
    """What was noted; "" where nothing was."""
    with contextlib.suppress(ClientError, BotoCoreError):
        item = dynamodb.get_item(TableName=table(application), Key={KEY: {"S": application}}).get("Item", {})
        return str(item.get(STREAM, {}).get("S", ""))
    return ""


def write(dynamodb: Any, application: str, mark: str) -> None:
    """Note it. An emulator that cannot take it is not complained of."""
    with contextlib.suppress(ClientError, BotoCoreError):
        with contextlib.suppress(dynamodb.exceptions.ResourceInUseException):
            dynamodb.create_table(
                TableName=table(application),
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": KEY, "AttributeType": "S"}],
                KeySchema=[{"AttributeName": KEY, "KeyType": "HASH"}],
            )
            dynamodb.get_waiter("table_exists").wait(TableName=table(application), WaiterConfig=_SOON)
        row = {KEY: {"S": application}, STREAM: {"S": mark}}
        dynamodb.put_item(TableName=table(application), Item=row)
