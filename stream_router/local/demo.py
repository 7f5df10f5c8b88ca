"""Command `stream-router demo`: the whole pipeline on this machine, and an account of every event that went in.

With `--chaos` the demo injects faults: it kills processes, and interrupts the stream and the bus.
"""

import contextlib
import os
import random
import secrets
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import orjson
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stream_router.errors import SettingsError
from stream_router.local import poison, report, stack
from stream_router.local.accounts import Accounts
from stream_router.local.gate import CuttableProxy
from stream_router.local.programs import Program, ProgramError, Programs, free_port, is_answering, module_command
from stream_router.send.poster import Poster, Webhook
from stream_router.send.samples import Webhooks
from stream_router.send.signing import Sign, signer
from stream_router.settings.reading import load
from stream_router.settings.receiver import Receiver

TARGET_QUEUE = "demo-target"
SEED = 20_261_124
"""Seed of the sample data, so that each run posts the same events."""

RECEIVER_START_S = 30.0
CONSUMER_START_S = 90.0
STALL_S = 90.0
"""Seconds without progress after which events that have not arrived count as lost. A KCL restart takes up to 35 s."""

POLL_S = 0.1
GIVE_UP_S = 120.0
"""Seconds for which a webhook that is not accepted is sent again."""

GARBAGE_PER_CALL = 20
"""Bad records that are collected before they are put on the stream with one call."""

TARGET_READERS = 4
"""Number of threads that read the target's queue.

Several keep the queue short. That matters because ministack scans the whole queue for each ReceiveMessage.
"""

FINAL_COUNTS_TIMEOUT_S = 3.0
"""Seconds to wait for the last counts: a child writes them once a second, and the consumer merges them as often."""

CHAOS_RATE = 200.0
"""Webhooks per second of `--chaos` if no rate is given. The default of 10,000 events then takes 50 s."""

MIN_CHAOS_S = 45.0
"""Seconds of traffic that `--chaos` needs at least, so that its faults do not overlap."""

OUTAGE_S = 10.0
"""Seconds for which `--chaos` makes the stream, and later the bus, unreachable."""


class DemoOptions(NamedTuple):
    """Options of the command line. `rate` is webhooks per second; 0.0 means as fast as the receiver answers.

    `poison_percent` is the share of the events that are bad input instead: broken posts and bad records.
    """

    events: int
    rate: float
    poison_percent: float
    chaos: bool = False


def run(options: DemoOptions, *, as_json: bool) -> int:
    """Run the demo. Return 0 if every event is accounted for correctly, 1 if not, 130 if it was interrupted.

    With `as_json` the result goes to standard output as JSON, and the tables to standard error. Raises SettingsError.
    """
    if options.chaos:
        options = options._replace(rate=options.rate or CHAOS_RATE)
        if options.events / options.rate < MIN_CHAOS_S:
            cure = f"give --events {round(MIN_CHAOS_S * options.rate)} or more, or a lower --rate"
            raise SettingsError("--chaos", f"its faults need {MIN_CHAOS_S:.0f} s of traffic", cure)
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, _interrupt)
    with Programs() as programs:
        try:
            result, complaints = Demo(programs, options, console).run()
        except KeyboardInterrupt:
            console.print("interrupted; stopping all programs takes a few seconds")
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


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


