"""What `doctor` looks at: the settings of each program, clients, and every answer of AWS, asked for once."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from stream_router.aws import credentials, endpoints
from stream_router.aws.clients import shards_of
from stream_router.checks.aws_checks import ONCE
from stream_router.errors import SettingsError
from stream_router.operate.arns import Home
from stream_router.settings.common import Common, Settings
from stream_router.settings.consumer import Consumer
from stream_router.settings.operators import Queue, Setup
from stream_router.settings.reading import read
from stream_router.settings.receiver import Receiver

T = TypeVar("T")
S = TypeVar("S", bound=Settings)

PATIENT = ONCE.merge(Config(retries={"mode": "standard", "total_max_attempts": 4}))
"""For IAM, which answers an account few simulations a second and throttles the next."""


class _OneAtATime(Session):
    """botocore makes clients from shared state: two threads must not do it at once."""

    def __init__(self) -> None:
        super().__init__()
        self._making = threading.RLock()
        self._made: dict[tuple[Any, ...], Any] = {}

    def create_client(self, service_name: str, *args: Any, **kwargs: Any) -> Any:
        """One client of a kind, made once."""
        key = (service_name, args, id(kwargs.get("config")))
        with self._making:
            if key not in self._made:
                self._made[key] = super().create_client(service_name, *args, **kwargs)
            return self._made[key]


class World:
    """All that checks ask. `common`, `receive`, `consume`, `setup` are None where they are wrong; `problems` says why.

    `now_s` is the wall clock; `wait` pauses.
    """

    def __init__(
        self, *, offline: bool, now_s: Callable[[], float] = time.time, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self.offline = offline
        self.now_s = now_s
        self.wait = wait
        self.problems: dict[str, str] = {}
        self.common = self._read("common", Common)
        self.receive = self._read("receive", Receiver)
        self.consume = self._read("consume", Consumer)
        self.setup = self._read("setup", Setup)
        self.queue = self._read("queue", Queue)
        self._lock = threading.Lock()
        self._answers: dict[str, Future[Any]] = {}
        self.session: Session = _OneAtATime()
        if self.common:
            self.session.set_config_variable("region", self.common.aws_region)

    def _read(self, name: str, kind: type[S]) -> S | None:
        try:
            return read(kind)
        except SettingsError as error:
            self.problems[name] = str(error)
            return None

    @property
    def settings(self) -> Common:
        """What every program shares; asked for only by checks that run where it is right."""
        assert self.common is not None
        return self.common

    @property
    def dead_letters_url(self) -> str:
        """Our dead-letter queue's URL, "" where it is not set."""
        return (self.queue.sqs_dlq_url if self.queue else "") or ""

    def client(self, service: str) -> Any:
        """A client that asks once; of IAM one that asks again."""
        return endpoints.client(self.session, service, PATIENT if service == "iam" else ONCE)

    def is_aws(self, service: str) -> bool:
        """Whether a service is AWS's own, and no emulator."""
        return endpoints.is_aws(self.client(service).meta.endpoint_url)

    def once(self, name: str, ask: Callable[[], T]) -> T:
        """The answer to a question that several checks have: the first asks, the others wait. Raises what it raised."""
        with self._lock:
            future = self._answers.get(name)
            mine = future is None
            if future is None:
                future = self._answers[name] = Future()
        if mine:
            try:
                future.set_result(ask())
            except BaseException as error:  # noqa: BLE001 - handed to whoever asked
                future.set_exception(error)
        answer: T = future.result()
        return answer

    def maybe(self, look: Callable[[], T]) -> T | None:
        """The answer, None where there is none: another check says so."""
        try:
            return look()
        except (ClientError, BotoCoreError, SettingsError):
            return None

    def credentials(self) -> Any:
        """What signs. Asked for once: a program may be started for it, or a person be asked for a code."""
        return self.once("credentials", lambda: credentials.find(self.session))

    def identity(self) -> Any:
        """Who we are."""
        return self.once("identity", self.client("sts").get_caller_identity)

    def home(self) -> Home:
        """Partition, region, account. Raises what `identity` raises."""
        region = self.settings.aws_region
        return Home(self.session.get_partition_for_region(region), region, self.identity()["Account"])

    def stream(self) -> Any:
        """The stream's summary."""
        name = self.settings.stream
        ask = self.client("kinesis").describe_stream_summary
        return self.once("stream", lambda: ask(StreamName=name)["StreamDescriptionSummary"])

    def shards(self) -> list[Any]:
        """Every shard that the stream still has."""
        name = self.settings.stream
        return self.once("shards", lambda: list(shards_of(self.client("kinesis"), name)))

    def leases(self, look: int = 0) -> list[Any]:
        """The rows of the lease table that are leases; the KCL keeps others there. `look` numbers repeated looks."""
        return self.once(f"leases {look}", self._leases)

    def _leases(self) -> list[Any]:
        pages = self.client("dynamodb").get_paginator("scan").paginate(TableName=self.settings.application)
        rows = [row for page in pages for row in page["Items"]]
        return [row for row in rows if "checkpoint" in row and row.get("entityType", {}).get("S", "LEASE") == "LEASE"]

    def bus(self) -> Any:
        """A classic bus, described."""
        return self.once("bus", lambda: self.client("events").describe_event_bus(Name=self.settings.event_bus))

    def rule(self) -> Any:
        """Our rule, described."""
        asked = {"Name": self.settings.rule, "EventBusName": self.settings.event_bus}
        return self.once("rule", lambda: self.client("events").describe_rule(**asked))

    def targets(self) -> list[Any]:
        """The targets of our rule."""
        return self.targets_of(self.settings.rule)

    def targets_of(self, rule: str) -> list[Any]:
        """The targets of a rule on our bus: it has five at most, and one answer holds them."""
        asked = {"Rule": rule, "EventBusName": self.settings.event_bus}
        ask = self.client("events").list_targets_by_rule
        return self.once(f"targets {rule}", lambda: ask(**asked).get("Targets", []))

    def rules(self) -> list[Any]:
        """Every rule on our bus."""
        return self.once("rules", self._rules)

    def _rules(self) -> list[Any]:
        pages = self.client("events").get_paginator("list_rules").paginate(EventBusName=self.settings.event_bus)
        return [rule for page in pages for rule in page.get("Rules", [])]

    def queue_attributes(self, url: str) -> dict[str, str]:
        """All attributes of a queue."""
        ask = self.client("sqs").get_queue_attributes
        return self.once(f"queue {url}", lambda: dict(ask(QueueUrl=url, AttributeNames=["All"]).get("Attributes", {})))

    def queue_url(self, name: str, account: str) -> str:
        """The URL of a queue by name and account."""
        ask = self.client("sqs").get_queue_url
        return self.once(
            f"url {account} {name}",
            lambda: str(ask(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]),
        )
