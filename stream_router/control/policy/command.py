"""`stream-router setup --policy NAME`: prints the policy. Asks nobody but STS, and only for the account's number."""

import json
import sys
from collections.abc import Iterator
from typing import TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stream_router.aws import endpoints
from stream_router.consumer.supervisor.daemon import properties
from stream_router.control import arns
from stream_router.control.arns import Home
from stream_router.control.policy import hands, operate, programs
from stream_router.control.policy.needs import Need, document
from stream_router.control.policy.programs import Kcl
from stream_router.control.setup.setup import dead_letters_name
from stream_router.errors import SettingsError
from stream_router.settings import reading
from stream_router.settings.common import NO_RULE, Common
from stream_router.settings.consumer import Consumer
from stream_router.settings.operators import Cxone, DeadLetters, Queue, Setup
from stream_router.settings.reading import load, read
from stream_router.settings.receiver import Receiver

C = TypeVar("C", bound=Consumer)

NAMES = ("receive", "consume", "setup", "operate", "teardown")
ONCE = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1})
PLACEHOLDER = "ACCOUNT"


def run(name: str) -> int:
    """Print the policy as JSON on stdout. 0. Raises SettingsError where the name or a setting is wrong."""
    home = home_of(load(Common))
    policy = document(needs_of(name, home))
    sys.stdout.write(json.dumps(policy, indent=2) + "\n")
    if home.account == PLACEHOLDER:
        sys.stderr.write(f"stream-router setup: no credentials tell the account; replace {PLACEHOLDER} by its number\n")
    return 0


def needs_of(name: str, home: Home) -> Iterator[Need]:
    """What the program of that name asks of AWS, with the settings of the environment. Raises SettingsError."""
    match name:
        case "receive":
            return programs.receive(load(Receiver), home, load(Queue).kms_key)
        case "consume":
            return _consume(home)
        case "setup":
            return hands.setup(load(Setup), home)
        case "operate":
            return _operate(home)
        case "teardown":
            return hands.teardown(load(Setup), home)
    raise SettingsError(f"--policy: there is no {name}; name one of {', '.join(NAMES)}")


def _consumer(kind: type[C], home: Home) -> C:
    """Before `setup` has run nobody knows the queue's URL, but its name is known."""
    queue = load(Queue).sqs_dlq_url or home.queue_url(dead_letters_name(load(Common).stream))
    return load(kind, sqs_dlq_url=queue)


def _operate(home: Home) -> Iterator[Need]:
    setup, queue = load(Setup) if load(Common).rule != NO_RULE else None, load(Queue)
    consumer = _consumer(DeadLetters, home)
    yield from operate.doctor(load(Receiver), consumer, setup, queue, home)
    yield from operate.dead_letters(consumer, setup, queue, home)
    yield from operate.stream(consumer, home)
    if reading.is_set("CXONE_CLIENT_SECRET", "CXONE_ACCESS_KEY_SECRET"):
        cxone = read(Cxone)  # which `doctor` tries
        yield from programs.kept((cxone.client_secret, cxone.access_key_secret), home)


def _consume(home: Home) -> Iterator[Need]:
    settings = _consumer(Consumer, home)
    found = properties.configured_endpoints(endpoints.session(settings.aws_region))
    told = properties.render(settings, found, "any").properties
    kcl = Kcl(told.get("retrievalMode", "").upper() == "FANOUT", told.get("metricsLevel", "").upper() != "NONE")
    return programs.consume(settings, home, load(Queue).kms_key, kcl)


def home_of(settings: Common) -> Home:
    """Partition, region and account. Where STS does not tell the account, the bus's; else a placeholder."""
    session = endpoints.session(settings.aws_region)
    partition = session.get_partition_for_region(settings.aws_region)
    try:
        account = endpoints.client(session, "sts", ONCE).get_caller_identity()["Account"]
    except (BotoCoreError, ClientError):
        account = PLACEHOLDER
        if settings.event_bus.startswith("arn:"):
            account = arns.parse(settings.event_bus, "STREAM_ROUTER_EVENT_BUS").account
    return Home(partition, settings.aws_region, account)