class Demo:
    """One run of the demo, from the start of the stack to the last arrival."""

    def __init__(self, programs: Programs, options: DemoOptions, console: Console) -> None:
        self._programs = programs
        self._options = options
        self._console = console
        self.accounts = Accounts()
        self._is_running = self._is_posting = True
        self._begun_s = 0.0
        self._faults: list[dict[str, Any]] = []
        self._failed: list[BaseException] = []

    def run(self) -> tuple[dict[str, Any], list[str]]:
        """Run the pipeline until everything has arrived. Return the report's object, and a line for each kind of error.

        Raises ProgramError, or SettingsError, with a text of one line.
        """
        self._start()
        accounts, queues = self.accounts, self._stack
        work: list[Callable[[], None]] = [
            self._send,
            *[lambda: self._drain_queue(queues.target_url, accounts.take_event)] * TARGET_READERS,
            lambda: self._drain_queue(queues.dead_letters_url, accounts.take_letter),
        ]
        threads = [threading.Thread(target=self._guard, args=(task,), daemon=True) for task in work]
        for thread in threads:
            thread.start()
        try:
            self._watch_progress()
            self._print_step("every event is settled; draining" if not self.accounts.lost() else "no more progress")
            final_counts = self._read_final_counts()
            self._programs.stop(self._consumer)
        finally:
            self._is_running = False
        for thread in threads:
            thread.join()
        seconds = max(0.0, self.accounts.last_ms / 1000 - self._begun_s)
        product = {**final_counts, "cloudWatch": report.percentiles_of_cloudwatch(self._stack.clients.cloudwatch)}
        return report.as_json(self.accounts, seconds, product, self._faults), report.complaints(self.accounts)

    def _print_step(self, line: str) -> None:
        self._console.print(line, style="dim", highlight=False)

    # --- the pipeline

    def _start(self) -> None:
        """Start the stack, the consumer and the receiver. Return once every shard has its child."""
        self._stack = stack.start_with_setup(self._programs, TARGET_QUEUE, lambda line: self._print_step(f"  {line}"))
        self._print_step(f"the embedded stack listens at {self._stack.endpoint}")
        shared: dict[str, str] = {}
        if self._options.chaos:
            port = urlsplit(self._stack.endpoint).port or 0
            self._to_stream, self._to_bus = CuttableProxy(free_port(), port), CuttableProxy(free_port(), port)
            shared = {
                "AWS_ENDPOINT_URL_KINESIS": self._to_stream.url,
                "AWS_ENDPOINT_URL_EVENTBRIDGE": self._to_bus.url,
            }
        folder = self._programs.folder
        self._consumer_url = f"http://127.0.0.1:{free_port()}"
        settings = {
            **shared,
            "SQS_DLQ_URL": self._stack.dead_letters_url,
            "STREAM_ROUTER_STATE_DIR": str(folder / "state"),
            "STREAM_ROUTER_AUDIT_DIR": str(folder / "audit"),
            "STREAM_ROUTER_ADMIN_LISTEN": urlsplit(self._consumer_url).netloc,
        }
        self._consumer = self._start_program("consume", settings)
        self._receiver_url, self._sign = self._start_receiver(shared)
        self._print_step(f"the receiver listens at {self._receiver_url}")
        self._consumer.wait_ready(lambda: len(self._status().get("shards", ())) >= stack.SHARDS, CONSUMER_START_S)
        self._print_step(f"the KCL daemon runs {stack.SHARDS} children, one per shard")

    def _start_receiver(self, shared: dict[str, str]) -> tuple[str, Sign]:
        address = f"127.0.0.1:{free_port()}"
        own = {
            **stack.RECEIVER_SETTINGS,
            "STREAM_ROUTER_WEBHOOK_SECRETS": secrets.token_hex(32),
            "STREAM_ROUTER_LISTEN": address,
            "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
        }
        if self._options.chaos:
            spill = self._programs.folder / "spill"
            spill.mkdir()
            own["STREAM_ROUTER_SPILL_DIR"] = str(spill)
        self._receiver = self._start_program("receive", {**shared, **own})
        self._receiver.wait_ready(lambda: is_answering(f"http://{address}/readyz"), RECEIVER_START_S)
        fields = {name.removeprefix("STREAM_ROUTER_").lower(): value for name, value in own.items()}
        return f"http://{address}", signer(load(Receiver, **fields))

    def _start_program(self, name: str, settings: dict[str, str]) -> Program:
        return self._programs.start(name, module_command("stream_router", name), self._stack.endpoint, settings)

    def _status(self) -> dict[str, Any]:
        """Return the consumer's `/status`; {} if it does not answer."""
        try:
            status: dict[str, Any] = httpx.get(f"{self._consumer_url}/status", timeout=2.0, trust_env=False).json()
        except (httpx.HTTPError, ValueError):
            return {}
        return status

    def _read_final_counts(self) -> report.ProductFigures:
        """Return the product's own figures once they cover all events, or after FINAL_COUNTS_TIMEOUT_S.

        After a kill, the figures of the last second may be missing.
        """
        until_s, expected = time.monotonic() + FINAL_COUNTS_TIMEOUT_S, self.accounts.expected()
        while True:
            totals = self._status().get("totals", {})
            counters = totals.get("counters", {})
            settled = counters.get("delivered", 0) + counters.get("dead_lettered", 0)
            if settled >= expected or time.monotonic() > until_s:
                return report.figures_of_status(totals)
            time.sleep(POLL_S)

    # --- input and output, each in a thread

    def _guard(self, work: Callable[[], None]) -> None:
        """Run a thread's work. A failure ends the demo, not only the thread."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # handed to the main thread, which raises it
            self._failed.append(error)

    def _send(self) -> None:
        poster = Poster(f"{self._receiver_url}/v1/events", self._sign, self.accounts.answered, GIVE_UP_S)
        self._begun_s = time.time()
        poster.run(self._webhooks(), self._options.rate, lambda: self._is_running)
        self._is_posting = False

    def _webhooks(self) -> Iterator[Webhook]:
        """Yield the posts in order, including broken posts. In between, put bad records on the stream.

        Bad input takes the place of good events, evenly spread over the run: broken posts and bad records in turn.
        """
        options, rng = self._options, random.Random(SEED)  # noqa: S311  # sample data
        make = Webhooks(SEED, datetime.now(UTC))
        poisoned = round(options.events * options.poison_percent / 100)
        waiting: list[poison.Garbage] = []
        for number in range(options.events):
            # `serial` counts the bad inputs before this number. If it is larger for the next number, this one is bad.
            body, serial = make.body(number), number * poisoned // options.events
            if serial == (number + 1) * poisoned // options.events:
                yield Webhook(f"demo-{number:08d}", body)
            elif serial % 2:
                waiting.append(poison.garbage(serial // 2, body, rng))
            else:
                self.accounts.broken.add(f"demo-{number:08d}")
                yield Webhook(f"demo-{number:08d}", poison.broken_body(serial // 2, body))
            if len(waiting) == GARBAGE_PER_CALL:
                self._inject(waiting)
        self._inject(waiting)

    def _inject(self, items: list[poison.Garbage]) -> None:
        """Put bad records on the stream, and send refused ones again until the stream has taken all.

        `items` is the caller's list. It is empty afterwards, so that the caller can collect the next records in it.
        """
        self.accounts.inject(items)
        while items:
            records: Any = [{"Data": item.data, "PartitionKey": str(zlib.crc32(item.data))} for item in items]
            answer = self._stack.clients.kinesis.put_records(StreamName=self._stack.stream, Records=records)
            results = answer["Records"]
            items[:] = [item for item, result in zip(items, results, strict=True) if result.get("ErrorCode")]

    def _drain_queue(self, queue_url: str, take: Callable[[Any, float], None]) -> None:
        """Pass each message of a queue to `take`, while the demo runs and then until two requests return nothing.

        `take` gets the parsed body and the queue's time stamp (epoch ms).
        """
        sqs, quiet = self._stack.clients.sqs, 0
        while self._is_running or quiet < 2:
            try:
                answer = sqs.receive_message(
                    QueueUrl=queue_url,
                    MaxNumberOfMessages=10,
                    WaitTimeSeconds=1,
                    VisibilityTimeout=600,
                    AttributeNames=["SentTimestamp"],
                )
                messages = answer.get("Messages", [])
                for message in messages:
                    take(orjson.loads(message["Body"]), float(message["Attributes"]["SentTimestamp"]))
                handles: Any = [
                    {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(messages)
                ]
                if handles:
                    sqs.delete_message_batch(QueueUrl=queue_url, Entries=handles)
            except (BotoCoreError, ClientError):
                self._programs.must_run()
                # The stack runs, so the reading goes on: messages that were counted and not deleted stay hidden.
            else:
                quiet = 0 if messages else quiet + 1

    # --- the main thread

    def _watch_progress(self) -> None:
        """Show the progress and inject the faults, until everything has arrived, or nothing has for STALL_S.

        Raises the error that ended a thread, and ProgramError if a program has ended.
        """
        columns = (TextColumn("{task.description:>9}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
        faults = self._plan_faults() if self._options.chaos else []
        with Progress(*columns, console=self._console) as progress:
            posted = progress.add_task("answered", total=self._options.events)
            settled = progress.add_task("settled", total=self._options.events)
            best_counts, best_at_s = (-1, -1), time.monotonic()
            begun_at_s = best_at_s
            while self._is_posting or faults or self.accounts.lost():
                time.sleep(POLL_S)
                if self._failed:
                    raise self._failed[0]
                while faults and time.monotonic() - begun_at_s >= faults[0].at_s:
                    self._cause_fault(faults.pop(0))
                self._programs.must_run()
                inside = self.accounts.expected()
                counts = (self.accounts.answers.total() + len(self.accounts.injected), inside - self.accounts.lost())
                progress.update(posted, completed=counts[0])
                progress.update(
                    settled, completed=counts[1], total=self._options.events if self._is_posting else inside
                )
                if counts != best_counts:
                    best_counts, best_at_s = counts, time.monotonic()
                elif time.monotonic() - best_at_s > STALL_S:
                    return

    def _plan_faults(self) -> "list[Fault]":
        """Return the faults in their order, all during the traffic, with some seconds between them."""
        share = self._options.events / self._options.rate / 100  # seconds of a hundredth of the traffic
        return [
            Fault(8 * share, self._kill_child),
            Fault(22 * share, self._kill_receiver),
            *outage_faults(34 * share, self._to_stream, "the stream", "the receiver answers 202 from its disk"),
            *outage_faults(60 * share, self._to_bus, "the bus", "the stream keeps the new events"),
            Fault(88 * share, self._kill_daemon),
        ]

    def _cause_fault(self, fault: "Fault") -> None:
        description = fault.cause()
        at_s = round(time.time() - self._begun_s, 1)
        self._faults.append({"atSeconds": at_s, "what": description})
        self._console.print(f"[bold yellow]{at_s:5.1f} s[/]  {description}", highlight=False)

    def _kill_child(self) -> str:
        pids = [shard["pid"] for shard in self._status().get("shards", ())]
        return kill(pids[:1], "a shard's child", "the daemon ends with it and is restarted")

    def _kill_daemon(self) -> str:
        pid = self._status().get("daemon", {}).get("pid")
        return kill([pid] if pid else [], "the KCL daemon", "it is restarted")

    def _kill_receiver(self) -> str:
        description = kill([self._receiver.process.pid], "the receiver", "it is restarted, as systemd would do")
        self._receiver.process.wait()
        self._receiver.start()
        return description


class Fault(NamedTuple):
    """A failure or a recovery that the demo causes `at_s` seconds after its traffic began.

    `cause` does it, and returns a line that describes it.
    """

    at_s: float
    cause: Callable[[], str]


def kill(pids: list[int], program: str, then: str) -> str:
    """Kill the processes with SIGKILL. Return a line that names `program` and what follows, `then`.

    Without a process, which may have ended by itself, the line says so.
    """
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return f"kill -9 of {program}; {then}" if pids else f"{program} is already down; {then}"


def outage_faults(at_s: float, gate: CuttableProxy, service: str, then: str) -> list[Fault]:
    """Return two faults: `service` becomes unreachable at `at_s`, and reachable again OUTAGE_S later.

    `gate` is the proxy to it; `then` says what the pipeline does in the outage.
    """

    def begin() -> str:
        gate.shut()
        return f"{service} is unreachable for {OUTAGE_S:.0f} s; {then}"

    def end() -> str:
        gate.open()
        return f"{service} is reachable again"

    return [Fault(at_s, begin), Fault(at_s + OUTAGE_S, end)]
