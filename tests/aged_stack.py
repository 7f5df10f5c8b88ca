"""ministack whose streams can be made older: `POST /_age?seconds=N` moves the arrival of every record N seconds back.

`python -m tests.aged_stack` serves as `python -m ministack` does. Nothing else changes: order, sequence numbers and
iterators are the same, so a consumer that reads on meanwhile notices nothing.
"""

from typing import Any
from urllib.parse import parse_qs

import ministack.app
from ministack.services import kinesis

from stream_router.local.steady_ministack import keep_connections


class Aging:
    """An ASGI application in front of another one."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/_age":
            await self._app(scope, receive, send)
            return
        seconds = float(parse_qs(scope["query_string"].decode())["seconds"][0])
        for stream in kinesis._streams._data.values():
            for shard in stream["shards"].values():
                for record in shard["records"]:
                    record["ApproximateArrivalTimestamp"] -= seconds
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    keep_connections()
    ministack.app.app = Aging(ministack.app.app)
    ministack.app.main()
