"""ministack that answers chosen calls as it is told, started with `python -m` in place of ministack itself.

`python -m tests.told_ministack PORT TO` answers on a port of its own, and passes on to the port TO what it is not told.
$ANSWERS is a folder. A file there that is named like an operation (`GetRecords`) holds what the next calls are answered
in place of ministack's answer: `tell` and `spoil` write it. It is gone once all was given.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import httpx
from hypercorn.asyncio import serve
from hypercorn.config import Config

from stream_router.local.steady_ministack import keep_connections

JSON = [(b"content-type", b"application/x-amz-json-1.1")]


def tell(folder: Path, operation: str, status: int, body: dict[str, Any], *, times: int = 1) -> None:
    """The next `times` calls of the operation are answered so."""
    _write(folder / operation, {"status": status, "body": body, "times": times})


def spoil(folder: Path, wrong: dict[str, Any]) -> None:
    """The first record of the next answer of GetRecords that has any has these fields (None: has them not)."""
    _write(folder / "GetRecords", {"wrong": wrong, "times": 1})


def _write(file: Path, told: dict[str, Any]) -> None:
    """In one piece: it is read at any moment."""
    new = file.with_name(f".{file.name}")
    new.write_text(json.dumps(told))
    new.replace(file)


class Told:
    """An ASGI application in front of another one."""

    def __init__(self, app: Any, folder: Path) -> None:
        self._app, self._folder = app, folder

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        target = dict(scope.get("headers", ())).get(b"x-amz-target", b"").decode()
        file = self._folder / target.rpartition(".")[2]
        if not target or not file.is_file():
            await self._app(scope, receive, send)
            return
        told = json.loads(file.read_bytes())
        if "wrong" in told:
            await self._spoilt(file, told, scope, receive, send)
            return
        while (await receive()).get("more_body"):
            pass
        self._given(file, told)
        await send({"type": "http.response.start", "status": told["status"], "headers": JSON})
        await send({"type": "http.response.body", "body": json.dumps(told["body"]).encode()})

    async def _spoilt(self, file: Path, told: dict[str, Any], scope: Any, receive: Any, send: Any) -> None:
        messages: list[Any] = []

        async def keep(message: Any) -> None:
            messages.append(message)

        await self._app(scope, receive, keep)
        answer = json.loads(b"".join(message.get("body", b"") for message in messages))
        if answer.get("Records"):
            self._given(file, told)
            first = answer["Records"][0]
            answer["Records"][0] = {name: value for name, value in (first | told["wrong"]).items() if value is not None}
        await send({"type": "http.response.start", "status": messages[0]["status"], "headers": JSON})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def _given(self, file: Path, told: dict[str, Any]) -> None:
        if told["times"] > 1:
            _write(file, {**told, "times": told["times"] - 1})
        else:
            file.unlink()


class PassedOn:
    """An ASGI application that another server answers for."""

    def __init__(self, to_port: int) -> None:
        self._client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{to_port}", timeout=60.0)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        asked = b""
        while (message := await receive()).get("more_body"):
            asked += message["body"]
        asked += message.get("body", b"")
        own = (b"host", b"content-length", b"connection")
        headers = [(name, value) for name, value in scope["headers"] if name.lower() not in own]
        answer = await self._client.request(scope["method"], scope["path"], headers=headers, content=asked)
        await send({"type": "http.response.start", "status": answer.status_code, "headers": JSON})
        await send({"type": "http.response.body", "body": answer.content})


def main(arguments: list[str]) -> None:
    keep_connections()
    answers = Path(os.environ["ANSWERS"])
    if arguments:
        port, to_port = map(int, arguments)
        config = Config()
        config.bind = [f"127.0.0.1:{port}"]
        asyncio.run(serve(Told(PassedOn(to_port), answers), config))
        return
    import ministack.app

    ministack.app.app = Told(ministack.app.app, answers)
    ministack.app.main()


if __name__ == "__main__":
    main(sys.argv[1:])
