"""The embedded stack as the KCL meets it: one HTTP/2 connection for all that it reads."""

import asyncio

import httpx

from stream_router.local import stack
from stream_router.local.programs import Programs

REQUESTS = 1_100
LIST_STREAMS = {"X-Amz-Target": "Kinesis_20131202.ListStreams", "Content-Type": "application/x-amz-json-1.1"}


def test_a_connection_of_the_kcls_lasts() -> None:
    """More than a thousand requests on one HTTP/2 connection are all answered: none is left when it says goodbye."""
    with Programs() as programs:
        _, endpoint = stack.start(programs)
        asyncio.run(_ask(endpoint))


async def _ask(url: str) -> None:
    async with httpx.AsyncClient(http1=False, http2=True, timeout=5.0, trust_env=False) as client:
        for _ in range(REQUESTS):
            assert (await client.post(url, headers=LIST_STREAMS, content=b"{}")).status_code == 200
