"""A Kinesis that ends shards (npm's `kinesis-local`, by tests/node/package.json), for runs that split and merge."""

import contextlib
import shutil
import subprocess
from pathlib import Path

import httpx

from tests.ports import free_port
from tests.system.world import World, until

PACKAGE = Path(__file__).parents[2] / "node" / "package.json"


def is_there() -> bool:
    """Whether Node.js and npm are installed."""
    return bool(shutil.which("npm") and shutil.which("node"))


def kinesis_local(world: World, folder: Path) -> int:
    """Install it into the folder and start it; the port on which it answers."""
    shutil.copy(PACKAGE, folder)
    subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=folder, check=True, capture_output=True)
    command = ("env", "-C", str(folder / "node_modules" / "kinesis-local"), "node", "main.js")
    while True:
        port = free_port()
        own = {"KINESIS_MOCK_TLS_PORT": str(free_port()), "LOG_LEVEL": "ERROR"}
        process = world.start("kinesis", *command, KINESIS_MOCK_PLAIN_PORT=str(port), **own)
        until(lambda port=port, process=process: _answers(port) or process.poll() is not None, 60, "Kinesis")  # type: ignore[misc]
        if process.poll() is None:
            return port
        # Another program took the port before it did.


def _answers(port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/healthcheck", timeout=1.0).status_code < 500
    return False
