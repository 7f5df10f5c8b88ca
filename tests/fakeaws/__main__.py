"""`python -m tests.fakeaws --port 0 --ledger FILE`: serves the fake AWS until SIGTERM."""

import argparse
import asyncio
import gc
import json
import os
import signal
import ssl
import sys
from pathlib import Path

import orjson
import uvloop

from tests.fakeaws.ledger import Ledger
from tests.fakeaws.listener import Listener
from tests.fakeaws.server import FakeAws

_MAX_PORT = 65_535


def main() -> None:
    """Parse the command line and serve."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)  # requests make no cycles, and the tokens that a v2 bus remembers are many
    uvloop.run(_serve(_arguments()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fakeaws", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 picks a free one")
    parser.add_argument("--ledger", default="none", help="file that the lines are appended to, or none")
    parser.add_argument("--payloads", action="store_true", help="write each item's content into the ledger too")
    parser.add_argument("--plan", type=Path, help="the fault plan, a JSON file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the plan's dice")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="how long every answer takes")
    parser.add_argument("--tls-cert", type=Path, help="PEM file; with it the fake AWS serves TLS")
    parser.add_argument("--tls-key", type=Path, help="PEM file")
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    try:
        listener, ledger = await _started(arguments)
    except (OSError, ValueError) as error:  # a file that cannot be read or written, a port that is taken, a wrong plan
        sys.stderr.write(f"the fake AWS cannot start: {error}\n")
        raise SystemExit(os.EX_CONFIG) from None
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    listener.close()
    ledger.close()


async def _started(arguments: argparse.Namespace) -> tuple[Listener, Ledger]:
    if not 0 <= arguments.port <= _MAX_PORT:
        raise ValueError(f"--port: {arguments.port} is not a port; name 0 to {_MAX_PORT}")
    path = None if arguments.ledger == "none" else Path(arguments.ledger)
    document = orjson.loads(arguments.plan.read_bytes()) if arguments.plan else {}
    ledger = Ledger(path, payloads=arguments.payloads)
    fake_aws = FakeAws(ledger, document, arguments.seed, arguments.delay_ms / 1000)
    listener = Listener(fake_aws, _tls(arguments))
    port = await listener.start(arguments.port)
    sys.stdout.write(json.dumps({"port": port, "adminPort": listener.admin_port}) + "\n")
    sys.stdout.flush()
    return listener, ledger


def _tls(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    if arguments.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments.tls_cert, arguments.tls_key)
    return context


if __name__ == "__main__":
    main()
