"""The transport when loop, libcurl or credentials fail it: every call still ends, in one answer."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import certifi
import pytest

from stream_router.aws.credentials import Credentials
from stream_router.aws.endpoints import Target, json_target
from stream_router.aws.loop_transport import LoopTransport
from stream_router.aws.signed_calls import Transport
from stream_router.errors import Answer
from tests.compiler import needs_a_compiler
from tests.fault.lane.clock import COMPILER
from tests.raw_server import RawServer, answer

ALLOWED_S = 5.0
CREDENTIALS = Credentials("AKIDEXAMPLE", "secret", None)
UNUSABLE = Credentials("AKIDEXAMPLE", "sécret", None)
"""libcurl is given text, and pycurl takes ASCII only."""


def target(url: str) -> Target:
    return json_target(url, "kinesis", "Kinesis_20131202.PutRecords", "1.1")


class FailingLoop:
    """A loop one of whose methods fails once when it is told to."""

    def __init__(self, loop: asyncio.AbstractEventLoop, method: str) -> None:
        self._loop = loop
        self._method = method
        self.fails = False

    def __getattr__(self, name: str) -> Any:
        if self.fails and name == self._method:
            self.fails = False
            return self._fail
        return getattr(self._loop, name)

    @staticmethod
    def _fail(*_: object) -> None:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("method", ["add_reader", "add_writer", "call_later"])
def test_a_loop_that_fails_once_costs_the_calls_of_that_moment_alone(method: str) -> None:
    """The kernel has no memory to watch one socket more, say: those calls have no answer, the next ones are served."""

    async def run(url: str) -> tuple[list[Answer], list[Answer]]:
        loop: Any = FailingLoop(asyncio.get_running_loop(), method)
        transport = LoopTransport(loop, lambda: CREDENTIALS, "us-east-1", certifi.where())

        async def calls(timeout_s: float) -> list[Answer]:
            return await asyncio.wait_for(
                asyncio.gather(*(transport.call(target(url), b"{}", timeout_s) for _ in range(8))),
                timeout_s + ALLOWED_S,
            )

        try:
            loop.fails = True
            then = await calls(0.5)
            assert not loop.fails
            return then, await calls(ALLOWED_S)
        finally:
            transport.close()

    with RawServer(lambda _: answer(200)) as server:
        then, next_ones = asyncio.run(run(server.url))
    assert len(then) == 8
    assert [one.status for one in next_ones] == [200] * 8


def test_on_a_loop_a_call_that_cannot_be_begun_ends_in_an_answer() -> None:
    """Else whoever counts it as under way waits for ever, and in the end has no place for another one."""

    async def run(url: str) -> list[Answer]:
        held = [UNUSABLE, CREDENTIALS]
        transport = LoopTransport(asyncio.get_running_loop(), lambda: held.pop(0), "us-east-1", certifi.where())
        try:
            told: list[Answer] = []
            transport.start(target(url), b"{}", 0.5, told.append)
            assert told == []  # later, as every answer is
            await asyncio.sleep(0.01)
            assert transport.in_flight == 0
            return [*told, await transport.call(target(url), b"{}", 2.0)]
        finally:
            transport.close()

    with RawServer(lambda _: answer(200)) as server:
        found = asyncio.run(run(server.url))
    assert [one.status for one in found] == [0, 200]
    assert "secret" not in found[0].error
    assert "sécret" not in found[0].error


@pytest.mark.parametrize("pump", [lambda one: one.pump(), lambda one: one.pump(0.01)])
def test_where_it_is_pumped_a_call_that_cannot_be_begun_ends_in_an_answer(pump: Callable[[Transport], object]) -> None:
    """With the next pump, whether that waits or not."""
    held = [UNUSABLE, CREDENTIALS]
    transport = Transport(lambda: held.pop(0), "us-east-1", certifi.where())
    told: list[Answer] = []
    with RawServer(lambda _: answer(200)) as server:
        transport.start(target(server.url), b"{}", 0.5, told.append)
        assert (told, transport.in_flight) == ([], 1)
        pump(transport)
        transport.start(target(server.url), b"{}", 2.0, told.append)
        deadline_s = time.monotonic() + ALLOWED_S
        while transport.in_flight and time.monotonic() < deadline_s:
            transport.pump(0.05)
    transport.close()
    assert [one.status for one in told] == [0, 200]


NAME_SERVER = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!node || strcmp(node, "kinesis.test")) return real(node, service, hints, found);
    fputs("asked for kinesis.test\\n", stderr);
    sleep(atoi(getenv("NAME_SERVER_SLEEPS_S")));
    if (access(getenv("NAME_SERVER_IS_BACK"), F_OK)) return EAI_NONAME;
    return real("127.0.0.1", service, hints, found);
}
"""

CALLS = """
import sys, time
from pathlib import Path
import certifi
from stream_router.aws.credentials import Credentials
from stream_router.aws.endpoints import json_target
from stream_router.aws.signed_calls import Transport

transport = Transport(lambda: Credentials("A", "secret", None), "us-east-1", certifi.where())
began_s, told = time.monotonic(), []
while not told or told[-1].status != 200:
    assert time.monotonic() - began_s < 20, told[-1]
    transport.start(json_target(sys.argv[1], "kinesis", "x", "1.1"), b"{}", 5.0, told.append)
    while transport.in_flight:
        transport.pump(0.05)
    Path(sys.argv[2]).touch()
    time.sleep(0.1)
assert "not resolve" in told[0].error, told[0]
"""


CALL_AND_STOP = """
import asyncio, sys
import certifi
from stream_router.aws.credentials import Credentials
from stream_router.aws.endpoints import json_target
from stream_router.aws.loop_transport import LoopTransport

async def run():
    transport = LoopTransport(asyncio.get_running_loop(), lambda: Credentials("A", "s", None), "x", certifi.where())
    print((await transport.call(json_target(sys.argv[1], "kinesis", "x", "1.1"), b"{}", 0.5)).error)
    transport.close()

asyncio.run(run())
"""


def with_name_server(folder: Path, code: str, *arguments: str, sleeps_s: int = 0) -> "subprocess.CompletedProcess[str]":
    """Runs Python where the name server knows `kinesis.test` once there is a file `back`, and answers after a while."""
    (folder / "name_server.c").write_text(NAME_SERVER)
    library = folder / "name_server.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", library, folder / "name_server.c", "-ldl"], check=True)
    told = {"NAME_SERVER_IS_BACK": str(folder / "back"), "NAME_SERVER_SLEEPS_S": str(sleeps_s)}
    around = {**os.environ, "LD_PRELOAD": str(library), **told}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=around, capture_output=True, text=True, timeout=45, check=False)


@needs_a_compiler
def test_a_name_server_that_knew_no_host_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    """libcurl would believe it for half a minute: as long no event would be stored, though all is well again."""
    with RawServer(lambda _: answer(200)) as server:
        ended = with_name_server(tmp_path, CALLS, f"http://kinesis.test:{server.port}/", str(tmp_path / "back"))
    assert ended.returncode == 0, ended.stderr


@needs_a_compiler
def test_a_stop_does_not_wait_for_a_name_server(tmp_path: Path) -> None:
    """It may take a minute to give up, for each of the domains that are searched; a stop has ten seconds in all."""
    ended = with_name_server(tmp_path, CALL_AND_STOP, "http://kinesis.test:1/", sleeps_s=90)  # killed after 45 s
    assert ended.returncode == 0, ended.stderr
    assert "asked for kinesis.test" in ended.stderr
    assert "time" in ended.stdout  # libcurl has two sentences for it; which one comes is chance
