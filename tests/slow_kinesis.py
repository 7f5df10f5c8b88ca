"""A stand-in for Kinesis that is slow in the ways of FINDINGS F1, and the senders that post again what was refused."""

import asyncio
import base64
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import NamedTuple, Self

import orjson

from tests.receiver_load import Connection, post


class SlowKinesis:
    """PutRecords on loopback, in a thread. `delay_s` is asked for each call; with `one_by_one` each waits its turn.

    A call that its caller gave up is worked off all the same. `lines` holds each envelope's id in the stream's order,
    copies included; `calls` when each call was answered and how many envelopes it held. `down`: 503 to all.
    """

    def __init__(
        self, delay_s: Callable[[], float], *, one_by_one: bool = False, failing: float = 0.0, seed: int = 0
    ) -> None:
        self.delay_s = delay_s
        self.down = False
        self.failing = failing
        self.lines: list[str] = []
        self.bodies: list[bytes] = []
        self.calls: list[tuple[float, int]] = []
        self._one_by_one = one_by_one
        self._chance = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._turn = asyncio.Lock()
        self._stop = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready: Future[int] = Future()
        self._work: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._ready.result(10)}"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._until_stopped())
        self._loop.close()

    async def _until_stopped(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=32 * 1024 * 1024)
        self._ready.set_result(server.sockets[0].getsockname()[1])
        await self._stop.wait()
        server.close()
        for writer in self._open:
            writer.close()
        for task in self._work:
            task.cancel()
        await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:-2])
                body = await reader.readexactly(int(fields["content-length"]))
                # A task of its own: the stream works off what its caller has given up.
                task = self._loop.create_task(self._answer(fields, body, writer))
                self._work.add(task)
                task.add_done_callback(self._work.discard)
                await asyncio.wait([task])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, fields: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> None:
        status, answer = 200, b"{}"
        if "putrecords" in fields.get("x-amz-target", ""):
            if self._one_by_one:
                async with self._turn:
                    await asyncio.sleep(self.delay_s())
            else:
                await asyncio.sleep(self.delay_s())
            status, answer = self._put(orjson.loads(body)["Records"])
        if not writer.is_closing():
            head = (
                f"HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {len(answer)}\r\n"
            )
            writer.write(head.encode() + b"\r\n" + answer)

    def _put(self, records: Sequence[dict[str, str]]) -> tuple[int, bytes]:
        if self.down:
            return 503, b'{"__type":"ServiceUnavailableException"}'
        results: list[dict[str, str]] = []
        held = 0
        for record in records:
            if self.failing and self._chance.random() < self.failing:
                code = self._chance.choice(["ProvisionedThroughputExceededException", "InternalFailure"])
                results.append({"ErrorCode": code, "ErrorMessage": "as planned"})
                continue
            for line in base64.b64decode(record["Data"]).split(b"\n"):
                self.lines.append(str(orjson.loads(line)["id"]))
                self.bodies.append(line)
                held += 1
            results.append({"SequenceNumber": str(len(self.lines)), "ShardId": "shardId-000000000000"})
        self.calls.append((time.monotonic(), held))
        failed = sum("ErrorCode" in result for result in results)
        return 200, orjson.dumps({"FailedRecordCount": failed, "Records": results})


class Delivery(NamedTuple):
    """What became of one delivery: the answers to its tries in order (0: none), its id where it was accepted."""

    statuses: tuple[int, ...]
    waited_s: tuple[float, ...]
    """Of each try, from when it was written."""
    answered_at_s: float
    identity: str

    @property
    def accepted(self) -> bool:
        return self.statuses[-1] == 202


class Resending:
    """Senders at a fixed rate, each delivery posted again two seconds after it was refused, `tries` times at most."""

    def __init__(self, address: tuple[str, int], tries: int = 6, pause_s: float = 2.0) -> None:
        self._address = address
        self._tries = tries
        self._pause_s = pause_s
        self._idle: list[Connection] = []

    def run(self, bodies: Sequence[bytes], rates: Sequence[tuple[float, float]]) -> list[list[Delivery]]:
        """Post at each (rate a second, seconds) one after the other; the deliveries of each of these phases."""
        return asyncio.run(self._phases(iter(enumerate(bodies)), rates))

    async def _phases(
        self, bodies: Iterator[tuple[int, bytes]], rates: Sequence[tuple[float, float]]
    ) -> list[list[Delivery]]:
        phases: list[list[asyncio.Task[Delivery]]] = []
        begin_s = time.monotonic()
        for rate, seconds in rates:
            tasks = []
            for count in range(int(rate * seconds)):
                await asyncio.sleep(max(0.0, begin_s + count / rate - time.monotonic()))
                number, body = next(bodies)
                tasks.append(asyncio.create_task(self._deliver(number, body)))
            phases.append(tasks)
            begin_s += seconds
        deliveries = [[await task for task in tasks] for tasks in phases]
        for connection in self._idle:
            if connection.transport is not None:
                connection.transport.close()
        self._idle.clear()
        await asyncio.sleep(0.01)
        return deliveries

    async def _deliver(self, number: int, body: bytes) -> Delivery:
        request = post(body, {"x-delivery-id": f"d-{number}"})
        statuses: list[int] = []
        waited_s: list[float] = []
        identity = ""
        for tried in range(self._tries):
            if tried:
                await asyncio.sleep(self._pause_s)
            begun_s = time.monotonic()
            status, identity = await self._once(request)
            statuses.append(status)
            waited_s.append(time.monotonic() - begun_s)
            if status == 202:
                break
        return Delivery(tuple(statuses), tuple(waited_s), time.monotonic(), identity)

    async def _once(self, request: bytes) -> tuple[int, str]:
        loop = asyncio.get_running_loop()
        try:
            while self._idle and self._idle[-1].transport is None:
                self._idle.pop()
            if self._idle:
                connection = self._idle.pop()
            else:
                _, connection = await loop.create_connection(Connection, *self._address)
            async with asyncio.timeout(10):
                status, body = await connection.ask(request)
        except (OSError, TimeoutError):
            return 0, ""
        self._idle.append(connection)
        return status, str(orjson.loads(body)["ids"][0]) if status == 202 else ""
