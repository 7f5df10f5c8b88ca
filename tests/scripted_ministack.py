"""ministack that answers chosen calls by a script, started with `python -m` in place of ministack itself.

`python -m tests.scripted_ministack PORT TO` answers on a port of its own, and forwards to port TO what no script names.
$ANSWERS is a folder. A file there that is named like an operation (`GetRecords`) holds the answer to its next calls, in
place of ministack's: `script_answer` and `spoil_record` write it. It is deleted once all was given.
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


def script_answer(folder: Path, operation: str, status: int, body: dict[str, Any], *, times: int = 1) -> None:
    """Answer the next `times` calls of the operation with this status and body."""
    _write(folder / operation, {"status": status, "body": body, "times": times})


def spoil_record(folder: Path, wrong: dict[str, Any]) -> None:
    """Give the first record of the next GetRecords with records these fields; None removes a field."""
    _write(folder / "GetRecords", {"wrong": wrong, "times": 1})


def _write(file: Path, script: dict[str, Any]) -> None:
    """Write the file in one piece: it is read at any moment."""
    new = file.with_name(f".{file.name}")
    new.write_text(json.dumps(script))
    new.replace(file)


class ScriptedAnswers:
    """An ASGI application in front of another one."""

    def __init__(self, app: Any, folder: Path) -> None:
        self._app, self._folder = app, folder

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        target = dict(scope.get("headers", ())).get(b"x-amz-target", b"").decode()
        file = self._folder / target.rpartition(".")[2]
        if not target or not file.is_file():
            await self._app(scope, receive, send)
            return
        script = json.loads(file.read_bytes())
        if "wrong" in script:
            await self._spoilt(file, script, scope, receive, send)
            return
        while (await receive()).get("more_body"):
            pass
        self._use_up(file, script)
        await send({"type": "http.response.start", "status": script["status"], "headers": JSON})
        await send({"type": "http.response.body", "body": json.dumps(script["body"]).encode()})

    async def _spoilt(self, file: Path, script: dict[str, Any], scope: Any, receive: Any, send: Any) -> None:
        messages: list[Any] = []

        async def keep(message: Any) -> None:
            messages.append(message)

        await self._app(scope, receive, keep)
        answer = json.loads(b"".join(message.get("body", b"") for message in messages))
        if answer.get("Records"):
            self._use_up(file, script)
            first = answer["Records"][0]
            answer["Records"][0] = {
                name: value for name, value in (first | script["wrong"]).items() if value is not None
            }
        await send({"type": "http.response.start", "status": messages[0]["status"], "headers": JSON})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def _use_up(self, file: Path, script: dict[str, Any]) -> None:
        if script["times"] > 1:
            _write(file, {**script, "times": script["times"] - 1})
        else:
            file.unlink()


class Forwarder:
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
        asyncio.run(serve(ScriptedAnswers(Forwarder(to_port), answers), config))
        return
    import ministack.app

    ministack.app.app = ScriptedAnswers(ministack.app.app, answers)
    ministack.app.main()


if __name__ == "__main__":
    main(sys.argv[1:])
