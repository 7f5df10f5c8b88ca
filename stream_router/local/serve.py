"""Command `stream-router local`: runs the embedded stack for `receive` and `consume` in other terminals.

The stack has the resources that `setup` makes, and a queue as the rule's target. Its events are printed.
"""

import os
import secrets
import shlex
import signal
import sys
import threading
from pathlib import Path

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from stream_router.local import stack
from stream_router.local.programs import ProgramError, Programs, clean_environment, free_port, is_taken
from stream_router.local.stack import Stack
from stream_router.settings.common import variable
from stream_router.settings.consumer import Consumer
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import split_host_port

TARGET_QUEUE = "local-target"
PORT = 4566
"""Port at which tools for emulators of AWS expect the emulator."""

LISTENERS = {
    variable(kind, name): str(kind.model_fields[name].default)
    for kind, name in ((Receiver, "listen"), (Receiver, "receiver_admin_listen"), (Consumer, "admin_listen"))
}
"""Default addresses at which `receive` and `consume` listen, by the settings' names."""

LONG_POLL_S = 1
_AWS_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL")


def run(*, quiet: bool) -> int:
    """Run the stack until SIGTERM or Ctrl-C, and print its settings and events. With `quiet` print no events.

    Return 0, or 1 if the stack fails. Raises SettingsError.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    # Read before the stack starts, since its start clears this process's environment of such settings.
    explicit = {name: os.environ[name] for name in LISTENERS if os.environ.get(name)}
    with Programs() as programs:
        try:
            port = free_port() if is_taken(PORT) else PORT
            embedded = stack.start_with_setup(programs, TARGET_QUEUE, lambda _: None, port)
            _print_ports(embedded, programs.folder / "env", explicit)
            _print_events(embedded, stopping, quiet=quiet)
        except ProgramError as error:
            programs.keep_folder = True
            sys.stderr.write(f"stream-router local: {error}\n")
            return 1
    return 0


def _print_ports(embedded: Stack, file: Path, explicit: dict[str, str]) -> None:
    """Print the ports of `receive` and `consume`, and the settings that they need here, as lines for a shell.

    `file` gets the same settings. `explicit` has the addresses that the operator set. If another process has the
    default port of a program, the settings give the program a free port, unless the operator set its address.
    """
    exports = {name: value for name, value in clean_environment(embedded.endpoint).items() if name in _AWS_VARIABLES}
    exports |= {
        "EVENTBRIDGE_TARGET_ARN": embedded.target_arn,
        "SQS_DLQ_URL": embedded.dead_letters_url,
        **stack.RECEIVER_SETTINGS,
        "STREAM_ROUTER_WEBHOOK_SECRETS": secrets.token_hex(32),
    }
    listeners = {**LISTENERS, **explicit}
    for name, address in LISTENERS.items():
        if name not in explicit and is_taken(split_host_port(address)[1]):
            exports[name] = listeners[name] = f"127.0.0.1:{free_port()}"
    ports = {name: address.rpartition(":")[2] for name, address in listeners.items()}
    file.write_text("".join(f"export {name}='{value}'\n" for name, value in exports.items()), "utf-8")
    in_each_terminal = f". {shlex.quote(str(file))}"
    sys.stdout.write(
        f"# the embedded stack listens at {embedded.endpoint}; in each other terminal, first: {in_each_terminal}\n"
        f"# ports of the programs: {', '.join(f'{name} {port}' for name, port in ports.items())}\n"
    )
    sys.stdout.write("".join(f"export {name}={value}\n" for name, value in exports.items()))
    sys.stdout.flush()


def _print_events(embedded: Stack, stopping: threading.Event, *, quiet: bool) -> None:
    """Print each event as the target receives it, then delete it from the queue, until `stopping` is set.

    If `quiet`, only wait, and leave the events in the queue. Raises ProgramError if the stack has ended.
    """
    sqs, queue_url = embedded.clients.sqs, embedded.target_url
    while not stopping.is_set():
        embedded.program.must_run()
        if quiet:
            stopping.wait(LONG_POLL_S)
            continue
        try:
            answer = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=LONG_POLL_S)
            messages = answer.get("Messages", [])
            for message in messages:
                sys.stdout.buffer.write(orjson.dumps(orjson.loads(message["Body"])) + b"\n")
            sys.stdout.flush()
            for message in messages:
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        except (BotoCoreError, ClientError):
            stopping.wait(LONG_POLL_S)  # if the stack has ended, `must_run` raises
