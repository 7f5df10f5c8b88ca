"""ministack for hours: it looks for expired records in the whole stream at each call, which here never are any.

Started as `python -m tests.fault.long_ministack` in place of `python -m ministack`, with the same environment. Its
connections last (`stream_router/local/steady_ministack.py` says why). With STREAM_ANSWERS_AFTER_MS PutRecords is
answered so much later, as Kinesis does, and holds up nothing else meanwhile.
"""

import asyncio
import os
import runpy
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.services import kinesis

from stream_router.local.steady_ministack import keep_connections


def later(handle: Callable[..., Awaitable[Any]], after_s: float) -> Callable[..., Awaitable[Any]]:
    """The same handler of requests, which lets PutRecords wait first."""

    async def handle_request(method: str, path: str, headers: dict[str, str], *more: Any) -> Any:
        if headers.get("x-amz-target", "").endswith(".PutRecords"):
            await asyncio.sleep(after_s)
        return await handle(method, path, headers, *more)

    return handle_request


def main() -> None:
    keep_connections()
    kinesis._expire_records = lambda _: None
    if after_ms := os.environ.get("STREAM_ANSWERS_AFTER_MS"):
        kinesis.handle_request = later(kinesis.handle_request, float(after_ms) / 1000)
    runpy.run_module("ministack", run_name="__main__")


if __name__ == "__main__":
    main()
