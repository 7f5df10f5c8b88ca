"""`stream-router local`: the embedded stack as a shell, the KCL and the network meet it."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import httpx

from stream_router.local.programs import REGION
from tests.ports import free_port

REQUESTS = 1_100
LISTEN = "0A"
"""The kernel's word for a socket that listens."""
LIST_STREAMS = {"X-Amz-Target": "Kinesis_20131202.ListStreams", "Content-Type": "application/x-amz-json-1.1"}
PROGRAM = str(Path(sys.executable).parent / "stream-router")


@contextlib.contextmanager
def local(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The command in that folder, with what it prints until it serves; on a host whose usual ports are taken."""
    settings = {
        "TMPDIR": str(folder / "a folder"),
        "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": "127.0.0.1:9465",
        "IOT_MTLS_PORT": str(free_port()),
    }
    with contextlib.ExitStack() as held:
        for port in (4566, 8080, 9465):
            with contextlib.suppress(OSError):  # another has it already
                held.enter_context(socket.create_server(("127.0.0.1", port)))
        process = subprocess.Popen(
            [PROGRAM, "local"], stdout=subprocess.PIPE, text=True, cwd=folder, env={**os.environ, **settings}
        )
        with process:
            assert process.stdout
            yield process, [process.stdout.readline() for _ in range(15)]


def test_local_serves_shell_and_kcl_on_loopback_alone_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Somebody's `logging.py` in the working folder is not its code; it gives way to whoever has a port."""
    (folder := tmp_path / "a folder").mkdir()
    (tmp_path / "logging.py").write_text("raise SystemExit('not ours')")
    with local(tmp_path) as (process, lines):
        try:
            exports = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines[2:] if "=" in line)
            assert exports["AWS_DEFAULT_REGION"] == REGION, "boto3 itself reads this one alone"
            url = exports["AWS_ENDPOINT_URL"]
            session = boto3.Session("test", "test", region_name=REGION)
            assert session.client("sqs", endpoint_url=url).list_queues()
            reads = lines[0].partition("first: ")[2].strip()
            shell = ["sh", "-c", f"{reads} && echo $AWS_ENDPOINT_URL"]
            done = subprocess.run(shell, check=True, stdout=subprocess.PIPE, text=True)
            assert done.stdout.strip() == url, "also where the folder's name has a space"
            asyncio.run(_ask(url))
            (stack,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            assert _listening(int(stack)) == [("127.0.0.1", urlsplit(url).port)], "its broker of MQTT would on all"
            left = [path.name for path in folder.iterdir() if path.is_file()]
            assert not left, "what it writes there nobody would take away where it is killed"
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert not list(folder.iterdir())
    ports = dict(part.split(" ") for part in lines[1].partition(": ")[2].strip().split(", "))
    assert exports["STREAM_ROUTER_LISTEN"] == f"127.0.0.1:{ports['STREAM_ROUTER_LISTEN']}" != "127.0.0.1:8080"
    assert ports["STREAM_ROUTER_RECEIVER_ADMIN_LISTEN"] == "9465", "it was chosen"
    assert not url.endswith(":4566")


def _listening(pid: int) -> list[tuple[str, int]]:
    """Addresses of IPv4 and ports at which the process listens, by the kernel's tables."""
    sockets = {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()}
    result = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_ = fields = line.split()
        if state == LISTEN and f"socket:[{fields[9]}]" in sockets:
            address, port = local.split(":")
            result.append((socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)))
    return result


async def _ask(url: str) -> None:
    """As the KCL does, more than a thousand times on one HTTP/2 connection: none is left when it says goodbye."""
    async with httpx.AsyncClient(http1=False, http2=True, timeout=5.0, trust_env=False) as client:
        for _ in range(REQUESTS):
            assert (await client.post(url, headers=LIST_STREAMS, content=b"{}")).status_code == 200
