"""Embedded stack: ministack serves Kinesis, DynamoDB, EventBridge, SQS and CloudWatch in one process on loopback.

It contains everything that `setup` creates, a queue as the rule's target, and the KCL's lease table.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from stream_router.aws.clients import Clients
from stream_router.consumer import lease_table
from stream_router.errors import SettingsError
from stream_router.leases import list_shards
from stream_router.local.programs import (
    ACCOUNT,
    REGION,
    Program,
    Programs,
    clean_own_environment,
    free_port,
    is_answering,
    module_command,
)
from stream_router.operate import setup
from stream_router.settings.operators import Setup
from stream_router.settings.reading import load

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kinesis import KinesisClient

START_S = 30.0
SERVER = "stream_router.local.steady_ministack"
SHARDS = 2

RECEIVER_SETTINGS = {
    "STREAM_ROUTER_WEBHOOK_SCHEME": "hmac",
    "STREAM_ROUTER_HMAC_TEMPLATE": "{timestamp}.{body}",
    "STREAM_ROUTER_HMAC_TIMESTAMP_HEADER": "x-timestamp",
    "STREAM_ROUTER_HMAC_ID_HEADER": "x-delivery-id",
}
"""Settings with which the receiver beside the stack verifies its senders, without the secret."""


class Stack(NamedTuple):
    """A running stack after `setup`. `target_arn` and `target_url` are those of the queue that is the rule's target."""

    program: Program
    endpoint: str
    clients: Clients
    target_arn: str
    target_url: str
    dead_letters_url: str
    stream: str


def start(programs: Programs, port: int | None = None) -> tuple[Program, str]:
    """Start ministack on `port`, or on a free port, and wait until it answers. Return the program and its URL.

    Raises SettingsError if ministack is not installed, ProgramError if it does not start.
    """
    if find_spec("ministack") is None:
        raise SettingsError(
            "ministack", "the embedded stack is not installed", "install with requirements-local.lock of `make dist`"
        )
    port = port or free_port()
    endpoint = f"http://127.0.0.1:{port}"
    settings = {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",  # its MQTT broker would listen on every address of the host
        "LOG_LEVEL": "WARNING",
        "S3_DATA_DIR": str(programs.folder / "s3"),
        "TMPDIR": str(programs.folder),  # for the file with its process id, which remains after a kill
    }
    program = programs.start("ministack", module_command(SERVER), endpoint, settings)
    program.wait_ready(lambda: is_answering(f"{endpoint}/_ministack/health"), START_S)
    return program, endpoint


def start_with_setup(programs: Programs, queue: str, report: Callable[[str], None], port: int | None = None) -> Stack:
    """Start the stack and make its resources, with a queue named `queue` as the rule's target.

    `report` gets each line of `setup`. The environment of this process is cleaned of the operator's settings, since
    `setup` runs in this process and reads them. Raises as `start` and `setup.ensure` do.
    """
    program, endpoint = start(programs, port)
    clean_own_environment()
    clients = Clients(REGION, endpoint)
    arn, url = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}", clients.sqs.create_queue(QueueName=queue)["QueueUrl"]
    settings = load(Setup, target_arn=arn, shards=SHARDS)
    dead_letters_url = setup.ensure(settings, clients, report)
    seed_leases(clients.kinesis, clients.dynamodb, settings.stream, settings.application)
    return Stack(program, endpoint, clients, arn, url, dead_letters_url, settings.stream)


# --- the KCL's lease table


def seed_leases(kinesis: "KinesisClient", dynamodb: "DynamoDBClient", stream: str, application: str) -> int:
    """Make the lease table of `application` with a lease for each shard of `stream`.

    Return the number of leases; 0 if the table exists, which is left unchanged. `consume` would make the same table.
    This function makes it before, so that the first start of `consume` is as fast as later starts.
    """
    try:
        lease_table.create_table(dynamodb, application)
    except dynamodb.exceptions.ResourceInUseException:
        return 0
    dynamodb.get_waiter("table_exists").wait(TableName=application, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    return lease_table.write_first_leases(dynamodb, application, list(list_shards(kinesis, stream)))
