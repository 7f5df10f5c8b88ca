"""README's block "On AWS in ten commands", typed as it stands against the embedded stack.

The certificate is for the host's own name and from a private CA. Left out are the lines that install, which
test_install.py has. `aws` is a small stand-in here, since the AWS command line is not a part of the environment.
"""

import io
import os
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.ports import free_port
from tests.system.test_tutorial import Terminal

PAGE = (Path(__file__).parents[2] / "README.md").read_text("utf-8").partition("## On AWS in ten commands")[2]
COMMANDS, SETTINGS = re.findall(r"(?s)```\n(.*?)```", PAGE)[:2]
HOST = "receiver.localhost"
"""A name that every resolver leads to this machine (RFC 6761)."""

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


AWS = f"""#!/bin/sh
exec {shlex.quote(sys.executable)} - "$@" <<'END'
import os
import sys
import boto3

assert sys.argv[1:3] == ["lambda", "add-permission"]
given = dict(zip(sys.argv[3::2], sys.argv[4::2], strict=True))
named = {{"".join(word.title() for word in name.strip("-").split("-")): value for name, value in given.items()}}
boto3.client("lambda", region_name=os.environ["AWS_REGION"]).add_permission(**named)
print("permission added")
END
"""
"""The stand-in for `aws`. A shell starts it, since a `#!` line cannot hold an interpreter's path with a space."""


def make_function(environment: dict[str, str], region: str) -> None:
    """Create the block's Lambda function in the embedded stack."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("handler.py", "def handler(event, context):\n    return None\n")
    client = boto3.client(
        "lambda",
        region_name=region,
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_function(
        FunctionName="my-function",
        Runtime="python3.12",
        Role="arn:aws:iam::000000000000:role/r",
        Handler="handler.handler",
        Code={"ZipFile": code.getvalue()},
    )


class Operator:
    """Somebody who types the block: terminals that have one environment, with paths and ports of this test."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "STREAM_ROUTER_"))}
        self.environment = kept | {
            "PATH": f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
            "STREAM_ROUTER_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
        }
        self.terminals: list[Terminal] = []

    def terminal(self) -> Terminal:
        """Open one more terminal."""
        self.terminals.append(Terminal(self.folder, self.environment))
        return self.terminals[-1]

    def own(self, text: str) -> str:
        """Return a line of the page with this host's name, port and folders."""
        for place in ("/etc/stream-router", "/var/lib/stream-router"):
            text = text.replace(place, str(self.folder / "files"))
        text = text.replace("123456789012", "000000000000")
        return text.replace("YOUR-HOST", HOST).replace("8443", str(self.port))


def make_certificate(folder: Path) -> None:
    """Write the files of a private CA, and of a certificate for HOST that it signed."""
    name = f"-subj /CN={HOST} -addext subjectAltName=DNS:{HOST}"
    for command in (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=private -keyout ca.key -out ca.pem",
        f"openssl req -newkey rsa:2048 -nodes {name} -keyout key.pem -out request.pem",
        "openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -days 2 -copy_extensions copy -out cert.pem",
    ):
        subprocess.run(shlex.split(command), cwd=folder, check=True, capture_output=True)
    (folder / "key.pem").chmod(0o600)


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    result = Operator(tmp_path)
    yield result
    for terminal in reversed(result.terminals):
        terminal.close()


def test_the_block_runs_as_it_stands(operator: Operator) -> None:
    """From `setup --plan` to `doctor --end-to-end`, which is well; `setup` prints the lines that the block shows."""
    files = operator.folder / "files"
    (files / "spill").mkdir(parents=True)
    (files / "consumer").mkdir()
    make_certificate(files)
    (files / "secrets").write_text("a secret of more than sixteen bytes\n")
    (files / "secrets").chmod(0o600)
    (operator.folder / "settings").write_text(operator.own(SETTINGS))
    stack = operator.terminal()
    stack.type("stream-router local --quiet")
    env_file = stack.wait_for(r"in each other terminal, first: \. (\S+)$")[1]
    of_aws = dict(re.findall(r"export (AWS_\w+)='?([^'\n]*)'?", Path(env_file).read_text()))
    operator.environment |= {name: value for name, value in of_aws.items() if not name.endswith("REGION")}
    (operator.folder / "aws").write_text(AWS)
    (operator.folder / "aws").chmod(0o700)
    make_function(operator.environment, "eu-central-1")
    operator.environment["SSL_CERT_FILE"] = str(files / "ca.pem")

    lines = [operator.own(line) for line in COMMANDS.splitlines() if line.strip()]
    first = next(at for at, line in enumerate(lines) if line.startswith("export AWS_REGION"))
    region, plan, setup, dlq, permission, settings, receive, consume, doctor = lines[first:]
    shell = operator.terminal()
    shell.type(region)
    shell.type(plan)
    shell.wait_for(r"^plan: \d+ to make, 0 to change")
    shell.type(setup)
    printed = shell.wait_for(r"run: (aws lambda add-permission .*)$")[1]
    of_page, of_setup = ({*shlex.split(line)} - {"--function-name"} for line in (permission, printed))
    assert {word.rpartition(":")[2] for word in of_page} == {word.rpartition(":")[2] for word in of_setup}
    exported = shell.wait_for(r"^export SQS_DLQ_URL=\S+$")[0]
    assert exported.rpartition("/")[2] == dlq.rpartition("/")[2]
    shell.type(permission)
    shell.wait_for("^permission added$")

    def second() -> Terminal:
        """Open a terminal with the `export` lines and the settings."""
        terminal = operator.terminal()
        for line in (region, exported, settings):
            terminal.type(line)
        return terminal

    terminal = second()
    terminal.type(receive)
    terminal.wait_for("The receiver serves")
    terminal = second()
    terminal.type(consume)
    for _ in range(2):
        terminal.wait_for("shard taken up")
    terminal = second()
    terminal.type(doctor)
    terminal.type("echo ended with $?")
    assert terminal.wait_for("^.*failure.*$|ended with")[0] == "ended with"
