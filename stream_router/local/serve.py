"""`stream-router local`: the embedded stack with everything that `setup` makes, and a queue behind the rule."""

import secrets
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from stream_router.aws.clients import Clients
from stream_router.local import leases, stack
from stream_router.local.environment import ACCOUNT, REGION, clean, enter
from stream_router.local.pipeline import RECEIVER_SETTINGS
from stream_router.local.programs import Program, ProgramError, Programs
from stream_router.operate import setup
from stream_router.settings.operators import Setup
from stream_router.settings.reading import load

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

TARGET_QUEUE = "local-target"
TARGET_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{TARGET_QUEUE}"
LONG_POLL_S = 1
_OF_AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL")


def run(port: int, *, quiet: bool) -> int:
    """Serve until SIGTERM or Ctrl-C. 0, or 1 where the stack does not stay up. Raises SettingsError."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    with Programs() as programs:
        try:
            _serve(programs, port, asked, quiet=quiet)
        except ProgramError as error:
            programs.keep_folder = True
            sys.stderr.write(f"stream-router local: {error}\n")
            return 1
    return 0


def _serve(programs: Programs, port: int, asked: threading.Event, *, quiet: bool) -> None:
    program, endpoint = stack.start(programs, port)
    exports = {name: value for name, value in clean(endpoint, programs.mark).items() if name in _OF_AWS}
    enter(programs.mark)
    clients = Clients(REGION, endpoint)
    queue_url = clients.sqs.create_queue(QueueName=TARGET_QUEUE)["QueueUrl"]
    wanted = load(Setup, target_arn=TARGET_ARN)
    dead_letters_url = setup.ensure(wanted, clients, lambda _: None)
    leases.seed(clients.kinesis, clients.dynamodb, wanted.stream, wanted.application)
    exports |= {
        "EVENTBRIDGE_TARGET_ARN": TARGET_ARN,
        "SQS_DLQ_URL": dead_letters_url,
        **RECEIVER_SETTINGS,
        "STREAM_ROUTER_WEBHOOK_SECRETS": secrets.token_hex(32),
    }
    _tell(endpoint, exports, programs.folder / "env")
    if quiet:
        _watch(program, asked)
    else:
        _print_events(clients.sqs, queue_url, program, asked)


def _tell(endpoint: str, exports: dict[str, str], file: Path) -> None:
    lines = [f"export {name}='{value}'\n" for name, value in exports.items()]
    file.write_text("".join(lines), "utf-8")
    first = f". {shlex.quote(str(file))}"
    sys.stdout.write(f"# the embedded stack serves at {endpoint}; in each other terminal, first: {first}\n")
    sys.stdout.write("".join(lines).replace("'", ""))
    sys.stdout.flush()


def _watch(program: Program, asked: threading.Event) -> None:
    while not asked.wait(0.5):
        program.must_run()


def _print_events(sqs: "SQSClient", queue_url: str, program: Program, asked: threading.Event) -> None:
    """Each event as the target sees it, and then out of the queue."""
    while not asked.is_set():
        program.must_run()
        try:
            answer = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=LONG_POLL_S)
            messages = answer.get("Messages", [])
            for message in messages:
                sys.stdout.buffer.write(orjson.dumps(orjson.loads(message["Body"])) + b"\n")
            sys.stdout.flush()
            for message in messages:
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        except (BotoCoreError, ClientError):
            asked.wait(LONG_POLL_S)  # where the stack has ended it is said above
