"""Asks the admin ports, all at once: a host that hangs holds up no other, and one that is away is a line, no error."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Self

import httpx

Program = Literal["consume", "receive"]

PATIENCE_S = 3.0
PROGRAMS: dict[str, Program] = {
    "stream-router.consumer-status": "consume",
    "stream-router.receiver-status": "receive",
}
"""Who speaks, by the name of the schema without its version: later versions add, and what is gone shows as unknown."""


class Host(NamedTuple):
    """What one admin port said."""

    url: str
    program: Program | None
    """None where it did not answer as one of ours."""
    status: dict[str, Any]
    error: str
    """Why there is no status, in words; "" where there is one."""


class Hosts:
    """The admin ports to be asked, over connections that are kept while this is entered."""

    def __init__(self, urls: Sequence[str], token: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._urls = tuple(url.rstrip("/").removesuffix("/status") for url in urls)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # No proxy of the environment: admin ports are on this machine or in this network.
        self._client = httpx.AsyncClient(headers=headers, timeout=PATIENCE_S, trust_env=False, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def ask(self) -> list[Host]:
        """Each port's status, in the order of the URLs, after PATIENCE_S at the latest."""
        return await asyncio.gather(*map(self._ask, self._urls))

    async def _ask(self, url: str) -> Host:
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await self._client.get(f"{url}/status")
        except (httpx.TimeoutException, TimeoutError):
            return Host(url, None, {}, f"no answer within {PATIENCE_S:.0f} s")
        except (httpx.TransportError, httpx.InvalidURL, UnicodeError) as error:
            return Host(url, None, {}, f"does not answer ({_short(error)})")
        if answer.status_code == 401:
            return Host(url, None, {}, "asks for another token: set STREAM_ROUTER_ADMIN_TOKEN as it is set there")
        try:
            status = answer.json()
            program = PROGRAMS[str(status["schema"]).partition("/")[0]]
        except (ValueError, KeyError, TypeError, AttributeError):
            return Host(url, None, {}, f"answers {answer.status_code}, but is no admin port of ours; check the URL")
        return Host(url, program, status, "")


def _short(error: BaseException) -> str:
    """What the system said, where it said something; the libraries' own words else."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno and cause.strerror:
            return (os.strerror(cause.errno) if cause.errno > 0 else cause.strerror).lower()
        cause = cause.__cause__ or cause.__context__
    return str(error).rstrip(".").lower() or type(error).__name__
