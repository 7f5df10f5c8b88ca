"""The embedded stack as the KCL meets it: one HTTP/2 connection for all that it reads."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import httpx
import pytest

from stream_router.local import stack
from stream_router.local.programs import REGION, Programs, module
from tests.ports import free_port

REQUESTS = 1_100
LISTEN = "0A"
"""The kernel's word for a socket that listens."""
LIST_STREAMS = {"X-Amz-Target": "Kinesis_20131202.ListStreams", "Content-Type": "application/x-amz-json-1.1"}


def test_the_stack_leaves_nothing_in_the_folder_of_temporary_files() -> None:
    """ministack writes its process id there, and where it is killed nobody takes that away."""
    with Programs() as programs:
        _, endpoint = stack.start(programs)
        name = f"ministack-{urlsplit(endpoint).port}.pid"
        assert (programs.folder / name).exists()
        assert not (Path(tempfile.gettempdir()) / name).exists()


def test_the_stack_listens_on_loopback_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody on the network reaches it: ministack's broker of MQTT takes no notice of the address to listen at."""
    monkeypatch.setenv("IOT_MTLS_PORT", str(free_port()))
    with Programs() as programs:
        program, endpoint = stack.start(programs)
        program.wait_ready(lambda: httpx.get(f"{endpoint}/_ministack/ready", trust_env=False).is_success, 30.0)
        heard = _listening(program.process.pid)
    assert heard == [("127.0.0.1", urlsplit(endpoint).port)]


def test_a_connection_of_the_kcls_lasts() -> None:
    """More than a thousand requests on one HTTP/2 connection are all answered: none is left when it says goodbye."""
    with Programs() as programs:
        _, endpoint = stack.start(programs)
        asyncio.run(_ask(endpoint))


def test_what_lies_in_the_working_folder_is_not_its_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the stack nor the demo's programs take somebody's `logging.py` for Python's."""
    (tmp_path / "logging.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    with Programs() as programs:
        _, endpoint = stack.start(programs)
        version = programs.start("version", module("stream_router", "--version"), endpoint, {})
        assert version.process.wait(30) == 0, version.last_line()


def _listening(pid: int) -> list[tuple[str, int]]:
    """Addresses of IPv4 and ports at which the process listens, by the kernel's tables."""
    sockets = {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()}
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_ = fields = line.split()
        if state == LISTEN and f"socket:[{fields[9]}]" in sockets:
            address, port = local.split(":")
            found.append((socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)))
    return found


async def _ask(url: str) -> None:
    async with httpx.AsyncClient(http1=False, http2=True, timeout=5.0, trust_env=False) as client:
        for _ in range(REQUESTS):
            assert (await client.post(url, headers=LIST_STREAMS, content=b"{}")).status_code == 200


def test_the_local_command_serves_until_it_is_told(tmp_path: Path) -> None:
    """Prints the exports that point a shell at it, and the line that reads them; ends with 0, leaves nothing behind."""
    program = Path(sys.executable).parent / "stream-router"
    (folder := tmp_path / "a folder").mkdir()
    with (tmp_path / "err").open("w") as errors:
        local = subprocess.Popen(
            [program, "local"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "TMPDIR": str(folder)},
        )
    with local:
        try:
            assert local.stdout
            lines = [local.stdout.readline() for _ in range(7)]
            (url,) = [line.partition("=")[2].strip() for line in lines if "AWS_ENDPOINT_URL" in line]
            assert f"export AWS_DEFAULT_REGION={REGION}\n" in lines, "boto3 itself reads this one alone"
            session = boto3.Session("test", "test", region_name=REGION)
            assert session.client("sqs", endpoint_url=url).list_queues()
            reads = lines[0].partition("first: ")[2].strip()
            shell = subprocess.run(
                ["sh", "-c", f"{reads} && echo $AWS_ENDPOINT_URL"], check=True, stdout=subprocess.PIPE, text=True
            )
            assert shell.stdout.strip() == url, "also where the folder's name has a space"
        finally:
            local.send_signal(signal.SIGTERM)
        assert local.wait(20) == 0
    assert not list(folder.iterdir())


def test_local_gives_way_to_whoever_has_a_port() -> None:
    """It says the ports of all programs; one that is taken is exported as a free one, one that was chosen stays."""
    program = Path(sys.executable).parent / "stream-router"
    with contextlib.ExitStack() as held:
        for port in (4566, 8080, 9465):
            with contextlib.suppress(OSError):  # another has it already
                held.enter_context(socket.create_server(("127.0.0.1", port)))
        local = subprocess.Popen(
            [program, "local", "--quiet"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": "127.0.0.1:9465"},
        )
        with local:
            try:
                assert local.stdout
                lines = [local.stdout.readline() for _ in range(15)]
            finally:
                local.send_signal(signal.SIGTERM)
            assert local.wait(20) == 0
    told = dict(one.split(" ") for one in lines[1].partition(": ")[2].strip().split(", "))
    exports = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines[2:] if "=" in line)
    assert told["STREAM_ROUTER_LISTEN"] != "8080"
    assert exports["STREAM_ROUTER_LISTEN"] == f"127.0.0.1:{told['STREAM_ROUTER_LISTEN']}"
    assert told["STREAM_ROUTER_RECEIVER_ADMIN_LISTEN"] == "9465"
    assert not exports["AWS_ENDPOINT_URL"].endswith(":4566")
