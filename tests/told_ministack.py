"""ministack that answers chosen calls as it is told, started with `python -m` in place of ministack itself.

$ANSWERS is a folder. A file there that is named like an operation (`GetRecords`) holds {"status", "body", "times",
"asked"} as JSON: so many times a call whose body holds the text `asked` is answered so, in place of ministack's answer.
The file is gone once all were given.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from stream_router.local.steady_ministack import keep_connections


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
        messages = [await receive()]
        while messages[-1].get("more_body"):
            messages.append(await receive())
        answer = self._answer(file, b"".join(message.get("body", b"") for message in messages))
        if answer is None:
            given = iter(messages)

            async def again() -> Any:
                return next(given, None) or await receive()

            await self._app(scope, again, send)
            return
        headers = [(b"content-type", b"application/x-amz-json-1.1")]
        await send({"type": "http.response.start", "status": answer["status"], "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer["body"]).encode()})

    def _answer(self, file: Path, asked: bytes) -> Any:
        told = json.loads(file.read_bytes())
        if told["asked"].encode() not in asked:
            return None
        told["times"] -= 1
        if told["times"]:
            _write(file, told)
        else:
            file.unlink()
        return told


def tell(folder: Path, operation: str, status: int, body: dict[str, Any], *, times: int = 1, asked: str = "") -> None:
    """The next `times` calls of the operation are answered so."""
    _write(folder / operation, {"status": status, "body": body, "times": times, "asked": asked})


def _write(file: Path, told: dict[str, Any]) -> None:
    """In one piece: it is read at any moment."""
    new = file.with_name(f".{file.name}")
    new.write_text(json.dumps(told))
    new.replace(file)


if __name__ == "__main__":
    import ministack.app

    keep_connections()
    ministack.app.app = Told(ministack.app.app, Path(os.environ["ANSWERS"]))
    sys.exit(ministack.app.main())
