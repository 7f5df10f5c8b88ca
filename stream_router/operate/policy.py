"""`stream-router setup --policy NAME`: the least IAM policy of a program, for the settings at hand.

The policies are templates (`policies/NAME.json`). A template has all rights that its program may ever need. `${name}`
in a `Resource` stands for the ARNs that the settings give: none, one or several. A statement that gets no ARN is left
out. So a deployment without bucket, key or rule of its own gets no rights for them. The only AWS call is to STS, for
the account's number.
"""

import json
import re
import sys
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr

from stream_router import limits
from stream_router.aws import endpoints
from stream_router.aws.clients import Clients
from stream_router.consumer.supervisor import properties
from stream_router.errors import SettingsError
from stream_router.operate import arns
from stream_router.operate.arns import Home, bus_undelivered_name, dead_letters_name, undelivered_name
from stream_router.operate.setup import TARGET, check_settings, find_home, read_target
from stream_router.settings.common import NO_RULE, Common
from stream_router.settings.consumer import Consumer
from stream_router.settings.operators import DeadLetters, QueueSettings, Setup
from stream_router.settings.reading import load
from stream_router.settings.receiver import Receiver
from stream_router.settings.sources import PostedSource, secret_text
from stream_router.settings.sources import read as sources_of
from stream_router.telemetry.cloudwatch import NAMESPACE

C = TypeVar("C", bound=Consumer)

NAMES = ("receive", "consume", "setup", "operate", "teardown")

PROBE_PREFIX = "stream-router-probe-"
"""Prefix of the names of the rule and the queue that `doctor --end-to-end` makes.

The rest of the names is random, so the operator's policy allows all names with this prefix.
"""

ANY = ["*"]
"""Resource of actions that AWS cannot restrict to a resource."""

Values = dict[str, list[str]]
"""ARNs by the name that stands for them in the templates. [] leaves out the statements that have only this name."""


def run(name: str) -> int:
    """Print the policy as JSON on stdout.

    Return 0, or 1 if STS does not answer. Raises SettingsError.
    """
    try:
        home = find_home(Clients(load(Common).aws_region))
    except (BotoCoreError, ClientError) as error:
        sys.stderr.write(f"stream-router setup: the account's number cannot be read from STS: {error}\n")
        return 1
    sys.stdout.write(json.dumps(build_policy(name, home), indent=2) + "\n")
    return 0


def build_policy(name: str, home: Home) -> dict[str, Any]:
    """Return the IAM policy of a program for the environment's settings. Raises SettingsError."""
    if name not in NAMES:
        raise SettingsError("--policy", f"there is no {name}", f"name one of {', '.join(NAMES)}")
    template: dict[str, Any] = json.loads(files(__package__).joinpath(f"policies/{name}.json").read_text("utf-8"))
    values = {
        "receive": _receive_arns,
        "consume": _consume_arns,
        "setup": _setup_arns,
        "operate": _operate_arns,
        "teardown": _setup_arns,
    }
    arns_by_name = _common_arns(load(Common), load(QueueSettings), home) | values[name](home)
    filled = [_fill(statement, arns_by_name) for statement in template["Statement"]]
    return {**template, "Statement": [statement for statement in filled if statement["Resource"]]}


def _fill(statement: dict[str, Any], values: Values) -> dict[str, Any]:
    """Return the statement with ARNs in place of the template's names."""
    filled = {**statement, "Resource": _expand(statement["Resource"], values)}
    for operator, test in statement.get("Condition", {}).items():
        filled["Condition"] = {operator: {key: _expand(text, values) for key, text in test.items()}}
    return filled


def _expand(template_names: str | list[str], values: Values) -> list[str] | str:
    """Return the texts of a template with each `${name}` replaced by its ARNs: a list, or a text if it is only one.

    A suffix after `${name}` is appended to each of its ARNs. Other texts stay as they are.
    """
    expanded: list[str] = []
    for text in [template_names] if isinstance(template_names, str) else template_names:
        is_name = re.fullmatch(r"\$\{(\w+)\}(.*)", text)
        expanded += [value + is_name[2] for value in values[is_name[1]]] if is_name else [text]
    return expanded[0] if len(expanded) == 1 else expanded  # a single value without a list, as in IAM's examples


