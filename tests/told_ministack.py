"""ministack that answers chosen calls as it is told, started with `python -m` in place of ministack itself.

$ANSWERS is a folder. A file there that is named like an operation (`GetRecords`) holds what the next calls are answered
in place of ministack's answer: `tell` and `spoil` write it. It is gone once all was given.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

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


if __name__ == "__main__":
    import ministack.app

    keep_connections()
    ministack.app.app = Told(ministack.app.app, Path(os.environ["ANSWERS"]))
    sys.exit(ministack.app.main())
