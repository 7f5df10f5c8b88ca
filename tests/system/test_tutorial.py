"""docs/tutorial.md, tried line by line: its terminals as shells, its function against the embedded stack's DynamoDB."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.environment import needs_programs
from tests.ports import free_port

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text("utf-8")
SHELL_BLOCK = re.compile(r"```sh (terminal \d)\n(.*?)```", re.DOTALL)
PATIENCE_S = 120.0

pytestmark = [pytest.mark.system, pytest.mark.timeout(300), needs_programs("curl", "openssl")]


class Terminal:
    """A shell that is typed into; what it says comes back line by line."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._shell = subprocess.Popen(
            ["/bin/bash"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._shell.stdout
        for line in self._shell.stdout:
            self._lines.put(line.rstrip("\n"))

    def type(self, text: str) -> None:
        assert self._shell.stdin
        self._shell.stdin.write(text + "\n")
        self._shell.stdin.flush()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first line from here on that the pattern is found in."""
        until_s, seen = time.monotonic() + PATIENCE_S, []
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                seen.append(self._lines.get(timeout=left_s))
            except queue.Empty:
                break
            if match := re.search(pattern, seen[-1]):
                return match
        raise AssertionError(f"no {pattern} in: " + "\n".join(seen[-30:]))

    def interrupt(self) -> None:
        """Ctrl-C: what runs in the shell ends, and the shell goes on."""
        children = Path(f"/proc/{self._shell.pid}/task/{self._shell.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGINT)

    def close(self) -> None:
        """Ctrl-C, as a person ends it, and then the shell."""
        os.killpg(self._shell.pid, signal.SIGTERM)
        try:
            self._shell.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._shell.pid, signal.SIGKILL)
            self._shell.wait()
        self._reader.join()
        assert self._shell.stdin
        assert self._shell.stdout
        self._shell.stdin.close()
        self._shell.stdout.close()


class Reader:
    """Someone who types the page's blocks, with ports of this test in place of those of the page."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "STREAM_ROUTER_"))}
        self.environment = kept | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "STREAM_ROUTER_LISTEN": f"127.0.0.1:{self.port}",
            "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
            "STREAM_ROUTER_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
        }
        self.folder = folder
        self.blocks = [(result[1], result[2].splitlines()) for result in SHELL_BLOCK.finditer(PAGE)]
        self.env_file = ""
        self.terminals: dict[str, Terminal] = {}

    @property
    def stack_url(self) -> str:
        """Where the embedded stack serves, as its file of exports says."""
        match = re.search("AWS_ENDPOINT_URL='(.*)'", Path(self.env_file).read_text())
        assert match
        return match[1]

    def type_next(self) -> Terminal:
        """The next block of the page, in its terminal."""
        name, lines = self.blocks.pop(0)
        if name not in self.terminals:
            self.terminals[name] = Terminal(self.folder, self.environment)
        for line in lines:
            typed = re.sub(r"/tmp/stream-router-demo-X+/env", self.env_file, line).replace(":8080/", f":{self.port}/")
            self.terminals[name].type(typed)
        return self.terminals[name]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    result = Reader(tmp_path_factory.mktemp("tutorial"))
    yield result
    for terminal in reversed(result.terminals.values()):
        terminal.close()


def event_of(terminal: Terminal, identity: str) -> dict[str, Any]:
    result = terminal.wait_for(rf'^\{{.*"eventId":"{identity}".*\}}$')
    event: dict[str, Any] = json.loads(result[0])
    return event


def test_the_page_from_its_first_command_to_its_last(reader: Reader) -> None:
    """Within five commands of `local` an event is seen at the target; the one by hand is answered and seen as well."""
    assert [name[-1] for name, _ in reader.blocks] == ["1", "2", "3", "4", "4", "4", "4"]
    stack = reader.type_next()
    reader.env_file = stack.wait_for(r"in each other terminal, first: \. (\S+)$")[1]
    receiver = reader.type_next()
    receiver.wait_for("^nothing to change$")
    receiver.wait_for("The receiver serves")
    reader.type_next()
    sender = reader.type_next()
    sender.wait_for("202 accepted")
    identity = sender.wait_for(r"^eventId: (\w{32})$")[1]
    event = event_of(stack, identity)
    assert event["source"] == "nice.cxone.webhook"
    sender = reader.type_next()
    (by_hand,) = json.loads(sender.wait_for(r'^\{"accepted":1,"ids":.*\}')[0])["ids"]
    assert event_of(stack, by_hand)["detail"]["payload"] == {"text": "by hand"}
    sender = reader.type_next()
    sender.wait_for(r'^  "payload\.tier",$')
    sender = reader.type_next()
    sender.wait_for("searched")


def test_the_function_drops_repeats_and_loses_nothing(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once for a copy, again for a replay, of ours or of EventBridge's archive.

    The next try after a failure works at once; after a death once the claim has ended; beside a copy never.
    """
    if not reader.terminals:
        test_the_page_from_its_first_command_to_its_last(reader)
    for name, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "SEEN_TABLE": "seen"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", reader.stack_url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    boto3.client("dynamodb").create_table(
        TableName="seen",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
    )
    match = re.search(r"```python handler.py\n(.*?)```", PAGE, re.DOTALL)
    assert match
    module: dict[str, Any] = {}
    exec(compile(match[1], "handler.py", "exec"), module)
    handler = module["handler"]

    def event(identity: str, **metadata: str) -> dict[str, Any]:
        return {"detail": {"eventId": identity, "eventType": "t", "metadata": metadata}}

    assert handler(event("a"), None) == "done"
    assert handler(event("a"), None) == "seen before"
    assert handler(event("a", replayed="r1"), None) == "done"
    assert handler({**event("a"), "replay-name": "archive-1"}, None) == "done"
    assert capsys.readouterr().out == "t a\n" * 3

    def failing(_: Any) -> None:
        raise RuntimeError("as scripted")

    def dying(_: Any) -> None:
        raise KeyboardInterrupt

    def beside_a_copy(_: Any) -> None:
        with pytest.raises(module["taken"]):
            handler(event("c"), None)

    working, module["work"] = module["work"], failing
    with pytest.raises(RuntimeError):
        handler(event("b"), None)
    module["work"] = working
    assert handler(event("b"), None) == "done"
    module["work"] = beside_a_copy
    assert handler(event("c"), None) == "done"
    module["work"] = dying
    with pytest.raises(KeyboardInterrupt):
        handler(event("d"), None)
    module["work"] = working
    with pytest.raises(module["taken"]):
        handler(event("d"), None)
    monkeypatch.setattr(time, "time", lambda: real() + module["CLAIM_S"] + 1)
    assert handler(event("d"), None) == "done"


real = time.time