def _common_arns(settings: Common, queue: QueueSettings, home: Home) -> Values:
    """Return the ARNs of the names that all templates share."""
    is_classic_bus = not limits.is_v2_bus(settings.event_bus)
    rule = [home.rule(settings.event_bus, settings.rule)] if is_classic_bus and settings.rule != NO_RULE else []
    has_own_queue = is_classic_bus and queue.kms_key is not None and arns.is_made_by_setup(settings.event_bus)
    return {
        "bus_undelivered": [home.queue(bus_undelivered_name(settings.stream))] if has_own_queue else [],
        "stream": [home.stream(settings.stream)],
        "table": [home.table(settings.application)],
        "dead_letters": [home.queue_arn(queue.sqs_dlq_url or dead_letters_name(settings.stream))],
        "bus": [home.bus(settings.event_bus)],
        "rule": rule,
        "any_of_rule": _any_if(rule),
        "key": _as_list(queue.kms_key),
        "namespaces": [NAMESPACE],
    }


def _as_list(value: str | None) -> list[str]:
    """Return a list of the value; [] if there is none."""
    return [value] if value else []


def _any_if(condition: object) -> list[str]:
    """Return ANY if the condition is true, else [], which leaves the statement out.

    It is for actions that AWS cannot restrict to a resource.
    """
    return ANY if condition else []


def _spill_arns(url: str | None, home: Home) -> list[str]:
    """Return the spill queue's ARN; none if no spill queue is set."""
    return [home.queue_arn(url)] if url else []


def _receive_arns(home: Home) -> Values:
    settings, queue = load(Receiver), load(QueueSettings)
    spill = _spill_arns(settings.spill_queue, home)
    return {
        "spill": spill,
        "dead_letters_of_spill": [home.queue_arn(settings.sqs_dlq_url)] if spill and settings.sqs_dlq_url else [],
        "key_of_spill": _as_list(queue.kms_key) if spill else [],
        **_list_secret_arns(_list_receiver_secrets(settings), home),
    }


def _list_receiver_secrets(settings: Receiver) -> list[SecretStr | None]:
    """Return the receiver's secrets: those of its senders, and its admin token."""
    posted = [source for source in sources_of(settings.config) if isinstance(source, PostedSource)]
    return [settings.webhook_secrets, settings.admin_token, *(source.secrets for source in posted)]


def _load_consumer(kind: type[C], home: Home) -> C:
    """Load settings of class `kind`, which require SQS_DLQ_URL, also if `setup` has not yet made that queue."""
    # The queue's URL follows from the name that `setup` will give it.
    queue = load(QueueSettings).sqs_dlq_url or home.queue_url(dead_letters_name(load(Common).stream))
    return load(kind, sqs_dlq_url=queue)


def _consume_arns(home: Home) -> Values:
    settings = _load_consumer(Consumer, home)
    endpoint_urls = properties.configured_endpoints(endpoints.create_session(settings.aws_region))
    rendered = properties.render(settings, endpoint_urls, "any").properties
    fan_out = [home.stream(settings.stream)] if rendered.get("retrievalMode", "").upper() == "FANOUT" else []
    has_subscriber = limits.is_v2_bus(settings.event_bus) and settings.rule != NO_RULE and settings.bus_proof != "trust"
    daemons = [settings.application] if rendered.get("metricsLevel", "").upper() != "NONE" else []
    return {
        "fan_out_stream": fan_out,
        "fan_out_consumers": [f"{arn}/consumer/{settings.application}:*" for arn in fan_out],
        "proved_bus": [] if settings.bus_proof == "trust" else [home.bus(settings.event_bus)],
        "any_of_v2_bus": _any_if(has_subscriber),
        "subscriber": [home.subscriber(settings.event_bus, settings.rule)] if has_subscriber else [],
        "namespaces": [NAMESPACE, *daemons],
        "bucket": _bucket_arns(settings, home),
        **_list_secret_arns((settings.masking_key, settings.audit_key, settings.admin_token), home),
    }


def _bucket_arns(settings: Consumer, home: Home) -> list[str]:
    return [f"arn:{home.partition}:s3:::{settings.offload_bucket}"] if settings.offload_bucket else []


