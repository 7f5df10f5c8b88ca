"""`stream-router demo`: the whole pipeline on this machine, and an account of every event that went in."""

import random
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from botocore.httpsession import get_cert_path
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stream_router.aws.credentials import Credentials
from stream_router.aws.signed_calls import Transport
from stream_router.local import pipeline, poison, product, report
from stream_router.local.accounts import Accounts
from stream_router.local.arrivals import QueueReader
from stream_router.local.environment import REGION, enter
from stream_router.local.programs import ProgramError, Programs
from stream_router.send.payloads import Webhooks
from stream_router.send.poster import Poster, Webhook

SEED = 20_261_124
STALL_S = 90.0
"""Without any progress for so long, what has not come out is called lost. A KCL that restarts needs up to 35 s."""

LOOK_EVERY_S = 0.1
GIVE_UP_S = 120.0
"""How long a webhook that is not taken is sent again."""

GARBAGE_A_CALL = 20
EAGER_CALLS = 4
"""ReceiveMessage calls under way. ministack walks over the whole queue for each, so a short queue is a quick one."""


@dataclass(frozen=True)
class Wish:
    """What the command line asks for."""

    events: int
    rate: float
    poison_percent: float


def run(*, events: int, rate: float, poison_percent: float, as_json: bool) -> int:
    """The command. 0 if every event is accounted for as it should be, 1 if not, 130 when it was broken off."""
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, _break_off)
    with Programs() as programs:
        try:
            result, complaints = Demo(programs, Wish(events, rate, poison_percent), console).run()
        except KeyboardInterrupt:
            console.print("broken off; everything that was started is being ended, which takes some seconds")
            return 130
        except ProgramError as error:
            programs.keep_folder = True
            console.print(f"stream-router demo: {error}", highlight=False)
            return 1
        programs.keep_folder = bool(complaints)
    report.show(result, console if as_json else Console())
    for line in complaints:
        console.print(f"[bold red]{line}[/]; logs are in {programs.folder}")
    if as_json:
        sys.stdout.write(orjson.dumps(result).decode() + "\n")
        sys.stdout.flush()
    return 1 if complaints else 0


def _break_off(*_: object) -> None:
    raise KeyboardInterrupt


class Demo:
    """One run, from the start of the stack to the last arrival."""

    def __init__(self, programs: Programs, wish: Wish, console: Console) -> None:
        self._programs = programs
        self._wish = wish
        self._console = console
        self.accounts = Accounts()
        self._going = True
        self._posting = True
        self._begun_ms = 0.0
        self._failed: list[BaseException] = []

    def run(self) -> tuple[dict[str, object], list[str]]:
        """The result, and what is not as it should be."""
        enter(self._programs.mark)
        running = pipeline.start(self._programs, self._say)
        self._reader = threading.Thread(target=self._guard, args=(self._read, running), daemon=True)
        self._sender = threading.Thread(target=self._guard, args=(self._send, running), daemon=True)
        self._reader.start()
        self._sender.start()
        try:
            self._watch()
            self._say("every event is settled; draining" if not self.accounts.lost() else "no progress any more")
            self._programs.stop(running.consumer)
        finally:
            self._going = False
        self._reader.join()
        seconds = max(0.0, self.accounts.last_ms - self._begun_ms) / 1000
        seen = product.read(running.clients.cloudwatch, running.state_dir)
        return report.as_json(self.accounts, seconds, seen), report.complaints(self.accounts)

    def _say(self, line: str) -> None:
        self._console.print(line, style="dim", highlight=False)

    def _guard(self, work: Callable[[pipeline.Pipeline], None], running: pipeline.Pipeline) -> None:
        """A thread that fails ends the demo, not only itself."""
        try:
            work(running)
        except BaseException as error:  # noqa: BLE001  # handed to the main thread, which raises it
            self._failed.append(error)

    def _watch(self) -> None:
        """Show the progress until everything has come out, or nothing more comes."""
        columns = (TextColumn("{task.description:>9}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console) as progress:
            posted = progress.add_task("answered", total=self._wish.events)
            settled = progress.add_task("settled", total=self._wish.events)
            best, since = (-1, -1), time.monotonic()
            while self._posting or self.accounts.lost():
                time.sleep(LOOK_EVERY_S)
                self._check()
                inside = self.accounts.expected()
                now = (self.accounts.answers.total() + len(self.accounts.injected), inside - self.accounts.lost())
                progress.update(posted, completed=now[0])
                progress.update(settled, completed=now[1], total=self._wish.events if self._posting else inside)
                if now != best:
                    best, since = now, time.monotonic()
                elif time.monotonic() - since > STALL_S:
                    return

    def _check(self) -> None:
        if self._failed:
            raise self._failed[0]
        self._programs.must_run()

    def _send(self, running: pipeline.Pipeline) -> None:
        poster = Poster(running.events_url, running.sign, self.accounts.answered, GIVE_UP_S)
        self._begun_ms = time.time() * 1000
        poster.run(self._webhooks(running), self._wish.rate, lambda: self._going)
        self._posting = False

    def _webhooks(self, running: pipeline.Pipeline) -> Iterator[Webhook]:
        """The posts in order, the broken ones among them; the garbage goes on the stream in between."""
        wish, rng = self._wish, random.Random(SEED)  # noqa: S311  # sample data
        make = Webhooks(SEED, datetime.now(UTC))
        poisoned = round(wish.events * wish.poison_percent / 100)
        waiting: list[poison.Garbage] = []
        for number in range(wish.events):
            body, serial = make.body(number), number * poisoned // wish.events
            if serial == (number + 1) * poisoned // wish.events:
                yield Webhook(f"demo-{number:08d}", body)
            elif serial % 2:
                waiting.append(poison.garbage(serial // 2, body, rng))
            else:
                self.accounts.broken.add(f"demo-{number:08d}")
                yield Webhook(f"demo-{number:08d}", poison.broken_body(serial // 2, body))
            if len(waiting) == GARBAGE_A_CALL:
                self._inject(running, waiting)
        self._inject(running, waiting)

    def _inject(self, running: pipeline.Pipeline, items: list[poison.Garbage]) -> None:
        """Put garbage on the stream, again and again what is refused; `items` is empty then."""
        self.accounts.inject(items)
        while items:
            records = [{"Data": one.data, "PartitionKey": str(zlib.crc32(one.data))} for one in items]
            answer = running.clients.kinesis.put_records(StreamName=running.stream, Records=records)  # type: ignore[arg-type]
            results = answer["Records"]
            items[:] = [one for one, result in zip(items, results, strict=True) if result.get("ErrorCode")]

    def _read(self, running: pipeline.Pipeline) -> None:
        """Empty both queues while events come, and to the end once all is settled."""
        transport = Transport(lambda: Credentials("test", "test", None), REGION, str(get_cert_path(True)))
        target = QueueReader(transport, running.endpoint, running.target_queue_url, self.accounts.take_event)
        letters = QueueReader(transport, running.endpoint, running.dead_letters_url, self.accounts.take_letter)
        while self._going or target.quiet < 2 or letters.quiet < 2:
            target.keep_reading(EAGER_CALLS)
            letters.keep_reading(1)
            transport.pump(0.1)
        transport.close()