def _setup_arns(home: Home) -> Values:
    """Return the ARNs for `setup` and `teardown`.

    Names with `own` are of the resources that they read and change, names with `made` of those that `setup` may make
    itself.
    """
    settings = load(Setup)
    check_settings(settings)
    is_classic_bus = not limits.is_v2_bus(settings.event_bus)
    bus, rule = home.bus(settings.event_bus), home.rule(settings.event_bus, settings.rule)
    dead_letters = home.queue_arn(settings.sqs_dlq_url or dead_letters_name(settings.stream))
    undelivered = [settings.target_dlq_arn or home.queue(undelivered_name(settings.stream))] if is_classic_bus else []
    spill = _spill_arns(settings.spill_queue, home)
    has_keyed_bus = is_classic_bus and settings.kms_key is not None and arns.is_made_by_setup(settings.event_bus)
    keyed_bus = [bus] if has_keyed_bus else []
    bus_queues = [home.queue(bus_undelivered_name(settings.stream))] if has_keyed_bus else []
    own_queues = [dead_letters, *spill, *undelivered, *bus_queues]
    queues_by_url = [dead_letters] if settings.sqs_dlq_url else []
    own_buses = [bus] if is_classic_bus and not bus.endswith("/default") else []
    return {
        "stream_key": [
            settings.kms_key or home.arn("kms", "key/*")
        ],  # the id behind alias/aws/kinesis is not known before
        "own_queues": own_queues,
        "made_queues": [queue for queue in own_queues if queue not in (*queues_by_url, settings.target_dlq_arn)],
        "queues_by_name": [queue for queue in own_queues if queue not in queues_by_url],
        "own_bus": own_buses,
        "any_of_own_bus": _any_if(own_buses),
        "keyed_bus": keyed_bus,
        "key_of_made_bus": _as_list(settings.kms_key) if has_keyed_bus else [],
        "made_bus": [] if settings.event_bus.startswith("arn:") else own_buses,
        "rule_with_target": [rule] if is_classic_bus and read_target(settings) else [],
        "any_of_v2_bus": _any_if(not is_classic_bus),
        "subscriber": [] if is_classic_bus else [home.subscriber(settings.event_bus, settings.rule)],
        **_target_arns(settings, home),
    }


def _target_arns(settings: Setup, home: Home) -> Values:
    """Return the rule's target if it is a queue of this account, and the role of the target if it has one."""
    target = {} if limits.is_v2_bus(settings.event_bus) else read_target(settings)
    arn = arns.parse(target["Arn"], TARGET) if target else None
    queue = target["Arn"] if arn and arn.service == "sqs" and home.contains(arn) else None
    return {"target_queue": _as_list(queue), "role": _as_list(target.get("RoleArn"))}


def _judged_target_arns(settings: Setup, home: Home, *, has_rule: bool) -> Values:
    """Return the rule's target under the name of its service, since each service has its own right to read a policy.

    `doctor` reads the target's resource policy.
    """
    target = {} if limits.is_v2_bus(settings.event_bus) or not has_rule else read_target(settings)
    arn = target.get("Arn", "")
    service = arn.split(":")[2] if arn else ""
    return {
        "target_queue": _target_arns(settings, home)["target_queue"] if has_rule else [],
        "target_topic": [arn] if service == "sns" else [],
        "target_function": [arn] if service == "lambda" else [],
    }


def _operate_arns(home: Home) -> Values:
    receiver, consumer = load(Receiver), _load_consumer(DeadLetters, home)
    bus, has_rule = consumer.event_bus, consumer.rule != NO_RULE
    is_classic_bus = not limits.is_v2_bus(bus)
    stored_secrets = [*_list_receiver_secrets(receiver), consumer.masking_key, consumer.audit_key, consumer.admin_token]
    return {
        "undelivered": [consumer.target_dlq_arn or home.queue(undelivered_name(consumer.stream))],
        "spill": _spill_arns(receiver.spill_queue, home),
        "probe_rules": [home.rule(bus, f"{PROBE_PREFIX}*")] if is_classic_bus else [],
        "probe_queues": [home.queue(f"{PROBE_PREFIX}*")] if is_classic_bus else [],
        "bucket": _bucket_arns(consumer, home),
        **_judged_target_arns(load(Setup), home, has_rule=has_rule),
        **_list_secret_arns(stored_secrets, home),
    }


def _list_secret_arns(secrets: Iterable[SecretStr | None], home: Home) -> Values:
    """Return the ARNs of those secrets that the settings name by a reference to AWS (`ssm:`, `secretsmanager:`).

    Each is listed once. A reference has a name of this account, or an ARN, for example of another account.
    """
    arns_by_store: Values = {"secrets": [], "parameters": []}
    for reference in dict.fromkeys(map(secret_text, secrets)):
        store, _, name = reference.partition(":")
        given_arn = name if name.startswith("arn:") else ""
        if store == "ssm":
            # NAME:3 names a version or a label, which is not part of the ARN.
            arn = given_arn or home.arn("ssm", f"parameter/{name.removeprefix('/')}")
            arns_by_store["parameters"].append(":".join(arn.split(":")[:6]))
        elif store == "secretsmanager":
            # Secrets Manager appends six random characters to the name in the ARN.
            arns_by_store["secrets"].append(given_arn or home.arn("secretsmanager", f"secret:{name}-??????"))
    return arns_by_store
